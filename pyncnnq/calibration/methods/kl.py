"""The threshold with the least Kullback-Leibler divergence between the values and their quantization."""

from __future__ import annotations

import numpy as np

from pyncnnq._core import BlobStatistics, kl_threshold_bin
from pyncnnq.calibration.methods.method import Method

BINS = 2048
LEVELS = 128


def kl(statistics: BlobStatistics) -> np.float32:
    """Return ncnn2table's threshold: 2048 bins over [0, absmax] without the zeros, 128 levels, at least as many bins.

    Source: `quantize_KL` in ncnn's tools/quantize/ncnn2table.cpp, after S. Migacz, "8-bit inference with TensorRT",
    GTC 2017.
    """
    bin_count = kl_threshold_bin(statistics.histogram(BINS), LEVELS)
    # In double precision: as float32, (bin_count + 0.5) * absmax may overflow.
    return np.float32((bin_count + 0.5) * statistics.absmax / BINS)


KL = Method(
    help="the least Kullback-Leibler divergence, as ncnn2table's kl", threshold=lambda blob: kl(blob.statistics)
)
