"""Which layers to leave in float, where an int8 model alone is not accurate enough: the fewest that a budget needs.

A layer's share of the error is measured by what is left when it stays in float while all others are int8.  Blobs around it then have no
zero points either, and layers of a chain that it broke hand on floats: that is part of what is measured.  Shares do not add up, so after
each layer that is taken those that promise most are measured again, together with what is in float already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyncnnq.errors import PyncnnqError
from pyncnnq.metric import load_metric
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import LARGEST_RATIO, Candidate, Judge, Judged

MIXED_PRECISION = "mixed precision"

TRIED_AT_ONCE = 8
"""How many int8 models workers hold at a time."""

LEAST_GAIN = 0.01
"""In dB: a layer that gains less is not worth being in float."""

Update = Callable[[int, int], None]


@dataclass(frozen=True)
class Budget:
    """What the int8 model shall reach, and what that may cost.

    Attributes:
        min_sqnr: the signal-to-quantization-noise ratio that each output must have, in dB.
        max_drop: by how much the mean score of the samples may fall from float to int8.  Without a metric it is the percentage of samples
            in which the largest value of any output that is a vector stands elsewhere.
        max_float_layers: how many layers may stay in float, besides those that the user names.
        metric: `FILE.py:FUNCTION` or `MODULE:FUNCTION` (see `pyncnnq.metric`).
    """

    min_sqnr: float | None = None
    max_drop: float | None = None
    max_float_layers: int | None = None
    metric: str | None = None

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
        """Whether layers may stay in float at all."""
        return not (self.min_sqnr is None and self.max_drop is None and self.max_float_layers is None)

    def is_met(self, candidate: Candidate) -> bool:
        """Whether no layer more need be in float; never without a goal: then as many are as may."""
        goals = []
        if self.min_sqnr is not None:
            goals.append(min(candidate.sqnr.values()) >= self.min_sqnr)
        if self.max_drop is not None:
            goals.append(candidate.drop <= self.max_drop)
        return bool(goals) and all(goals)

    def score(self, candidate: Candidate) -> float:
        """How far a model has come, in dB: the mean over its outputs, of which none counts more than it needs."""
        largest = LARGEST_RATIO if self.min_sqnr is None or self.max_drop is not None else self.min_sqnr
        return math.fsum(min(max(ratio, -LARGEST_RATIO), largest) for ratio in candidate.sqnr.values()) / len(candidate.sqnr)

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


@dataclass(frozen=True)
class LayerShare:
    """What one layer has to do with the error of the int8 model.

    Attributes:
        layer: its name.
        macs: its share of the MACs of all layers that would be int8, between 0 and 1.
        gain: by how much the mean of the outputs rises if it alone stays in float, in dB.
    """

    layer: str
    macs: float
    gain: float

    @property
    def error(self) -> float:
        """Its share of the error: what of the noise is gone when it stays in float.  Negative where it makes up for that of others."""
        return 1 - 10 ** (-self.gain / 10)


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
        shares: of each layer that was int8, the largest first; empty if that was good enough.
        steps: from all int8 on, one layer more each, and less error: their Pareto list.
    """

    budget: Budget
    best: Judged
    shares: tuple[LayerShare, ...]
    steps: tuple[Step, ...]

    @property
    def in_float(self) -> tuple[str, ...]:
        """The layers, in the order in which they were taken."""
        return self.steps[-1].in_float

    @property
    def warnings(self) -> list[str]:
        """What of the budget could not be met."""
        missing = self.budget.shortfall(self.best.candidate)
        return [f"the budget is not met: with {len(self.in_float)} layers in float, {missing}"] if missing else []

    def or_better(self, other: Judged) -> MixedPrecision:
        """With another model that has the same layers in float, if that is better."""
        if self.budget.score(other.candidate) <= self.budget.score(self.best.candidate):
            return self
        return replace(self, best=other, steps=(*self.steps[:-1], replace(self.steps[-1], candidate=other.candidate)))


def leave_in_float(start: Judged, macs: Mapping[str, float], judge: Judge, budget: Budget, update: Update | None = None) -> MixedPrecision:
    """Take layers out of int8, one after another, until a budget is met or used up.

    Each time it is the layer that gains most, of those that promised most when they were measured last; a layer that gains less than
    LEAST_GAIN is not taken.

    Args:
        start: the int8 model.
        macs: of each layer that can be int8.
        judge: of models.
        budget: what to reach.
        update: called with (layers measured or taken, how many there may be).
    """
    layers = [layer.name for layer in start.made.int8.summary.quantized]
    total = math.fsum(macs[layer] for layer in layers) or 1.0
    most = len(layers) if budget.max_float_layers is None else min(budget.max_float_layers, len(layers))
    steps = [Step((), 1.0, start.candidate)]
    best = start
    if budget.is_met(start.candidate) or not most:
        return MixedPrecision(budget, best, (), tuple(steps))

    def report(done: int) -> None:
        if update is not None:
            update(done, len(layers) + most)

    alone = []
    for batch in _batches(layers):
        alone += judge.run([_with_float(start.draft, layer) for layer in batch])
        report(len(alone))
    shares = [
        LayerShare(layer, macs[layer] / total, one.candidate.score - start.candidate.score)
        for layer, one in zip(layers, alone, strict=True)
    ]
    promised = {layer: budget.score(one.candidate) - budget.score(start.candidate) for layer, one in zip(layers, alone, strict=True)}
    while len(steps) <= most and not budget.is_met(best.candidate):
        found = _next(best, promised, judge, budget)
        if found is None:
            break
        layer, best = found
        del promised[layer]
        taken = (*steps[-1].in_float, layer)
        steps.append(Step(taken, 1 - math.fsum(macs[name] for name in taken) / total, best.candidate))
        report(len(layers) + len(taken))
    return MixedPrecision(budget, best, tuple(sorted(shares, key=lambda share: -share.gain)), tuple(steps))


def _next(best: Judged, promised: dict[str, float], judge: Judge, budget: Budget) -> tuple[str, Judged] | None:
    """The layer to take, and the model with it; None if none gains anything.  What layers promise is brought up to date."""
    reached = budget.score(best.candidate)
    for batch in _batches(sorted(promised, key=lambda layer: -promised[layer])):
        tried = judge.run([_with_float(best.draft, layer) for layer in batch])
        for layer, one in zip(batch, tried, strict=True):
            promised[layer] = budget.score(one.candidate) - reached
        place = max(range(len(batch)), key=lambda index: promised[batch[index]])
        if promised[batch[place]] >= LEAST_GAIN:
            return batch[place], tried[place]
    return None


def _with_float(draft: Draft, layer: str) -> Draft:
    techniques = tuple(technique for technique in draft.techniques if technique != MIXED_PRECISION)
    return replace(draft, techniques=(*techniques, MIXED_PRECISION), spared=(*draft.spared, layer))


def _batches(layers: Sequence[str]) -> list[Sequence[str]]:
    return [layers[start : start + TRIED_AT_ONCE] for start in range(0, len(layers), TRIED_AT_ONCE)]
