"""The sizes to look at images with, where nobody states one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.image_size import image_size
from pyncnnq.inputs.preprocessing import Size
from pyncnnq.model.input_size import StatedSize
from pyncnnq.suggestion.outputs import Kind

COMMON: tuple[Size, ...] = ((224, 224), (320, 320), (416, 416), (640, 640), (256, 256), (299, 299), (112, 112))
"""Usual sizes of networks, the most usual first."""
OWN = "that of all images"
_STEP = 8
"""Sides of networks' inputs are multiples of this, those of photographs seldom are."""
_MOST = 640
_HEADER = 2**16
"""Bytes in which an image says its size."""


def sizes_to_try(said: InputOptions, stated: StatedSize | None, files: Sequence[Path]) -> tuple[list[Size], str]:
    """Return the sizes that may be, the likeliest first, and where a single one comes from.

    Args:
        said: what the user says.
        stated: what the model says or implies (see `pyncnnq.model.input_size`).
        files: images.
    """
    if said.size is not None and all(said.size):
        return [said.size], "given"
    if said.shape is not None and len(said.shape) >= 2 and all(said.shape[:2]):
        return [(said.shape[0], said.shape[1])], "given"
    if stated is not None:
        return [(stated.width, stated.height)], "the model's"
    own = {_own_size(file) for file in files}
    if len(own) == 1 and (size := own.pop()) and max(size) <= _MOST and not any(side % _STEP for side in size):
        return [size], OWN
    return list(COMMON), ""


def usual_size(size: Size, kinds: Sequence[Kind]) -> Size:
    """Return the size to name for a network that runs with any.

    Args:
        size: the first of `COMMON` that it runs with.
        kinds: of its outputs.
    """
    if Kind.MAP in kinds and not {Kind.CLASSES, Kind.IMAGE} & set(kinds):
        return (640, 640)
    return (320, 320) if Kind.BOXES in kinds else size


def _own_size(file: Path) -> Size | None:
    try:
        with file.open("rb") as stream:
            return image_size(stream.read(_HEADER))
    except OSError:
        return None
