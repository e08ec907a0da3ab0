"""Weight scales by the error at the layer's output, for inputs as calibration saw them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq._core import least_error_scales as search_scales
from pyncnnq.calibration.weight_scales import scales_of, weight_rows
from pyncnnq.model import Layer
from pyncnnq.model.ops import ScaledWeight
from pyncnnq.statistics.moments import InputMoments, input_moments

RATIOS = np.append(1.0, np.linspace(1.2, 0.6, 96))
"""What is tried: thresholds of weights as shares of the largest magnitude.

Above 1 steps are a little coarser and nothing is clipped, which is what few weights need; below, many weights gain by
finer steps what few lose by clipping.
"""


def least_error_scales(layer: Layer, weight: ScaledWeight, blob: BlobStatistics) -> tuple[NDArray[np.float32], int]:
    """8-bit scales (int8 = float * scale) that move the layer's outputs least, shape (rows,), and how many rows are all
    zero and got 1.

    Weights rounded to w + d move an output by the sum of d x, whose mean square is (sum of d E[x])^2 + sum of d^2
    Var[x], inputs taken as independent.  Each of many scales rounds the weights in another way, so that there is nearly
    always one that leaves the mean of the output where it was, without any change of biases, and costs little else.
    Outputs that share a scale are added up.

    Args:
        layer: one of ACTIVATION_TYPES, with finite weights.
        weight: its only scaled weight.
        blob: the statistics of its input.

    Raises:
        ModelError: the weights do not divide into so many rows.
    """
    rows, absmax = weight_rows(layer, weight)
    scales, zeros = scales_of(absmax, 8)
    searched = _search(rows, scales, input_moments(layer, blob))
    return np.where(absmax * scales > 1, searched, scales), zeros  # else they are zero in int8 anyway


def _search(rows: NDArray[np.float32], scales: NDArray[np.float32], moments: InputMoments) -> NDArray[np.float32]:
    """The best of 97 scales for each row: around the given ones, which cover the largest magnitude."""
    with np.errstate(over="ignore"):
        candidates = (scales[:, None] / RATIOS).astype(np.float32)
    candidates = np.where(np.isinf(candidates), scales[:, None], candidates)
    return search_scales(rows, candidates, moments.means, moments.variance)
