"""Which int8 layers cost most: what each would gain in float, and how far one comes with those that gain most."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from pyncnnq.evaluation.findings import LayerDiagnosis, Step

LARGEST_RATIO = 100.0
"""In dB: better than this is as good as equal; -100 dB is as bad as can be."""

_MOST_TRIED = 32
_CURVE = (1, 2, 3, 5, 8, 13, 21, 32)
"""How many layers are in float at each step."""
_GAIN = 0.05
"""In dB: a layer that gains less in float is left out of the curve."""

Judge = Callable[[Sequence[Collection[str]]], Sequence[Sequence[float]]]
"""From choices of layers in float to the SQNR of each output with each choice, in dB."""


def rank(
    diagnoses: Sequence[LayerDiagnosis], macs: Mapping[str, int], judge: Judge
) -> tuple[dict[str, float], list[Step]]:
    """Rank layers by their share of the error of the outputs, then measure those together in float that gain most.

    A layer's share is the error that it makes when it alone is int8.  What is gone when it alone is in float would be
    the natural measure, but it is chance: every change of one layer draws the rounding errors of all layers behind it
    anew, which on a few samples moves the SQNR of the outputs by a dB up or down, and differently on each CPU.

    Args:
        diagnoses: the int8 layers; the worst of them are tried.
        macs: of all layers, by name.
        judge: of the int8 model with some layers in float.

    Returns:
        What each layer that was tried gains in float, in dB, by its share and never below 0; and the steps from all
        layers in int8 on, as measured.
    """
    worst_first = sorted(diagnoses, key=lambda layer: (not layer.faults, layer.local_sqnr))
    tried = [layer.name for layer in worst_first[:_MOST_TRIED]]
    gains = _gains(tried, [layer.name for layer in diagnoses], judge)
    order = sorted((name for name in tried if gains[name] > _GAIN), key=lambda name: -gains[name])
    sizes = sorted({0, len(order), *(size for size in _CURVE if size < len(order))})
    ratios = judge([order[:size] for size in sizes])
    in_int8, everything = sum(macs.get(layer.name, 0) for layer in diagnoses), max(sum(macs.values()), 1)
    steps = []
    for size, outputs in zip(sizes, ratios, strict=True):
        left = in_int8 - sum(macs.get(name, 0) for name in order[:size])
        mean = math.fsum(map(_bounded, outputs)) / len(outputs)
        steps.append(Step(in_float=tuple(order[:size]), sqnr=mean, int8_macs=100 * left / everything))
    return gains, steps


def _gains(tried: Sequence[str], int8: Sequence[str], judge: Judge) -> dict[str, float]:
    """Return by how much each layer's share of the error lowers the SQNR, in dB, the mean over the outputs."""
    alone = [[other for other in int8 if other != name] for name in tried]
    without_any, without_tried, *rows = (list(map(_noise, outputs)) for outputs in judge([int8, tried, *alone]))
    gains = dict.fromkeys(tried, 0.0)
    for output, floor in enumerate(without_any):  # of weights that stay as int8 has them
        shares = [max(row[output] - floor, 0.0) for row in rows]
        total = max(without_tried[output], floor) + math.fsum(shares)
        for name, share in zip(tried, shares, strict=True):
            rest = max(total - share, total * 10 ** (-LARGEST_RATIO / 10))
            gains[name] += 10 * math.log10(total / rest) / len(without_any)
    return gains


def _bounded(ratio: float) -> float:
    return min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO)


def _noise(ratio: float) -> float:
    """Return the power of the noise as a share of the signal's, from a ratio in dB."""
    return float(10 ** (-_bounded(ratio) / 10))
