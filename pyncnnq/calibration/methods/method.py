"""The interface of a calibration method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.weight_scales import weight_scales
from pyncnnq.model import Layer
from pyncnnq.model.ops import ScaledWeight


@dataclass(frozen=True)
class Observation:
    """A blob as calibration saw it.

    Attributes:
        statistics: of its values, not all of which are zero.
        samples: how many samples they are from.
        readers: the layers that read the blob and will have its scale.
    """

    statistics: BlobStatistics
    samples: int
    readers: Sequence[Layer]


WeightScales = Callable[[Layer, ScaledWeight, int, BlobStatistics], tuple[NDArray[np.float32], int]]
"""Takes a layer whose input has a scale in the table (`Calibrated`), its array of finite weights, their bits, and the
statistics of the layer's input.

Returns the scales (int8 = float * scale), shape (rows,), and how many rows are all zero and got 1.
"""


def scale_by_magnitude(
    layer: Layer, weight: ScaledWeight, bits: int, _statistics: BlobStatistics
) -> tuple[NDArray[np.float32], int]:
    """Return the scales by which the largest magnitude in each row becomes the largest int8 number."""
    return weight_scales(layer, weight, bits)


@dataclass(frozen=True, kw_only=True)
class Method:
    """How thresholds of blobs and scales of weights are chosen.

    Attributes:
        help: a few words for help texts.
        threshold: returns the largest magnitude of a blob that int8 shall represent, in the blob's units.
        weight_scales: returns the scales of a layer's weights.
        weight_bits: how the bits of weights are chosen if the user does not say, a name in
            `pyncnnq.calibration.weight_scales.WEIGHT_BITS`.
    """

    help: str
    threshold: Callable[[Observation], np.float32]
    weight_scales: WeightScales = scale_by_magnitude
    weight_bits: str = "ncnn"
