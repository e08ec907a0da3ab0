"""What networks of a kind usually want: a prior for those whose answers do not tell.

Conventions are no evidence: they put a preset on top of a list, and never decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyncnnq.inputs.preprocessing import Size
from pyncnnq.model import Model
from pyncnnq.suggestion.evidence import LEAST_CLASSES
from pyncnnq.suggestion.outputs import Kind
from pyncnnq.suggestion.probe import Look

Shape = tuple[int, ...]

_LINE_HEIGHTS = (32, 48, 80)
"""Of the inputs of networks that look at a line of text."""
_BINS = (4 * 8, 4 * 11, 4 * 16, 4 * 17)
"""Numbers that a detector gives for a box as distributions over distances, for each of its four sides."""


@dataclass(frozen=True)
class Family:
    """Networks of a kind.

    Attributes:
        name: in words, behind "usual for".
        preset: the usual one.
    """

    name: str
    preset: str


TEXT = Family("networks that read a line of text", "pp-ocr-rec")
TEXT_DETECTOR = Family("text detectors that make one map of probabilities (DB)", "pp-ocr-det")
SSD = Family("SSD detectors", "mobilenet-ssd")
DISTRIBUTIONS = Family("detectors that give scores and distributions of distances", "nanodet")
YOLO = Family("detectors that give one list of boxes", "yolo")
IMAGE_TO_IMAGE = Family("networks that make images of images", "zero-one")
CLASSIFIER = Family("classifiers", "imagenet-torch")
SMALL_CLASSIFIER = Family("classifiers of small images", "cifar10")


def family_of(model: Model, look: Look, size: Size, small: bool) -> Family | None:
    """Return the family that a network seems to be of, by its outputs.

    Args:
        model: its graph.
        look: what it answers to an image.
        size: of the image.
        small: whether this is a size of small images (see `pyncnnq.suggestion.candidates`).
    """
    kinds = set(look.kinds)
    line = is_line(size)
    if any(layer.type == "DetectionOutput" for layer in model.layers):
        return SSD
    if Kind.STEPS in kinds:
        return TEXT if line else None
    if Kind.IMAGE in kinds:
        return IMAGE_TO_IMAGE
    if kinds == {Kind.CLASSES}:
        return TEXT if line else SMALL_CLASSIFIER if small else CLASSIFIER
    if look.kinds == (Kind.MAP,) and look.shapes[0][0] == 1:
        values = look.plain[0]
        return TEXT_DETECTOR if values.min() >= 0 and values.max() <= 1 else None
    if kinds == {Kind.BOXES}:
        if len(look.kinds) == 1:
            return YOLO
        return DISTRIBUTIONS if _gives_distributions(look.shapes) else None
    return None


def is_line(size: Size) -> bool:
    """Return whether a size is that of a line of text."""
    return size[1] in _LINE_HEIGHTS and size[0] >= 2 * size[1]


def answers_tell(look: Look) -> bool:
    """Return whether the answers of networks of this kind are worth more than what is usual."""
    kinds = set(look.kinds)
    if kinds == {Kind.CLASSES}:
        return all(answer.size >= LEAST_CLASSES for answer in look.plain)
    return not kinds or kinds == {Kind.BOXES} or Kind.IMAGE in kinds


def _gives_distributions(shapes: Sequence[Shape]) -> bool:
    """Return whether scores and distributions of as many boxes stand side by side."""
    boxes = [shape[0] for shape in shapes if shape[-1] in _BINS]
    return bool(boxes) and sorted(boxes) == sorted(shape[0] for shape in shapes if shape[-1] not in _BINS)
