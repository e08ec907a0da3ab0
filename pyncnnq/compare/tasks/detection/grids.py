"""The places of a detector: the cells of one or several grids that lie over the image, one for each stride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Width and height in pixels."""

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32), (8, 16), (16, 32, 64))
"""Those of detectors, the commonest first: YOLO; NanoDet-Plus and YOLO with a fourth level; tiny YOLO; YOLO with
a level for small things."""

LEVELS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Grid:
    """Cells, those of the smallest stride first, row by row.

    Attributes:
        corners: the upper left corner of each cell in pixels, x and y, of shape (n, 2).
        strides: the width and height of each cell, of shape (n, 1).
    """

    corners: NDArray[np.float64]
    strides: NDArray[np.float64]

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each cell in pixels, of shape (n, 2)."""
        return self.corners + self.strides / 2

    @classmethod
    def over(cls, size: Size, strides: tuple[int, ...], anchors: int = 1) -> Self:
        """Return the cells over an image.

        Args:
            size: of the image.
            strides: one for each grid.
            anchors: how often each grid is repeated, before the next one.
        """
        corners, widths = [], []
        for stride in strides:
            columns, rows = _cells(size, stride)
            y, x = np.mgrid[:rows, :columns] * float(stride)
            corners += [np.stack([x.ravel(), y.ravel()], axis=1)] * anchors
            widths += [np.full((columns * rows, 1), float(stride))] * anchors
        return cls(np.concatenate(corners), np.concatenate(widths))

    @classmethod
    def of_count(cls, size: Size, count: int, anchors: int = 1) -> Self | None:
        """Return the cells over an image of which there are so many, anchors counted; None if no known strides give
        that."""
        for strides in STRIDES:
            if count == anchors * sum(columns * rows for columns, rows in (_cells(size, each) for each in strides)):
                return cls.over(size, strides, anchors)
        return None


def stride_of(size: Size, count: int) -> int | None:
    """Return the stride of a grid over an image that has so many cells; None if there is none."""
    cells = {stride: _cells(size, stride) for stride in LEVELS}
    return next((stride for stride, (columns, rows) in cells.items() if columns * rows == count), None)


def _cells(size: Size, stride: int) -> tuple[int, int]:
    """Return how many columns and rows of cells there are: convolutions with a stride and a border round up."""
    return -(-size[0] // stride), -(-size[1] // stride)
