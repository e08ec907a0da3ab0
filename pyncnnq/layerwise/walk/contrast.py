"""The request how far the branches differ in a blob."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import CONTRAST_UNITS, add_differences
from pyncnnq.layerwise.walk.conversation import Request, Walker
from pyncnnq.statistics.channels import channel_rows

UNITS = CONTRAST_UNITS
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
        from pyncnnq.runtime.network import array_of  # which imports ncnn: in workers only

        found: Differences | None = None
        for number, mat in walker.exact[self.blob].items():
            exact, rough = (channel_rows(array_of(each)) for each in (mat, walker.rough[self.blob][number]))
            if not exact.size:
                continue
            found = found or Differences(np.zeros(len(exact), np.int64), np.zeros(len(exact), np.int64))
            add_differences(_dense(exact), _dense(rough), self.low, self.high, found.counts, found.sums)
        return found


def _dense(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows whose numbers follow each other; rows of a blob of three dimensions lie apart, and stay so."""
    return rows if rows.strides[1] == rows.itemsize else np.ascontiguousarray(rows)
