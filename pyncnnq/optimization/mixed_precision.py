"""Which layers to leave in float, where an int8 model alone is not accurate enough: the fewest that a budget needs.

A layer's share of the error is what it adds when it alone is int8.  (What is gone when it alone stays in float tells
less: where many layers are bad, no single one of them gains anything.)  Shares are a guess at what a layer gains, which
depends on those that are in float already, and on zero points and chains that it breaks: so at each step the most
promising layers are measured in the model as it is by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyncnnq.compare.metric import load_metric
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.optimization.judge import LARGEST_RATIO, Candidate, Judge, Judged, Progress, noise

TRIED = 8
"""How many layers are measured at each step."""

LEAST_GAIN = 0.1
"""In dB: a layer that gains less is not worth being in float, unless the goal is reached with it."""

Update = Callable[[int, int], None]


@dataclass(frozen=True)
class Budget:
    """What the int8 model shall reach, and what that may cost.

    Attributes:
        min_sqnr: the signal-to-quantization-noise ratio that each output must have, in dB.
        max_drop: by how much the mean score of the samples may fall from float to int8.  Without a metric it is the
            percentage of samples in which the largest value of any output that is a vector stands elsewhere.
        max_float_layers: how many layers may stay in float, besides those that the user names.
        metric: `FILE.py:FUNCTION` or `MODULE:FUNCTION` (see `pyncnnq.compare.metric`).
        max_float_macs: what share of the MACs they may have together, between 0 and 1.
    """

    min_sqnr: float | None = None
    max_drop: float | None = None
    max_float_layers: int | None = None
    metric: str | None = None
    max_float_macs: float | None = None

    def __post_init__(self) -> None:
        if self.min_sqnr is not None and not math.isfinite(self.min_sqnr):
            raise PyncnnqError(f"min_sqnr: expected a number of dB, not {self.min_sqnr}")
        if self.max_drop is not None and not 0 <= self.max_drop < math.inf:
            raise PyncnnqError(f"max_drop: expected 0 or more, not {self.max_drop}")
        if self.max_float_layers is not None and self.max_float_layers < 0:
            raise PyncnnqError(f"max_float_layers: expected 0 or more, not {self.max_float_layers}")
        if self.metric is not None:
            if self.max_drop is None:
                raise PyncnnqError("a metric is of use with max_drop only; say how far it may fall")
            load_metric(self.metric)  # an error now rather than in a worker, later

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return self != NO_BUDGET

    @property
    def has_goal(self) -> bool:
        """Whether it says what to reach; if not, as many layers as may stay in float, and only how many matters."""
        return self.min_sqnr is not None or self.max_drop is not None

    def check(self, candidate: Candidate) -> None:
        """Make sure that what is to be reached can be measured at all.

        Raises:
            InputError: no output has a largest value, and no metric is given.
        """
        if self.max_drop is not None and math.isnan(candidate.drop):
            raise InputError(
                f"max_drop: none of the outputs {', '.join(candidate.sqnr)} is a vector, so there is no top-1; "
                "give a metric"
            )

    def is_met(self, candidate: Candidate) -> bool:
        """Whether no layer more need be in float; never without a goal."""
        return self.has_goal and not self.shortfall(candidate)

    def score(self, candidate: Candidate) -> float:
        """How far a model has come, in dB: the mean over its outputs, of which none counts more than it needs."""
        largest = LARGEST_RATIO if self.min_sqnr is None or self.max_drop is not None else self.min_sqnr
        ratios = (candidate.telling if self.min_sqnr is None else candidate.sqnr).values()
        return math.fsum(min(max(ratio, -LARGEST_RATIO), largest) for ratio in ratios) / len(ratios)

    def shortfall(self, candidate: Candidate) -> str:
        """What is missing, in words; empty if nothing is."""
        missing = []
        output, ratio = min(candidate.sqnr.items(), key=lambda item: item[1])
        if self.min_sqnr is not None and ratio < self.min_sqnr:
            missing.append(f"output {output} reaches {ratio:.2f} dB, not {self.min_sqnr:g}")
        if self.max_drop is not None and not candidate.drop <= self.max_drop:
            missing.append(f"the drop is {candidate.drop:g}, not at most {self.max_drop:g}")
        return " and ".join(missing)


NO_BUDGET = Budget()
ALLOWANCE = Budget(max_float_macs=0.02)
"""What `best` may take unasked: often a layer near the input, with few channels, has a large share of the error and
does little work."""


@dataclass(frozen=True)
class LayerShare:
    """What one layer has to do with the error of the int8 model.

    Attributes:
        layer: its name.
        macs: its share of the MACs of all layers that would be int8, between 0 and 1.
        error: its share of the sum of the errors of all that were measured, each alone in int8, between 0 and 1; the
            mean over the outputs.
        sqnr: of each output then, in dB.
    """

    layer: str
    macs: float
    error: float
    sqnr: Mapping[str, float]


@dataclass(frozen=True)
class Step:
    """A model on the way from all int8 to what the budget needs, each better than those before it.

    Attributes:
        in_float: the layers in float, in the order in which they were taken.
        int8_macs: the share of the MACs that is still int8, between 0 and 1.
        candidate: how good it is.
    """

    in_float: tuple[str, ...]
    int8_macs: float
    candidate: Candidate


@dataclass(frozen=True)
class MixedPrecision:
    """The layers that a budget left in float.

    Attributes:
        budget: what was asked for.
        best: the model that was found.
        shares: of each layer that could be left, the largest first; empty if what was int8 was good enough.
        steps: from all int8 on, one layer more each, and less error: their Pareto list; empty too then.
        rounded: those of the steps for which weights were rounded anew, with them; none in recipes that do not round.
    """

    budget: Budget
    best: Judged
    shares: tuple[LayerShare, ...]
    steps: tuple[Step, ...]
    rounded: tuple[Step, ...] = ()

    @property
    def in_float(self) -> tuple[str, ...]:
        """The layers, in the order in which they were taken."""
        return self.best.draft.spared

    @property
    def warnings(self) -> list[str]:
        """What of the budget could not be met."""
        missing = self.budget.shortfall(self.best.candidate)
        return [f"the budget is not met: with {len(self.in_float)} layers in float, {missing}"] if missing else []

    def round_weights(self, first: Judged, make: Callable[[tuple[str, ...]], Judged]) -> MixedPrecision:
        """With weights that are rounded anew, for the fewest layers in float that the budget needs then.

        Args:
            first: the model without any, which does not meet the budget.
            make: from layers to the model with these in float.
        """
        found = {0: first}

        def at(count: int) -> Judged:
            if count not in found:
                found[count] = make(self.steps[count].in_float)
            return found[count]

        low, high = 0, len(self.steps) - 1
        while self.budget.is_met(at(high).candidate) and high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.budget.is_met(at(middle).candidate) else (middle, high)
        best = at(high)
        if not self.budget.is_met(best.candidate):  # also where rounding does harm
            best = max(
                self.best, best, key=lambda one: (self.budget.is_met(one.candidate), self.budget.score(one.candidate))
            )
        rounded = tuple(replace(self.steps[count], candidate=found[count].candidate) for count in sorted(found))
        return replace(self, best=best, rounded=rounded)


def meet(
    budget: Budget,
    judged: Sequence[Judged],
    start: Callable[[], Judged],
    rounded: Judged | None,
    rounded_without: Callable[[tuple[str, ...]], Judged],
    macs: Mapping[str, float],
    judge: Judge,
    progress: Progress,
) -> MixedPrecision:
    """The model that meets a budget with few layers in float, or else comes nearest to it.

    Args:
        budget: what to reach.
        judged: models that are all int8, the best first.
        start: makes the one in which layers are chosen; called if none of them meets the budget.
        rounded: that whose weights are; None where the recipe rounds none.
        rounded_without: from layers to the model that has these in float, and weights rounded so.
        macs, judge: see `leave_in_float`.
        progress: called with the name of the pass.
    """
    for one in judged:
        if budget.is_met(one.candidate):
            return MixedPrecision(budget, one, (), ())
    first = start()
    with progress("leave layers in float") as update:
        mixed = leave_in_float(first, macs, judge, budget, update)
    return mixed if rounded is None else mixed.round_weights(rounded, rounded_without)


def leave_in_float(
    start: Judged, macs: Mapping[str, float], judge: Judge, budget: Budget, update: Update | None = None
) -> MixedPrecision:
    """Take layers out of int8, one after another, until a budget is met or used up.

    Each time it is the one that gains most for what it costs, of the TRIED with the largest shares of the error for
    that.  One that gains less than LEAST_GAIN is not taken, unless the goal is reached with it.  A layer costs its
    share of the MACs and its share of the layers; where only their number is limited, all cost the same.

    Args:
        start: the int8 model, which does not meet the budget.
        macs: of each layer that can be int8.
        judge: of models.
        budget: what to reach.
        update: called with (layers measured or taken, how many there may be).
    """
    quantized = [layer.name for layer in start.made.int8.summary.quantized]
    total = math.fsum(macs[layer] for layer in quantized) or 1.0
    work = {layer: macs[layer] / total for layer in quantized}
    allowed = 1.0 if budget.max_float_macs is None else budget.max_float_macs
    layers = [layer for layer in quantized if work[layer] <= allowed]
    most = len(layers) if budget.max_float_layers is None else min(budget.max_float_layers, len(layers))
    steps = [Step((), 1.0, start.candidate)]
    best = start
    if not most:
        return MixedPrecision(budget, best, (), tuple(steps))

    def report(done: int) -> None:
        if update is not None:
            update(done, len(layers) + most)

    shares = _shares(start, quantized, layers, work, judge, report)
    only_counts = not budget.has_goal and budget.max_float_macs is None
    costs = {share.layer: 1.0 if only_counts else share.macs + 1 / len(quantized) for share in shares}
    remaining = [share.layer for share in sorted(shares, key=lambda share: -share.error / costs[share.layer])]
    while len(steps) <= most and not budget.is_met(best.candidate):
        found = _next(best, remaining, costs, judge, budget)
        if found is None:
            break
        best = found
        taken = best.draft.spared
        spent = math.fsum(work[layer] for layer in taken)
        remaining = [layer for layer in remaining if layer != taken[-1] and spent + work[layer] <= allowed]
        steps.append(Step(taken, 1 - spent, best.candidate))
        report(len(layers) + len(taken))
    return MixedPrecision(budget, best, shares, tuple(steps))


def _shares(
    start: Judged,
    quantized: Sequence[str],
    layers: Sequence[str],
    work: Mapping[str, float],
    judge: Judge,
    report: Callable[[int], None],
) -> tuple[LayerShare, ...]:
    """Those of some of the layers that are int8, the largest first."""
    alone: list[Candidate] = []  # and not the models, which are as many as there are layers
    for some in _batches(layers):
        drafts = [start.draft.with_float(*(other for other in quantized if other != layer)) for layer in some]
        alone += [one.candidate for one in judge.run_some(drafts)]
        report(len(alone))
    noises = {blob: [noise(one.sqnr[blob]) for one in alone] for blob in start.candidate.telling}
    errors = [
        math.fsum(column[place] / math.fsum(column) for column in noises.values()) / len(noises)
        for place in range(len(layers))
    ]
    found = [
        LayerShare(layer, work[layer], error, one.sqnr) for layer, error, one in zip(layers, errors, alone, strict=True)
    ]
    return tuple(sorted(found, key=lambda share: -share.error))


def _next(
    best: Judged, remaining: Sequence[str], costs: Mapping[str, float], judge: Judge, budget: Budget
) -> Judged | None:
    """The model with one layer more in float; None if none gains anything."""
    reached = budget.score(best.candidate)
    for some in _batches(remaining):
        tried = list(judge.run_some([best.draft.with_float(layer) for layer in some]))
        gains = [budget.score(one.candidate) - reached for one in tried]
        worth = [
            (gain / costs[one.draft.spared[-1]], one)
            for gain, one in zip(gains, tried, strict=True)
            if gain >= LEAST_GAIN or budget.is_met(one.candidate)
        ]
        if worth:
            return max(worth, key=lambda pair: pair[0])[1]
    return None


def _batches(layers: Sequence[str]) -> list[Sequence[str]]:
    return [layers[start : start + TRIED] for start in range(0, len(layers), TRIED)]
