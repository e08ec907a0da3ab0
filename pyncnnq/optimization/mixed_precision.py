"""Which layers to leave in float, where an int8 model alone is not accurate enough: the fewest that a budget needs.

A layer's share of the error is what it adds when it alone is int8.  (What is gone when it alone stays in float tells
less: where many layers are bad, no single one of them gains anything.)  Shares are a guess at what a layer gains, which
depends on those that are in float already, and on zero points and chains that it breaks: so at each step the most
promising layers are measured in the model as it is by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyncnnq.optimization.budget import ALLOWANCE, LARGE_ALLOWANCE, Budget, is_bad, loses_much
from pyncnnq.optimization.candidate import Candidate, noise
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge, Judged
from pyncnnq.optimization.local_noise import noisiest
from pyncnnq.optimization.ranking import Step, batches, error_shares
from pyncnnq.optimization.technique import Stage, Technique
from pyncnnq.runtime.progress import Update

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

LEAST_GAIN = 0.1
"""In dB: a layer that gains less is not worth being in float, unless the goal is reached with it."""

_LEAST_TO_A_GOAL = 0.01
"""In dB: a layer that is expected to gain less is not tried, even where that may reach a goal."""

_AT_ONCE = 4
"""How many layers are tried in one pass over the samples."""


@dataclass(frozen=True)
class LayerShare:
    """How much a layer has to do with the error of the int8 model.

    Attributes:
        layer: its name.
        macs: its share of the MACs of all layers that would be int8, between 0 and 1.
        error: its share of the sum of the errors of all layers that were measured, each alone in int8, between 0 and 1;
            the mean over the outputs.
        sqnr: of each output then, in dB.
    """

    layer: str
    macs: float
    error: float
    sqnr: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class MixedPrecision:
    """The layers that a budget left in float.

    Attributes:
        budget: what was asked for.
        best: the model that was chosen.
        shares: of each layer that could be left, the largest first; empty if what was int8 was good enough.
        steps: from all int8 on, one layer more each, and less error: their Pareto list; empty too then.
        rounded: those of the steps for which weights were rounded anew, with them; none in recipes that do not round.
    """

    budget: Budget
    best: Judged
    shares: tuple[LayerShare, ...] = ()
    steps: tuple[Step[Candidate], ...] = ()
    rounded: tuple[Step[Candidate], ...] = ()

    @property
    def in_float(self) -> tuple[str, ...]:
        """The names of the layers, in the order in which they were taken."""
        return self.best.draft.spared

    @property
    def warnings(self) -> list[str]:
        """What of the budget could not be met."""
        missing = self.budget.shortfall(self.best.candidate)
        return [f"the budget is not met: with {len(self.in_float)} layers in float, {missing}"] if missing else []

    def round_weights(self, first: Judged, make: Callable[[tuple[str, ...]], Judged]) -> MixedPrecision:
        """Return the result with weights that are rounded anew, for the fewest layers in float that the budget needs
        then.

        Args:
            first: the rounded model without layers in float, which does not meet the budget.
            make: from layers to the rounded model with these in float.
        """
        made = {0: first}

        def at(count: int) -> Judged:
            if count not in made:
                made[count] = make(self.steps[count].in_float)
            return made[count]

        low, high = 0, len(self.steps) - 1
        while self.budget.is_met(at(high).candidate) and high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.budget.is_met(at(middle).candidate) else (middle, high)
        best = at(high)
        if not self.budget.is_met(best.candidate):  # also where rounding does harm
            best = max(
                self.best,
                best,
                key=lambda model: (self.budget.is_met(model.candidate), self.budget.score(model.candidate)),
            )
        rounded = tuple(replace(self.steps[count], quality=made[count].candidate) for count in sorted(made))
        return replace(self, best=best, rounded=rounded)


@dataclass(frozen=True, kw_only=True)
class LeavingInFloat(Technique[Draft]):
    """The layers that gain most for next to no work stay in float, and more of them where an output is bad or users
    lose much."""

    stage: Stage = Stage.MIXED_PRECISION
    budget: Budget = ALLOWANCE
    more: Budget = LARGE_ALLOWANCE

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:
        judge = bench.judge.by_ratios()  # of many models
        start = judge.of(subject)
        with bench.progress("leave layers in float") as update:
            bench.mixed = leave_in_float(start, bench.work, judge, self.budget, update)
        best = bench.mixed.best
        if is_bad(best.candidate) or loses_much(bench.final.of(best.draft).candidate):
            with bench.progress("leave more layers in float") as update:
                bench.mixed = leave_in_float(start, bench.work, judge, self.more, update, before=bench.mixed)
        return bench.mixed.best.draft if bench.mixed.in_float else None


def leave_in_float(
    start: Judged,
    macs: Mapping[str, float],
    judge: Judge,
    budget: Budget,
    update: Update | None = None,
    tried: Collection[str] | None = None,
    before: MixedPrecision | None = None,
) -> MixedPrecision:
    """Take layers out of int8, one after another, until a budget is met or used up.

    Each time it is the layer that gains most for what it costs, of those that are expected to.  A layer that gains less
    than LEAST_GAIN is not taken, unless the goal is reached with it, and one that is expected to gain much less is not
    even tried.  A layer costs its share of the MACs and its share of the layers; where only their number is limited,
    all cost the same.

    Args:
        start: the int8 model, which does not meet the budget.
        macs: of each layer that can be int8, by name.
        judge: of models.
        budget: what to reach.
        update: called with (layers measured or taken, how many there may be).
        tried: the names of the layers that may be taken; None: all.
        before: what another budget left in float, of the same start, to go on from.

    Raises:
        InputError, PyncnnqError: see `Judge.run`.
    """
    quantized, spared = [layer.name for layer in start.made.int8.summary.quantized], start.draft.spared
    total = math.fsum(macs[layer] for layer in (*quantized, *spared)) or 1.0
    work = {layer: macs[layer] / total for layer in (*quantized, *spared)}
    allowed = 1.0 if budget.max_float_macs is None else budget.max_float_macs
    layers = [layer for layer in quantized if work[layer] <= allowed and (tried is None or layer in tried)]
    most = len(layers) if budget.max_float_layers is None else min(budget.max_float_layers, len(layers))
    steps = (
        [*before.steps] if before else [Step(spared, 1 - math.fsum(work[layer] for layer in spared), start.candidate)]
    )
    best = before.best if before else start
    if not most:
        return before or MixedPrecision(budget=budget, best=best, steps=tuple(steps))

    def report(done: int) -> None:
        if update is not None:
            update(done, len(layers) + most)

    known = {share.layer: share.sqnr for share in before.shares} if before else {}
    shares = _shares(start, layers, work, judge, report, known)
    only_counts = not budget.has_goal and budget.max_float_macs is None
    costs = {share.layer: 1.0 if only_counts else share.macs + 1 / len(quantized) for share in shares}
    least = _LEAST_TO_A_GOAL if budget.has_goal else LEAST_GAIN / 2
    gains = _Gains(shares, costs, budget.score(start.candidate), least)
    ranked = [share.layer for share in shares]
    remaining = _affordable(ranked, best.draft.spared, work, allowed)
    while len(steps) <= most and not budget.is_met(best.candidate):
        better = _next(best, remaining, costs, judge, budget, gains)
        if better is None:
            break
        best = better
        taken = best.draft.spared
        remaining = _affordable(remaining, taken, work, allowed)
        steps.append(Step(taken, 1 - math.fsum(work[layer] for layer in taken), best.candidate))
        report(len(layers) + len(taken))
    return MixedPrecision(budget=budget, best=best, shares=shares, steps=tuple(steps))


def _affordable(layers: Sequence[str], taken: Collection[str], work: Mapping[str, float], allowed: float) -> list[str]:
    """Return the layers that may be taken beside others."""
    left = allowed - math.fsum(work[layer] for layer in taken)
    return [layer for layer in layers if layer not in taken and work[layer] <= left]


def _shares(
    start: Judged,
    layers: Sequence[str],
    work: Mapping[str, float],
    judge: Judge,
    report: Callable[[int], None],
    known: Mapping[str, Mapping[str, float]],
) -> tuple[LayerShare, ...]:
    """Return the shares of the layers that int8 rounds most, the largest first; of some the ratios are known."""
    measured = [layer for (layer,) in noisiest(start.draft, [[layer] for layer in layers])]
    new = [layer for layer in measured if layer not in known]
    lone = judge.alone(start.draft)
    trials = [lone.trial(layer) for layer in new]
    alone = lone.ratios(trials, lambda done, samples: report(len(known) + len(new) * done // samples))
    ratios = {**known, **dict(zip(new, alone, strict=True))}
    errors = error_shares([[ratios[layer][blob] for blob in start.candidate.telling] for layer in measured])
    shares = [
        LayerShare(layer, work[layer], error, ratios[layer]) for layer, error in zip(measured, errors, strict=True)
    ]
    return tuple(sorted(shares, key=lambda share: -share.error))


class _Gains:
    """What layers are expected to gain in float: by their shares of the error, or by what they gained when they were
    last measured, as if errors of different layers were independent."""

    def __init__(self, shares: Sequence[LayerShare], costs: Mapping[str, float], score: float, least: float) -> None:
        """Take the shares, what each layer costs, the score of the model without any in float, in dB, and the least
        expected gain with which a layer is tried."""
        self._costs, self._least = costs, least
        self._noise = {share.layer: share.error * noise(score) for share in shares}

    def promising(self, layers: Sequence[str], reached: float) -> list[str]:
        """Return those layers that may be worth it in a model of this score, the one first that is expected to gain
        most for its cost."""
        some = [layer for layer in layers if self._expected(layer, reached) >= self._least]
        return sorted(some, key=lambda layer: -self.worth(layer, reached))

    def worth(self, layer: str, reached: float) -> float:
        """Return what a layer is expected to gain for its cost."""
        return self._expected(layer, reached) / self._costs[layer]

    def note(self, layer: str, reached: float, score: float) -> None:
        """Take in that a layer raised the score of a model; where it did not, it may when others are in float."""
        self._noise[layer] = max(noise(reached) - noise(score), self._noise[layer] / 2)

    def _expected(self, layer: str, reached: float) -> float:
        left = noise(reached)
        return 10 * math.log10(left / max(left - self._noise[layer], left / 1000))


def _next(
    best: Judged, remaining: Sequence[str], costs: Mapping[str, float], judge: Judge, budget: Budget, gains: _Gains
) -> Judged | None:
    """Return the model with one layer more in float; None if none gains anything.

    Layers are measured as long as one that was not is expected to be worth more than the best that was.
    """
    reached = budget.score(best.candidate)
    chosen, most = None, 0.0
    for some in batches(gains.promising(remaining, reached), _AT_ONCE):
        if chosen is not None and gains.worth(some[0], reached) <= most:
            break
        for layer, model in zip(some, judge.run_some([best.draft.with_float(layer) for layer in some]), strict=True):
            score = budget.score(model.candidate)
            gains.note(layer, reached, score)
            worth = (score - reached) / costs[layer]
            is_worth_it = score - reached >= LEAST_GAIN or budget.is_met(model.candidate)
            if is_worth_it and (chosen is None or worth > most):
                chosen, most = model, worth
    return chosen
