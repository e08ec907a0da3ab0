"""From the statistics of a blob to the largest magnitude that int8 shall represent: one module for each method."""

from collections.abc import Callable, Mapping

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.thresholds.kl import kl
from pyncnnq.thresholds.minmax import minmax
from pyncnnq.thresholds.mse import mse
from pyncnnq.thresholds.percentile import percentile

Method = Callable[[BlobStatistics], np.float32]
"""Takes the statistics of a blob that is not all zero; returns its threshold, in the blob's own units."""

METHODS: Mapping[str, Method] = {"kl": kl, "minmax": minmax, "mse": mse, "percentile": percentile}

__all__ = ["METHODS", "Method"]
