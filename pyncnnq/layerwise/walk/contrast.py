"""The request how far the branches differ in a blob."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.layerwise.walk.conversation import Request, Walker, joined

UNITS = 2**24
"""Differences are counted in 1 / UNITS of the blob's own unit: as fine as float32 is at 1."""


@dataclass
class Differences:
    """By how much the float branch has more, in each channel, as integers, so that sums are the same in any order.

    Attributes:
        counts: how many values there were, (channels,).
        sums: of the differences, in 1 / UNITS of the blob's own unit, (channels,).
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]

    def add(self, other: Differences) -> None:
        """Take in the differences of other samples."""
        self.counts += other.counts
        self.sums += other.sums


@dataclass(frozen=True)
class Contrast(Request):
    """Ask how far the branches differ in a blob, where its values in float are between two bounds, these not included.

    Attributes:
        blob: its name.
        low, high: the bounds, in the blob's own unit.
    """

    blob: str
    low: float
    high: float

    def answer(self, walker: Walker) -> Differences | None:
        return joined(self._parts(walker))

    def _parts(self, walker: Walker) -> Iterator[Differences]:
        for number, mat in walker.exact[self.blob].items():
            exact, rough = (np.asarray(values) for values in (mat, walker.rough[self.blob][number]))
            inside = (exact > self.low) & (exact < self.high)
            differences = np.where(inside, np.rint((exact.astype(np.float64) - rough) * UNITS), 0).astype(np.int64)
            if exact.ndim == 1:
                yield Differences(inside.astype(np.int64), differences)
            else:  # a channel is a channel of a 3-D blob, but a column of a 2-D one
                others = (0,) if exact.ndim == 2 else tuple(range(1, exact.ndim))
                yield Differences(inside.sum(axis=others), differences.sum(axis=others))
