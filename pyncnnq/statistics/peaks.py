"""The largest magnitude in each channel of a blob."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class ChannelPeaks:
    """Those of one blob over all samples.  Neither the order of samples nor that of merging matters."""

    def __init__(self) -> None:
        self._absmax: Floats | None = None
        self._known = True

    @property
    def absmax(self) -> Floats | None:
        """Shape (channels,).

        None before the first sample; if the number of channels changed from sample to sample; and of a matrix, whose channels are rows to
        some layers and columns to others.
        """
        return self._absmax if self._known else None

    def observe(self, mat: Any, elempack: int, *, non_negative: bool) -> None:
        """Take one sample's blob, of finite values.

        Args:
            mat: what NumPy can look at: float32, shape (w), (h, w), (c, h, w) or (c, d, h, w).
            elempack: so many channels lie together, interleaved along the last axis.
            non_negative: no value is below zero.
        """
        values = np.asarray(mat)
        if values.ndim == 2:
            self._known = False
            return
        if values.ndim > 2:
            rows = tuple(range(1, values.ndim - 1))  # these first: within a row, memory is read in order
            highest = values.max(axis=rows)
            ends = highest if non_negative else np.maximum(highest, -values.min(axis=rows))
            values = ends.reshape(len(ends), -1, elempack).max(axis=1)
        self._take(np.abs(values).ravel())

    def merge(self, other: ChannelPeaks) -> None:
        """Take what another one saw."""
        self._known &= other._known
        if other._absmax is not None:
            self._take(other._absmax)

    def _take(self, absmax: Floats) -> None:
        if self._absmax is None:
            self._absmax = absmax
        elif self._absmax.shape != absmax.shape:
            self._known = False
        else:
            self._absmax = np.maximum(self._absmax, absmax)
