"""What int8 rounds in each layer by itself, as far as statistics of blobs tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics, active_kernels
from pyncnnq.calibration.table import weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.optimization.draft import Draft

MOST_LAYERS = 128
"""How many layers, or groups of them, are measured by running the model, those first that int8 rounds most: so the
time grows with the size of the model and not with its square."""

_BINS = 4096


def noisiest(draft: Draft, groups: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the groups of int8 layers that may be measured, in their order: MOST_LAYERS of them at most.

    Of layers that quantize their inputs as they run nothing is known, and they come first.
    """
    if len(groups) <= MOST_LAYERS:
        return list(groups)
    noise = local_noise(draft)
    loudness = [max(noise.get(layer, math.inf) for layer in group) for group in groups]
    taken = sorted(range(len(groups)), key=lambda place: -loudness[place])[:MOST_LAYERS]
    return [groups[place] for place in sorted(taken)]


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
