"""From the statistics of a blob to the largest magnitude that int8 shall represent: one module for each method."""

from collections.abc import Callable, Mapping

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.methods.aciq import aciq
from pyncnnq.calibration.methods.kl import kl
from pyncnnq.calibration.methods.minmax import minmax
from pyncnnq.calibration.methods.mse import mse
from pyncnnq.calibration.methods.percentile import percentile

Method = Callable[[BlobStatistics, int], np.float32]
"""Takes the statistics of a blob that is not all zero and the number of samples; returns the threshold, in the blob's
own units."""


def _by_values(threshold: Callable[[BlobStatistics], np.float32]) -> Method:
    return lambda statistics, _samples: threshold(statistics)


METHODS: Mapping[str, Method] = {
    "auto": _by_values(mse),
    "kl": _by_values(kl),
    "minmax": _by_values(minmax),
    "mse": _by_values(mse),
    "percentile": _by_values(percentile),
    "aciq": aciq,
}
"""With "auto", weight scales are chosen by the error at the layer's output besides
(pyncnnq/calibration/weight_search.py)."""

__all__ = ["METHODS", "Method"]
