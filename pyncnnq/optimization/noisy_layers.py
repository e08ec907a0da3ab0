"""The few layers that int8 rounds most: in `fast` these alone are tried in float, where the model needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyncnnq.optimization.budget import ALLOWANCE, Budget, is_bad
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.local_noise import local_noise
from pyncnnq.optimization.mixed_precision import leave_in_float
from pyncnnq.optimization.technique import Stage, Technique

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

TRIED = 8
SAMPLES = 4
"""How many layers are tried, and on how many samples: as many inferences as a sixth of 200 samples takes."""


@dataclass(frozen=True, kw_only=True)
class NoisyLayers(Technique[Draft]):
    """Of the layers that int8 rounds most, those stay in float that gain most for next to no work.

    Unlike `LeavingInFloat` it measures few layers, chosen by what their own input and weights lose, and nothing at all
    where the model is good.
    """

    stage: Stage = Stage.MIXED_PRECISION
    budget: Budget = ALLOWANCE

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:
        if not is_bad(bench.judge.of(subject).candidate):
            return None
        few = bench.judge.by_ratios(SAMPLES)
        noise = local_noise(subject)
        most = (self.budget.max_float_macs or 1.0) * math.fsum(bench.work[layer] for layer in noise)
        allowed = [layer for layer in noise if bench.work[layer] <= most]
        noisiest = sorted(allowed, key=lambda layer: -noise[layer])[:TRIED]
        with bench.progress("leave layers in float") as update:
            bench.mixed = leave_in_float(few.of(subject), bench.work, few, self.budget, update, noisiest)
        return bench.mixed.best.draft if bench.mixed.in_float else None
