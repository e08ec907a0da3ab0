"""The threshold with the least mean squared error between the values and their quantization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics, active_kernels
from pyncnnq.calibration.methods.method import Method

BINS = 16384
CANDIDATES = 64
LEAST = 1 / 64
"""Below this share of the largest magnitude no threshold is tried."""


def mse(statistics: BlobStatistics, importance: NDArray[np.float64] | None = None) -> np.float32:
    """Return the best of 64 thresholds from absmax / 64 to absmax, in equal ratios, and of 64 more around the best.

    Each of 16384 equal bins over [0, absmax] stands for its values by its middle: a step of the finest quantization
    tried is two bins.

    Source: Shin et al., "Fixed-point performance analysis of recurrent neural networks", ICASSP 2016; Banner et al.,
    "Post training 4-bit quantization", NeurIPS 2019.

    Args:
        statistics: of a blob that is not all zero.
        importance: what squared errors of values are multiplied with, shape (16384,), by their bin; default: all alike.
    """
    absmax = statistics.absmax
    counts = statistics.histogram(BINS) * (1.0 if importance is None else importance)
    # In units of absmax, so that nothing over- or underflows.
    middles = ((np.arange(BINS) + 0.5) / BINS).astype(np.float32)

    def errors(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        scales = (127 / thresholds).astype(np.float32)
        return active_kernels().quantization_errors_f32(middles, scales, counts) / scales.astype(np.float64) ** 2

    coarse = np.geomspace(LEAST, 1, CANDIDATES)
    best = int(np.argmin(errors(coarse)))
    fine = np.linspace(coarse[max(0, best - 1)], coarse[min(best + 1, CANDIDATES - 1)], CANDIDATES)
    return np.float32(fine[np.argmin(errors(fine))] * absmax)


MSE = Method(help="the least mean squared error", threshold=lambda blob: mse(blob.statistics))
