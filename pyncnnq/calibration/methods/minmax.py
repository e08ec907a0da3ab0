"""The threshold that clips nothing."""

from __future__ import annotations

import numpy as np

from pyncnnq._core import BlobStatistics


def minmax(statistics: BlobStatistics) -> np.float32:
    """The largest magnitude seen."""
    return np.float32(statistics.absmax)
