"""Scores of both models on the same samples, and how sure their difference is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyncnnq.compare.outputs import percentage

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within so many standard deviations


@dataclass(frozen=True)
class Interval:
    """An estimate (int8 minus float), and the bounds of its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """How often the models are right, in percent.

    Attributes:
        output: the blob whose largest value is the answer.
        top1: of the float and the int8 model.
        top5: the same for the five largest values; None where there are no more than five.
        top1_change: int8 minus float, in percentage points.
    """

    output: str
    top1: tuple[float, float]
    top5: tuple[float, float] | None
    top1_change: Interval


@dataclass(frozen=True)
class Score:
    """A user's score: the means of both models over the samples, and their difference.

    Attributes:
        metric: its name.
        mean: of the float and the int8 model.
        change: int8 minus float.
    """

    metric: str
    mean: tuple[float, float]
    change: Interval


def accuracy(
    output: str, tops: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], labels: Sequence[int], *, has_top5: bool
) -> Accuracy:
    """From the places of the largest values of each sample, in float and int8, and its label."""
    right = [[top[model][0] == label for top, label in zip(tops, labels, strict=True)] for model in range(2)]
    among = [[label in top[model] for top, label in zip(tops, labels, strict=True)] for model in range(2)]
    top5 = (percentage(among[0]), percentage(among[1])) if has_top5 else None
    return Accuracy(output, (percentage(right[0]), percentage(right[1])), top5, paired_difference(*right))


def paired_difference(before: Sequence[bool], after: Sequence[bool]) -> Interval:
    """The difference of two percentages of the same samples, in percentage points, with its adjusted Wald interval.

    Only samples on which the models disagree tell anything.  One imaginary sample is added to each kind of
    disagreement, which keeps the
    interval honest where there are few: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012)
    479-488.
    """
    count = len(before)
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    won = sum(b and not a for a, b in zip(before, after, strict=True))
    down, up = (lost + 1) / (count + 2), (won + 1) / (count + 2)
    half = _Z * math.sqrt((down + up - (up - down) ** 2) / (count + 2))
    middle = up - down
    return Interval(100 * (won - lost) / count, 100 * max(-1.0, middle - half), 100 * min(1.0, middle + half))


def score(metric: str, pairs: Sequence[tuple[float, float]]) -> Score:
    """The means of a score of each sample in both models; the interval is that of a mean of normally distributed
    differences."""
    count = len(pairs)
    means = (math.fsum(pair[0] for pair in pairs) / count, math.fsum(pair[1] for pair in pairs) / count)
    change = means[1] - means[0]
    variance = math.fsum((after - before - change) ** 2 for before, after in pairs) / max(count - 1, 1)
    half = _Z * math.sqrt(variance / count) if count > 1 else math.inf
    return Score(metric, means, Interval(change, change - half, change + half))
