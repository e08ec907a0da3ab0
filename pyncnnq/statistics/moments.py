"""Mean and variance of what the weights of a layer are multiplied with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated

_BINS = 4096


@dataclass(frozen=True)
class InputMoments:
    """What is known of a layer's input.

    Attributes:
        means: E[x] of what each weight of an output is multiplied with, shape (groups, weights of an output).
        variance: Var[x] around these, one number for all.
    """

    means: NDArray[np.float64]
    variance: float


def input_moments(layer: Layer, blob: BlobStatistics) -> InputMoments:
    """Return the moments of the input of a calibrated layer; means of 0 where they are not known.

    The variance is the mean square of all values less that of the channels' means, and what rounding to int8 adds,
    which keeps even a constant input from being exact.
    """
    op = layer.as_op(Calibrated)
    means = input_means(layer, blob.channel_means())
    means = np.zeros(op.input_channels()) if means is None else means
    rounding = (blob.absmax / 127) ** 2 / 12
    spread = max(0.0, _mean_square(blob) - math.fsum(means**2) / means.size)
    return InputMoments(np.repeat(means.reshape(op.groups, -1), op.kernel_size, axis=1), spread + rounding)


def input_means(layer: Layer, channel_means: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return E[x] of each input channel (InnerProduct: element), shape (input channels,); None where it is unknown."""
    op = layer.as_op(Calibrated)
    channels = op.input_channels()
    if channel_means.size == 0 or channels % channel_means.size != 0:
        return None
    if not op.flattens and channel_means.size != channels:
        return None
    # An InnerProduct reads a blob of three dimensions channel after channel.
    return np.repeat(channel_means, channels // channel_means.size)


def _mean_square(blob: BlobStatistics) -> float:
    counts = blob.histogram(_BINS)
    if not counts.any():
        return 0.0
    squares = ((np.arange(_BINS) + 0.5) / _BINS) ** 2  # in units of absmax
    non_zero = 1 - blob.zeros / blob.count  # the zeros are in no bin
    return non_zero * math.fsum(counts * squares) / math.fsum(counts) * blob.absmax**2
