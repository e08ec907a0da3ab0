"""The Kullback-Leibler search by its definition (quantize_KL in ncnn's tools/quantize/ncnn2table.cpp), distributions
written out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPSILON = np.float64(np.float32(0.0001))

Histogram = NDArray[np.float64]


def spread_over_levels(p: Histogram, threshold: int, levels: int) -> Histogram:
    """The mass of each of `levels` equal stretches of the first `threshold` bins spread evenly over it."""
    # The edges of bins and of stretches cut the line into pieces, each in one bin and in one stretch.  The unit is a
    # `levels`th of a bin, so that all of them are whole numbers.
    edges = np.unique(np.concatenate([np.arange(threshold + 1) * levels, np.arange(levels + 1) * threshold]))
    bins, stretches, lengths = edges[:-1] // levels, edges[:-1] // threshold, np.diff(edges)
    density = np.bincount(stretches, lengths * p[bins]) / threshold
    return np.bincount(bins, lengths * density[stretches]) / levels


def divergences(histogram: Histogram, levels: int) -> dict[int, float]:
    """For each threshold the divergence of the quantized distribution from the clipped one.

    Values beyond the threshold are clipped into its last bin, but are not part of what is quantized; epsilon is added
    to every bin of both.
    """
    p = (histogram / histogram.sum()).astype(np.float32).astype(np.float64)
    found = {}
    for threshold in range(levels, histogram.size):
        clipped = p[:threshold].copy()
        clipped[-1] += p[threshold:].sum()
        clipped, quantized = clipped + EPSILON, spread_over_levels(p, threshold, levels) + EPSILON
        found[threshold] = float((clipped * np.log(clipped / quantized)).sum())
    return found
