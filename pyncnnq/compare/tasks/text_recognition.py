"""Text recognition: a class for each step along a line, of which repeated ones and blanks are dropped (CTC)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, mean_of_ratios, share
from pyncnnq.compare.tasks.drawing import Drawing, Piece
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.model import Model

Text = tuple[int, ...]
"""The classes of a line's characters, in their order: which characters these are, the model does not say."""

_LEAST_CLASSES = 8
_LEAST_STEPS = 8
_STRIDES = (1.5, 40)
"""Columns of the image for each step: 2 to 32 in known recognizers, and one step more or less at the ends."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The class with the largest score at each step of a line.

    Attributes:
        classes: how many there are.
        steps: in the float and in the int8 model; none in int8 where the shapes differ.
    """

    classes: int
    steps: tuple[Text, Text]


class TextRecognition(Task):
    """Which lines both models read alike, and how many characters differ.

    Connectionist temporal classification: A. Graves et al., ICML 2006.
    """

    name = "text-recognition"
    summary = "classes of steps along a line (CTC): lines read alike, characters that differ"

    def fits(self, model: Model) -> bool:
        """Return whether the one output comes from one image."""
        return len(model.outputs) == len(model.inputs) == 1

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Line | None:
        (name, *others) = exact
        matrix = exact[name].squeeze()
        if others or matrix.ndim != 2:
            return None
        axis = 1 if _is_sequence(exact[name].shape, sample) else _axis_of_classes(matrix)
        if axis is None or not _is_line(matrix.shape[1 - axis], sample):
            if not self.forced:
                return None
            axis = int(np.argmax(matrix.shape)) if axis is None else axis
        same = rough[name].shape == exact[name].shape
        steps = _best(matrix, axis), _best(rough[name].squeeze(), axis) if same else ()
        return Line(classes=matrix.shape[axis], steps=steps)

    def figures(self, records: Sequence[Line], _labels: Sequence[Any] | None, _paths: Sequence[Path]) -> list[Figure]:
        blank = blank_of(records)
        texts = [tuple(text_of(steps, blank) for steps in record.steps) for record in records]
        counts = [len(exact) for exact, _ in texts]
        figures = [
            Figure(name="characters", unit="", values=(sum(counts), sum(len(rough) for _, rough in texts))),
            share("lines read alike", [exact == rough for exact, rough in texts], [1] * len(texts), gated=True),
        ]
        if sum(counts):
            edits = [100.0 * edit_distance(exact, rough) for exact, rough in texts]
            figures.append(mean_of_ratios("edits for each character in float", edits, counts, unit="%"))
        return figures

    def shown(self, records: Sequence[Line], names: Sequence[str]) -> list[Drawing]:
        """Return the texts of both models: characters, if the model's dictionary is known, else classes by number."""
        blank = blank_of(records)
        drawings = []
        for record in records:
            exact, rough = (text_of(steps, blank) for steps in record.steps)
            edits = edit_distance(exact, rough)
            text = tuple(_pieces(exact, rough, blank, names))
            caption = f"{edits} edit{'s' * (edits != 1)} of {len(exact)} characters" if edits else "read alike"
            drawings.append(Drawing(loss=edits, caption=caption, text=text, empty=not (exact or rough)))
        return drawings


TEXT_RECOGNITION = TextRecognition()


def blank_of(records: Iterable[Line]) -> int:
    """Return the class that stands for no character, the first or the last: the one that the float model sees more
    often."""
    lines = list(records)
    last = lines[0].classes - 1
    firsts, lasts = (sum(line.steps[0].count(label) for line in lines) for label in (0, last))
    return 0 if firsts >= lasts else last


def text_of(steps: Text, blank: int) -> Text:
    """Return the characters of a line: each run of one class is one character, and blanks are none."""
    return tuple(label for label, _ in groupby(steps) if label != blank)


def edit_distance(text: Text, other: Text) -> int:
    """Return how many characters have to be put in, left out or replaced to make one text of another."""
    row = list(range(len(other) + 1))
    for place, character in enumerate(text, start=1):
        corner, row[0] = row[0], place
        for column, wanted in enumerate(other, start=1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (character != wanted))
    return row[-1]


def _pieces(exact: Text, rough: Text, blank: int, names: Sequence[str]) -> Iterator[Piece]:
    """Yield two texts piece by piece, those that are alike and those that differ in turn."""
    for _, start, end, other_start, other_end in SequenceMatcher(None, exact, rough, autojunk=False).get_opcodes():
        texts = (exact[start:end], rough[other_start:other_end])
        told = ["".join(_character(label, blank, names) for label in text) for text in texts]
        yield Piece(exact=told[0], rough=told[1])


def _character(label: int, blank: int, names: Sequence[str]) -> str:
    """Return the character of a class, or its number and a space; dictionaries (PaddleOCR's) do not list the blank, nor
    a space at the end."""
    place = label - (blank == 0)
    if place < len(names):
        return names[place]
    return " " if names and place == len(names) else f"{label} "


def _is_sequence(shape: tuple[int, ...], sample: Sample) -> bool:
    """Return whether a shape is (steps, 1, classes), as recurrent networks have it, with as many columns of the image
    for each step: then scores need not be probabilities."""
    if len(shape) != 3 or shape[1] != 1 or shape[2] < _LEAST_CLASSES or sample.size is None:
        return False
    return sample.size[0] % shape[0] == 0


def _axis_of_classes(matrix: NDArray[np.float32]) -> int | None:
    """Return along which axis probabilities add up to 1; None if along neither, or both."""
    if matrix.min() < -1e-4:
        return None
    axes = [axis for axis in (1, 0) if np.allclose(matrix.sum(axis=axis), 1, atol=1e-2)]
    axes = [axis for axis in axes if matrix.shape[axis] >= _LEAST_CLASSES]
    return axes[0] if len(axes) == 1 else None


def _is_line(steps: int, sample: Sample) -> bool:
    """Return whether there may be so many steps along an image that is no higher than wide."""
    if sample.size is None:
        return False
    width, height = sample.size
    return steps >= _LEAST_STEPS and width >= height and _STRIDES[0] <= width / steps <= _STRIDES[1]


def _best(matrix: NDArray[np.float32], axis: int) -> Text:
    return tuple(np.nan_to_num(matrix, nan=-np.inf).argmax(axis=axis).tolist())
