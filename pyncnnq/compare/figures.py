"""Figures of a model before and after quantization, and how sure their difference is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within so many standard deviations


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate (int8 minus float), and the bounds of its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure over all samples.

    Attributes:
        name: what it measures.
        unit: "%", or empty for a plain number.
        values: of the float and of the int8 model; the first is None for a figure of both, such as an agreement.
        change: int8 minus float, in percentage points or plain; None where it is not known how sure it is.
    """

    name: str
    unit: str
    values: tuple[float | None, float]
    change: Interval | None = None


def percentage(hits: Sequence[bool]) -> float:
    """Return how many of 100 are hits."""
    return 100 * sum(hits) / len(hits)


def paired_difference(before: Sequence[bool], after: Sequence[bool]) -> Interval:
    """Return the difference of two percentages of the same samples in percentage points, with its adjusted Wald
    interval.

    Only samples on which the models disagree tell anything.  An imaginary sample is added to each kind of
    disagreement, which keeps the interval honest where there are few: D. G. Bonett and R. M. Price, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data", Journal of Educational and
    Behavioral Statistics 37 (2012) 479-488.
    """
    count = len(before)
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    won = sum(b and not a for a, b in zip(before, after, strict=True))
    down, up = (lost + 1) / (count + 2), (won + 1) / (count + 2)
    half = _Z * math.sqrt((down + up - (up - down) ** 2) / (count + 2))
    middle = up - down
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Interval(estimate=100 * (won - lost) / count, low=100 * low, high=100 * high)


def mean_figure(name: str, pairs: Sequence[tuple[float, float]]) -> Figure:
    """Return the means of a score over samples, of which each gives a pair: float, int8.

    The interval is that of a mean of normally distributed differences.
    """
    count = len(pairs)
    means = (math.fsum(pair[0] for pair in pairs) / count, math.fsum(pair[1] for pair in pairs) / count)
    change = means[1] - means[0]
    variance = math.fsum((after - before - change) ** 2 for before, after in pairs) / max(count - 1, 1)
    half = _Z * math.sqrt(variance / count) if count > 1 else math.inf
    return Figure(
        name=name, unit="", values=means, change=Interval(estimate=change, low=change - half, high=change + half)
    )
