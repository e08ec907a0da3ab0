"""The threshold that all but a few of the values stay below."""

from __future__ import annotations

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.methods.method import Method

PERCENT = 99.99
BINS = 16384


def percentile(statistics: BlobStatistics) -> np.float32:
    """Return the magnitude that 99.99 % of all values, zeros among them, do not exceed.

    It is told to a 16384th of the largest magnitude, as the middle of its bin.

    Source: TensorRT's and ONNX Runtime's percentile calibration.
    """
    counts = statistics.histogram(BINS)
    beyond = np.cumsum(counts[::-1])[::-1]  # in each bin and those above it
    # The zeros are in no bin, and a large blob is sampled: what counts is the share of the non-zero values that may lie
    # beyond.
    non_zero = 1 - statistics.zeros / statistics.count
    allowed = min(1.0, (1 - PERCENT / 100) / non_zero) * counts.sum()
    last = max(0, int(np.count_nonzero(beyond > allowed)) - 1)
    return np.float32((last + 0.5) * statistics.absmax / BINS) if last < BINS - 1 else np.float32(statistics.absmax)


PERCENTILE = Method(
    help=f"what {PERCENT} % of the values do not exceed", threshold=lambda blob: percentile(blob.statistics)
)
