"""The threshold that clips nothing."""

from __future__ import annotations

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.methods.method import Method


def minmax(statistics: BlobStatistics) -> np.float32:
    """Return the largest magnitude that the blob took."""
    return np.float32(statistics.absmax)


MINMAX = Method(
    help="the largest magnitude, so that nothing is clipped", threshold=lambda blob: minmax(blob.statistics)
)
