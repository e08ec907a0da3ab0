"""The request how far the branches differ in a blob."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.layerwise.walk.conversation import Request, Walker, joined
from pyncnnq.statistics.channels import channel_rows

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
        from pyncnnq.runtime.network import array_of  # which imports ncnn: in workers only

        for number, mat in walker.exact[self.blob].items():
            exact, rough = array_of(mat), array_of(walker.rough[self.blob][number])
            inside = (exact > self.low) & (exact < self.high)
            differences = np.subtract(exact, rough, dtype=np.float64)
            differences *= UNITS
            np.rint(differences, out=differences)
            np.copyto(differences, 0, where=~inside)
            yield Differences(channel_rows(inside).sum(axis=1), _sums(channel_rows(differences)))


def _sums(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the sums of rows of whole numbers, exactly."""
    largest = max(float(rows.max(initial=0)), -float(rows.min(initial=0)))
    is_small = largest * rows.shape[1] < 2**53  # so that float64 holds every sum
    sums: NDArray[np.int64] = (rows if is_small else rows.astype(np.int64)).sum(axis=1).astype(np.int64)
    return sums
