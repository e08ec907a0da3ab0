"""Weight scales by the error at the layer's output, for inputs as calibration saw them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics, active_kernels, quantize_rows
from pyncnnq.model import Layer
from pyncnnq.quantizable import ScaledWeight
from pyncnnq.statistics.moments import InputMoments, input_moments
from pyncnnq.weight_scales import scales_of, weight_rows

RATIOS = np.append(1.0, np.linspace(1.2, 0.6, 96))
"""What is tried: thresholds of weights as shares of the largest magnitude.

Above 1 steps are a little coarser and nothing is clipped, which is what few weights need; below, many weights gain by finer steps what few
lose by clipping.
"""

_CHUNK = 2**17  # weights: their int8 numbers and products stay in the second-level cache

Floats = NDArray[np.float64]


def least_error_scales(layer: Layer, weight: ScaledWeight, blob: BlobStatistics) -> tuple[NDArray[np.float32], int]:
    """8-bit scales (int8 = float * scale) that move the layer's outputs least, shape (rows,), and how many rows are all zero and got 1.

    Weights rounded to w + d move an output by the sum of d x, whose mean square is (sum of d E[x])^2 + sum of d^2 Var[x], inputs taken as
    independent.  Each of many scales rounds the weights in another way, so that there is nearly always one that leaves the mean of the
    output where it was, without any change of biases, and costs little else.  Outputs that share a scale are added up.

    Args:
        layer: one of ACTIVATION_TYPES, with finite weights.
        weight: its only scaled weight.
        blob: the statistics of its input.

    Raises:
        ModelError: the weights do not divide into so many rows.
    """
    rows, absmax = weight_rows(layer, weight)
    scales, zeros = scales_of(absmax, 8)
    searched = search_scales(rows, scales, input_moments(layer, blob))
    return np.where(absmax * scales > 1, searched, scales), zeros  # else they are zero in int8 anyway


def search_scales(rows: NDArray[np.float32], scales: NDArray[np.float32], moments: InputMoments) -> NDArray[np.float32]:
    """The best of 97 scales for each row, of equals the given one, then the smallest.

    Args:
        rows: finite weights, shape (rows, elements): one output in each, or those of one group.
        scales: around which to search, shape (rows,): 127 divided by the largest magnitude in each row.
        moments: of the input.
    """
    step = max(1, _CHUNK // max(1, rows.shape[1]))
    grouped = len(moments.means) > 1
    parts = []
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        means = moments.means[part] if grouped else moments.means
        parts.append(_search(rows[part], scales[part], means, moments.variance))
    return np.concatenate(parts)


def _search(rows: NDArray[np.float32], scales: NDArray[np.float32], means: Floats, variance: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        candidates = (scales[:, None] / RATIOS).astype(np.float32)
    candidates = np.where(np.isinf(candidates), scales[:, None], candidates)
    kernels = active_kernels()
    errors = np.stack([kernels.quantization_errors_f32(*pair) for pair in zip(rows, candidates, strict=True)])
    errors *= variance / candidates.astype(np.float64) ** 2
    errors += _squared_shifts(rows, candidates, means)
    best: NDArray[np.float32] = candidates[np.arange(len(rows)), np.argmin(errors, axis=1)]
    return best


def _squared_shifts(rows: NDArray[np.float32], candidates: NDArray[np.float32], means: Floats) -> Floats:
    """The squared shifts of the means of outputs, summed over those that share a scale; shape (rows, candidates).

    The means are taken as whole numbers of a small unit, and so many digits of them that the sums below are exact: their order, which
    differs between CPUs, must not choose between two scales.
    """
    largest = float(np.abs(means).max(initial=0))
    if largest == 0:
        return np.zeros(candidates.shape)
    unit = largest / 2.0 ** min(30, 45 - math.ceil(math.log2(means.shape[1])))
    whole = np.rint(means / unit)[:, :, None]
    shape = (len(means), -1, means.shape[1])  # (groups, outputs of a group, weights of an output)
    products = rows.reshape(shape) * whole.transpose(0, 2, 1)
    expected = np.add.accumulate(products, axis=2)[:, :, -1].reshape(len(rows), -1)
    shifts = np.empty(candidates.shape)
    for index, scales in enumerate(candidates.T):
        int8 = quantize_rows(rows, np.ascontiguousarray(scales)).reshape(shape).astype(np.float64)
        found = (int8 @ whole).reshape(len(rows), -1) / scales[:, None]
        shifts[:, index] = np.add.accumulate((found - expected) ** 2, axis=1)[:, -1]
    return shifts * unit**2
