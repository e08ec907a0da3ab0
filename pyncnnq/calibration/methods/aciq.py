"""The threshold that would clip best if the values were normally distributed, with a spread guessed from the
largest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.methods.method import Method
from pyncnnq.calibration.weight_scales import scales_of, weight_rows
from pyncnnq.model import Layer
from pyncnnq.model.quantizable import ScaledWeight

_CLIP = {6: 3.28691474, 8: 3.92403714}
"""By bits: how many standard deviations of a normal distribution to keep, for the least mean squared error."""
_SPREAD = 0.5 * 0.35 * (1 + math.sqrt(math.pi * math.log(4)))


def aciq(statistics: BlobStatistics, samples: int) -> np.float32:
    """Return ncnn2table's threshold, also where it lies beyond the largest magnitude, as it does for small blobs."""
    return np.float32(gaussian_clip(np.array([statistics.absmax], np.float32), statistics.count // samples, 8)[0])


def gaussian_clip(absmax: NDArray[np.float32], count: int, bits: int) -> NDArray[np.float32]:
    """Return thresholds of arrays by their largest magnitudes, shape (arrays,).

    Of `count` normally distributed values, the largest magnitude tells the standard deviation; of one value it tells
    nothing, and stays the threshold: the formula would give infinity, and ncnn2table writes scales of 0.

    Args:
        absmax: the largest magnitude in each array, shape (arrays,).
        count: how many values each array has.
        bits: 6 or 8.

    Source: `compute_aciq_gaussian_clip` in ncnn's tools/quantize/ncnn2table.cpp, after Banner et al., "Post training
    4-bit quantization of convolutional networks for rapid-deployment", NeurIPS 2019.
    """
    if count <= 1:
        return absmax
    clip = absmax.astype(np.float64) * (_CLIP[bits] * 2 * _SPREAD / math.sqrt(2 * math.log(count)))
    return np.minimum(clip, np.finfo(np.float32).max).astype(np.float32)


def aciq_weight_scales(
    layer: Layer, weight: ScaledWeight, bits: int, _statistics: BlobStatistics | None = None
) -> tuple[NDArray[np.float32], int]:
    """Return ncnn2table's scales of weights, which it clips as it clips blobs, or for which it leaves levels unused."""
    values, absmax = weight_rows(layer, weight)
    return scales_of(gaussian_clip(absmax, values.shape[1], bits), bits)


ACIQ = Method(
    help="best for normally distributed values, as ncnn2table's aciq",
    threshold=lambda blob: aciq(blob.statistics, blob.samples),
    weight_scales=aciq_weight_scales,
)
