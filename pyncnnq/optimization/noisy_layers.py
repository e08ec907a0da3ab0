"""The few layers that int8 rounds most, and those at the ends of the network: in `fast` these alone are tried in float,
where the model needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyncnnq.optimization.budget import RESCUE, Budget, is_bad
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.local_noise import local_noise
from pyncnnq.optimization.mixed_precision import leave_in_float
from pyncnnq.optimization.technique import Stage, Technique
from pyncnnq.quantization.selection import candidates, first_and_last

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

TRIED = 8
SAMPLES = 4
"""How many layers are tried, and on how many samples: as many inferences as a sixth of 200 samples takes."""
MOST_AT_ENDS = 0.05
"""The share of the MACs that the first and the last layers may have together to stay in float without a trial."""


@dataclass(frozen=True, kw_only=True)
class NoisyLayers(Technique[Draft]):
    """The first and the last layers stay in float where they do little work, and of those that int8 rounds most the
    ones that gain most.

    The ends need no trial, which so few samples would leave to chance: noise of the first layers goes through all
    others, and that of the last is the output's.

    Unlike `LeavingInFloat` it measures few layers, chosen by what their own input and weights lose, and nothing at all
    where the model is good.
    """

    stage: Stage = Stage.MIXED_PRECISION
    budget: Budget = RESCUE

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:
        if not is_bad(bench.judge.of(subject).candidate):
            return None
        few = bench.judge.by_ratios(SAMPLES)
        noise = local_noise(subject)
        ends = first_and_last(subject.model, candidates(subject.model)).keys() & noise.keys()
        total = math.fsum(bench.work[layer] for layer in noise)
        if math.fsum(bench.work[layer] for layer in ends) <= MOST_AT_ENDS * total:
            subject = subject.with_float(*(layer for layer in noise if layer in ends))
        most = (self.budget.max_float_macs or 1.0) * total
        allowed = [layer for layer in noise if bench.work[layer] <= most and layer not in subject.spared]
        tried = sorted(allowed, key=lambda layer: -noise[layer])[:TRIED]
        with bench.progress("leave layers in float") as update:
            bench.mixed = leave_in_float(few.of(subject), bench.work, few, self.budget, update, tried)
        return bench.mixed.best.draft if bench.mixed.in_float else None
