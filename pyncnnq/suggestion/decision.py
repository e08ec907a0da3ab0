"""Whether the evidence is enough to go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RESAMPLES = 1000
"""Drawings of as many images as there are, with replacement."""
NEARLY_ALL = 0.9
"""The part of the drawings that the first of a ranking must win."""


def wins(first: Numbers, second: Numbers) -> float:
    """Return in what part of drawings of the images the first candidate has more evidence than the second.

    Args:
        first, second: for each image the evidence, of the same images.
    """
    drawn = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    return float(np.mean((first - second)[drawn].mean(axis=1) > 0))


def exceeds(first: Numbers, second: Numbers, margin: float) -> bool:
    """Return whether the first candidate is better by a margin on average, and better in nearly all drawings."""
    return float(np.mean(first - second)) >= margin and wins(first, second) >= NEARLY_ALL


def pseudo_values(statistic: float, without: Sequence[float]) -> Numbers:
    """Return for each image its part in a statistic of all (the jackknife's pseudo-values).

    Args:
        statistic: of all images.
        without: the same of all images but one, for each.
    """
    count = len(without)
    return np.array([count * statistic - (count - 1) * other for other in without], np.float64)
