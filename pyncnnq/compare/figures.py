"""Figures of a model before and after quantization, and how sure their difference is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within so many standard deviations

_ROUNDS = 1000
"""Of the bootstrap: the bounds of a 95 % interval then vary by a tenth of its width."""


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
        interval: the bounds of the 95 % confidence interval of a figure of both models; None where it is not known.
        gated: whether gates look at it although it has no change: then by how much int8 is below float counts, and of a
            share of what the float model finds what is missing to 100 %.
    """

    name: str
    unit: str
    values: tuple[float | None, float]
    change: Interval | None = None
    interval: tuple[float, float] | None = None
    gated: bool = False

    @property
    def drop(self) -> float | None:
        """By how much int8 is worse, in percentage points or plain; None for a figure that gates do not look at."""
        if self.change is not None:
            return -self.change.estimate
        if not self.gated:
            return None
        return (100 if self.values[0] is None else self.values[0]) - self.values[1]


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


def share(name: str, hits: Sequence[int], counts: Sequence[int], *, gated: bool = False) -> Figure:
    """Return which part of all things are hits, in percent, where each sample has a number of things.

    The interval is Wilson's (E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212).  Things
    of one sample are alike: so many are counted as independent as the spread between samples allows (the design effect
    of a cluster sample, at least 1).
    """
    total = sum(counts)
    part = sum(hits) / total
    effect = 1.0
    if 0 < part < 1 and len(counts) > 1:
        squares = math.fsum((hit - part * count) ** 2 for hit, count in zip(hits, counts, strict=True))
        effect = max(1.0, squares * len(counts) / (len(counts) - 1) / (total * part * (1 - part)))
    low, high = _wilson(part, total / effect)
    return Figure(name=name, unit="%", values=(None, 100 * part), interval=(100 * low, 100 * high), gated=gated)


def _wilson(part: float, count: float) -> tuple[float, float]:
    middle = (part + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(part * (1 - part) / count + _Z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_of_ratios(
    name: str, sums: Sequence[float], counts: Sequence[float], *, unit: str = "", gated: bool = False
) -> Figure:
    """Return the mean over all things, where each sample gives the sum over its things and their number.

    The interval is that of a ratio estimator: what samples differ by counts, however alike the things in one are.
    """
    total = math.fsum(counts)
    mean = math.fsum(sums) / total
    squares = math.fsum((top - mean * count) ** 2 for top, count in zip(sums, counts, strict=True))
    samples = len(counts)
    interval = None  # one sample says nothing of others
    if samples > 1 and math.isfinite(squares):
        half = _Z * math.sqrt(squares * samples / (samples - 1)) / total
        interval = mean - half, mean + half
    return Figure(name=name, unit=unit, values=(None, mean), interval=interval, gated=gated)


def bootstrapped(figure: Callable[[NDArray[np.int64]], float], count: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a figure over samples that is no mean: the middle of what it is over samples drawn
    anew, with replacement (B. Efron, The Annals of Statistics 7 (1979) 1-26); None of one sample.  The same call gives
    the same interval.

    Args:
        figure: from places of samples, of which some occur several times, to the figure; NaN where it is not defined.
        count: the number of samples.
    """
    if count < 2:
        return None
    rng = np.random.default_rng(0)
    drawn = np.array([figure(rng.integers(0, count, count)) for _ in range(_ROUNDS)])
    defined = drawn[np.isfinite(drawn)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)
