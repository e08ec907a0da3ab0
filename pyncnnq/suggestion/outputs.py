"""What is kept of a network's outputs, by what they seem to mean."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_MOST = 4096
"""Numbers that are kept of one output."""
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
    if len(long) == 2 and _is_distribution(output.reshape(long)):
        return Kind.STEPS
    if output.ndim == 3 and len(long) >= 2 and min(output.shape[1:]) > 1:
        alike = output.shape[0] == pixels.shape[0] and 2 * output.shape[1] >= pixels.shape[1]
        return Kind.IMAGE if alike else Kind.MAP
    return Kind.BOXES


def keep(output: Array, kind: Kind) -> Array:
    """Return what evidence needs of an output; of a view that is mirrored, too.

    Returns:
        CLASSES: a probability for each class, shape (classes,). STEPS: of the classes that are largest somewhere their
        probabilities, shape (steps, classes). IMAGE and MAP: means over a grid, shape (channels, rows, columns). BOXES:
        of each class the largest score, shape (classes,).
    """
    with np.errstate(all="ignore"):
        if kind is Kind.CLASSES:
            return _probabilities(output.ravel())
        if kind is Kind.STEPS:
            return output.reshape([length for length in output.shape if length > 1])
        if kind in (Kind.IMAGE, Kind.MAP):
            return _grid(output)
        matrix = output.reshape(output.shape[-2:]) if output.ndim == 2 else output.reshape(output.shape[0], -1)
        return matrix.max(axis=int(matrix.shape[0] < matrix.shape[1]))[:_MOST]


def _is_distribution(matrix: Array) -> bool:
    return bool(matrix.min() >= -1e-4 and np.abs(matrix.sum(axis=1) - 1).max() < 0.01)


def _probabilities(values: Array) -> Array:
    if values.size > 1 and not _is_distribution(values[None]):
        exponentials = np.exp(values - values.max())
        values = exponentials / exponentials.sum()
    return values


def _grid(maps: Array) -> Array:
    """Return means over the cells of a grid, of the first channels."""
    channels, height, width = maps.shape
    rows, columns = min(_GRID, height), min(_GRID, width)
    down = np.add.reduceat(maps, np.arange(rows) * height // rows, axis=1)
    both = np.add.reduceat(down, np.arange(columns) * width // columns, axis=2)
    sizes = np.outer(*(np.diff(np.arange(count + 1) * length // count) for count, length in ((rows, height), (columns, width))))
    means = (both / sizes).astype(np.float32)
    return means[: max(1, _MOST // (rows * columns))]
