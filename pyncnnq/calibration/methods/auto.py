"""The default method: thresholds and weight scales with the least error at the outputs of layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.importance import importance
from pyncnnq.calibration.methods.method import Method, Observation
from pyncnnq.calibration.methods.mse import BINS, mse
from pyncnnq.calibration.weight_scales import weight_scales
from pyncnnq.calibration.weight_search import least_error_scales
from pyncnnq.model import Layer
from pyncnnq.model.quantizable import ScaledWeight


def important_mse(blob: Observation) -> np.float32:
    """Return the threshold with the least squared error, weighted by how much errors matter to the blob's readers.

    Without statistics of channels all errors count alike.
    """
    absmax = blob.statistics.channel_absmax()
    return mse(blob.statistics, importance(blob.readers, absmax, BINS) if absmax.size else None)


def searched_scales(
    layer: Layer, weight: ScaledWeight, bits: int, statistics: BlobStatistics
) -> tuple[NDArray[np.float32], int]:
    """Return 8-bit scales that move the layer's outputs least; weights of fewer bits are scaled by their magnitudes."""
    if bits == 8:
        return least_error_scales(layer, weight, statistics)
    return weight_scales(layer, weight, bits)


AUTO = Method(
    help="the least error at the outputs of the layers that read a blob",
    threshold=important_mse,
    weight_scales=searched_scales,
    weight_bits="proven",
)
