"""Whether the evidence is enough to go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RESAMPLES = 1000
"""Drawings of as many images as there are, with replacement."""
NEARLY_ALL = 0.99
"""The part of the drawings that the first of a ranking must win."""


def wins(first: Numbers, second: Numbers) -> float:
    """Return in what part of drawings of the images the first candidate has more evidence than the second.

    Args:
        first, second: for each image the evidence, of the same images.
    """
    drawn = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    return float(np.mean((first - second)[drawn].mean(axis=1) > 0))


def is_decisive(first: Numbers, others: Sequence[Numbers], least: float, margin: float) -> bool:
    """Return whether the first candidate is right beyond doubt.

    Args:
        first: for each image the evidence for the first of a ranking.
        others: that of all other candidates.
        least: the evidence that a network gives which recognizes anything.
        margin: by how much it must exceed that of any other.
    """
    mean = float(first.mean())
    return mean >= least and all(
        mean - float(other.mean()) >= margin and wins(first, other) >= NEARLY_ALL for other in others
    )
