"""Whether the evidence is enough to go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_NORMAL = 1.959964
"""A normal variable exceeds this in one of forty cases: so seldom may a difference come from the choice of images."""


def is_better(first: Numbers, second: Numbers) -> bool:
    """Return whether the first candidate is better by more than the choice of images explains: Student's paired test,
    on one side, at 2.5 %.

    Args:
        first, second: for each image the evidence, of the same images.
    """
    difference = first - second
    if len(difference) < 2:
        return False
    error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
    return bool(difference.mean() > student(len(difference) - 1) * error)


def exceeds(first: Numbers, second: Numbers, margin: float) -> bool:
    """Return whether the first candidate is better by a margin, and by more than the choice of images explains."""
    return float(np.mean(first - second)) >= margin and is_better(first, second)


def student(freedom: int) -> float:
    """Return what a variable of Student's distribution exceeds in one of forty cases.

    By Cornish and Fisher's expansion around the normal distribution (Abramowitz and Stegun 26.7.5); from 3 degrees of
    freedom on it is right to 1 %.
    """
    x = _NORMAL
    terms: tuple[float, ...] = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + float(sum(term / freedom**power for power, term in enumerate(terms, start=1)))


def pseudo_values(statistic: float, without: Sequence[float]) -> Numbers:
    """Return for each image its part in a statistic of all (the jackknife's pseudo-values).

    Args:
        statistic: of all images.
        without: the same of all images but one, for each.
    """
    count = len(without)
    return np.array([count * statistic - (count - 1) * other for other in without], np.float64)
