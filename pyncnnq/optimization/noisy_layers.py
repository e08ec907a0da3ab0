"""The few layers that int8 rounds most, and those at the ends of the network: in `fast` these alone are tried in float,
where the model needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics, active_kernels
from pyncnnq.calibration.table import weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.optimization.budget import RESCUE, Budget, is_bad
from pyncnnq.optimization.draft import Draft
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

_BINS = 4096


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


def local_noise(draft: Draft) -> dict[str, float]:
    """Return for each layer that is int8 by a draft's table the share that noise has of its output, by name: what
    rounding its input and its weights adds, each taken to be independent of all else."""
    table, statistics, graph = draft.table, draft.source.statistics, draft.model.graph()
    noise = {}
    for layer in draft.model.layers:
        if not layer.op.needs_activation_scale or layer.name not in table:
            continue
        blob = statistics.blobs[graph.split_root(layer.bottoms[0])]
        (weight,) = layer.op.scaled_weights()
        rows, _ = weight_rows(layer, weight)
        scales = table[weight_key(layer.name)].astype(np.float64)[:, None]
        values = rows.astype(np.float64)
        errors = np.clip(np.rint(values * scales), -127, 127) / scales - values
        noise[layer.name] = _share(errors, values) + _input_noise(blob, float(table[layer.name][0]))
    return noise


def _input_noise(blob: BlobStatistics, scale: float) -> float:
    """Return the share of noise in a blob that is quantized with a scale."""
    counts = blob.histogram(_BINS)
    if not counts.any():
        return 0.0
    # In units of absmax, so that nothing over- or underflows.
    middles = ((np.arange(_BINS) + 0.5) / _BINS).astype(np.float32)
    steps = np.array([scale * blob.absmax], np.float32)  # in absmax
    errors = active_kernels().weighted_quantization_errors_f32(middles, counts, steps)[0] / float(steps[0]) ** 2
    return float(errors / (counts * middles.astype(np.float64) ** 2).sum())


def _share(errors: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    signal = float(np.square(values).sum())
    return float(np.square(errors).sum()) / signal if signal else 0.0
