"""What is kept of a network's outputs, by what they seem to mean."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_MOST = 4096
"""Numbers that are kept of one output."""
_CLASSES_OF_STEP = 512
"""Classes that are told apart at a step of a text; of networks with more, several are added up."""
_GRID = 16
"""Cells along each side of a map, as far as it is kept."""


class Kind(Enum):
    """What an output seems to be, by its shape and its sums."""

    CLASSES = "classes"
    """A probability, or a logit, of each class."""
    STEPS = "steps"
    """The same at each step of a line of text."""
    IMAGE = "image"
    """An image, perhaps enlarged."""
    MAP = "map"
    """A number, or a few, at each place."""
    BOXES = "boxes"
    """Scores of many boxes."""


def kind_of(output: Array, pixels: Array) -> Kind:
    """Return what an output seems to be.

    Args:
        output: of the network.
        pixels: the image, shape (channels, height, width).
    """
    long = [length for length in output.shape if length > 1]
    if len(long) <= 1:
        return Kind.CLASSES
    if len(long) == 2 and (_is_distribution(output.reshape(long)) or output.shape[:-1] == (output.shape[0], 1)):
        return Kind.STEPS
    if output.ndim == 3 and len(long) >= 2 and min(output.shape[1:]) > 1:
        alike = output.shape[0] == pixels.shape[0] and 2 * output.shape[1] >= pixels.shape[1]
        return Kind.IMAGE if alike else Kind.MAP
    return Kind.BOXES


def keep(output: Array, kind: Kind) -> Array:
    """Return what evidence needs of an output; of a view that is mirrored, too.

    Returns:
        CLASSES: a probability for each class, shape (classes,). STEPS: the same at each step, shape (steps,
        classes). IMAGE and MAP: means over a grid, shape (channels, rows, columns). BOXES:
        of each class, or number of a box, the largest and the smallest value, shape (2, classes).
    """
    with np.errstate(all="ignore"):
        if kind is Kind.CLASSES:
            return _probabilities(output.ravel())
        if kind is Kind.STEPS:
            steps = output.reshape([length for length in output.shape if length > 1])
            return _folded(np.stack([_probabilities(step) for step in steps]))
        if kind in (Kind.IMAGE, Kind.MAP):
            return _grid(output)
        matrix = output if output.ndim == 2 else output.reshape(output.shape[0], -1)
        boxes = int(matrix.shape[0] < matrix.shape[1])
        extremes: Array = np.stack([matrix.max(axis=boxes), matrix.min(axis=boxes)])
        return extremes[:, :_MOST]


def _folded(steps: Array) -> Array:
    """Return probabilities of at most so many classes, those a multiple apart added up."""
    short = -steps.shape[1] % _CLASSES_OF_STEP
    if steps.shape[1] <= _CLASSES_OF_STEP:
        return steps
    folded: Array = np.pad(steps, ((0, 0), (0, short))).reshape(len(steps), -1, _CLASSES_OF_STEP).sum(axis=1)
    return folded


def _is_distribution(matrix: Array) -> bool:
    return bool(matrix.min() >= -1e-4 and np.abs(matrix.sum(axis=1) - 1).max() < 0.01)


def _probabilities(values: Array) -> Array:
    if values.size <= 1 or _is_distribution(values[None]):
        return values
    exponentials: Array = np.exp(values - values.max())
    probabilities: Array = exponentials / exponentials.sum()
    return probabilities


def _grid(maps: Array) -> Array:
    """Return means over the cells of a grid, of the first channels."""
    height, width = maps.shape[1:]
    rows, columns = min(_GRID, height), min(_GRID, width)
    down = np.add.reduceat(maps, np.arange(rows) * height // rows, axis=1)
    both = np.add.reduceat(down, np.arange(columns) * width // columns, axis=2)
    sizes = np.outer(
        *(np.diff(np.arange(count + 1) * length // count) for count, length in ((rows, height), (columns, width)))
    )
    means: Array = (both / sizes).astype(np.float32)
    return means[: max(1, _MOST // (rows * columns))]
