"""Which int8 layers cost most: what each gains in float, and how far one comes with those that gain most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyncnnq.evaluation.findings import LayerDiagnosis, Step

_MOST_TRIED = 32
_CURVE = (1, 2, 3, 5, 8, 13, 21, 32)
"""How many layers are in float at each step."""
_GAIN = 0.05
"""In dB: a layer that gains less in float is left out of the curve."""


def rank(
    diagnoses: Sequence[LayerDiagnosis],
    macs: Mapping[str, int],
    judge: Callable[[Sequence[Sequence[str]]], list[float]],
) -> tuple[dict[str, float], list[Step]]:
    """Measure layers in float: first each alone, then those together that gain most.

    Args:
        diagnoses: the int8 layers; the worst of them are tried.
        macs: of all layers, by name.
        judge: from choices of layers in float to the SQNR of the outputs with each, in dB.

    Returns:
        What each layer that was tried gains, in dB, and the steps from all layers in int8 on.
    """
    worst_first = sorted(diagnoses, key=lambda layer: (not layer.faults, layer.local_sqnr))
    tried = [layer.name for layer in worst_first[:_MOST_TRIED]]
    all_int8, *alone_in_float = judge([[], *([name] for name in tried)])
    gains = {name: ratio - all_int8 for name, ratio in zip(tried, alone_in_float, strict=True)}
    order = sorted((name for name in tried if gains[name] > _GAIN), key=lambda name: -gains[name])
    sizes = sorted({size for size in _CURVE if size < len(order)} | {len(order)} - {0})
    ratios = judge([order[:size] for size in sizes])
    in_int8, everything = sum(macs.get(layer.name, 0) for layer in diagnoses), max(sum(macs.values()), 1)
    steps = []
    for size, ratio in zip([0, *sizes], [all_int8, *ratios], strict=True):
        left = in_int8 - sum(macs.get(name, 0) for name in order[:size])
        steps.append(Step(in_float=tuple(order[:size]), sqnr=ratio, int8_macs=100 * left / everything))
    return gains, steps
