"""What each channel of a blob takes: its range, mean and variance over all images and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelRanges:
    """Of the channels of one blob, in its own units; each array has shape (channels,).

    A channel is what one input weight sees: the channel of a 3-D or 4-D blob, the column of a 2-D one, the element of a 1-D one.

    Attributes:
        min, max: the smallest and the largest value.
        mean, variance: over all values of all images.
    """

    min: Floats
    max: Floats
    mean: Floats
    variance: Floats

    @property
    def absmax(self) -> Floats:
        """The largest magnitudes."""
        return np.maximum(-self.min, self.max)

    def shifted(self, offsets: Floats) -> ChannelRanges:
        """Those of x + offset, with one offset for each channel."""
        return replace(self, min=self.min + offsets, max=self.max + offsets, mean=self.mean + offsets)

    def scaled(self, factors: Floats) -> ChannelRanges:
        """Those of x * factor, with one positive factor for each channel."""
        return ChannelRanges(self.min * factors, self.max * factors, self.mean * factors, self.variance * factors**2)


@dataclass(frozen=True)
class ChannelSums:
    """What one sample adds to the ranges of a blob; each array has shape (channels,).

    Attributes:
        count: how many values each channel has.
        min, max: the smallest and the largest value.
        sum, squares: of the values and of their squares.
    """

    count: int
    min: Floats
    max: Floats
    sum: Floats
    squares: Floats


def channel_sums(blob: Floats) -> ChannelSums:
    """Those of one blob of 1 to 4 dimensions."""
    channels = blob.T if blob.ndim == 2 else blob.reshape(blob.shape[0], -1)
    sums, squares = channels.sum(axis=1), np.square(channels).sum(axis=1)
    return ChannelSums(channels.shape[1], channels.min(axis=1), channels.max(axis=1), sums, squares)


def merge_sums(parts: Sequence[ChannelSums]) -> ChannelRanges | None:
    """The ranges of a blob over all samples, added up in their order; None if its number of channels changed from sample to sample."""
    if len({part.min.size for part in parts}) != 1:
        return None
    count = sum(part.count for part in parts)
    mean = sum((part.sum for part in parts), np.float64(0)) / count
    squares = sum((part.squares for part in parts), np.float64(0)) / count
    return ChannelRanges(
        np.minimum.reduce([part.min for part in parts]),
        np.maximum.reduce([part.max for part in parts]),
        np.asarray(mean),
        np.maximum(squares - mean**2, 0),
    )
