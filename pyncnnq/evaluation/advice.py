"""Plain words on what is wrong with a layer."""

from __future__ import annotations

from pyncnnq.evaluation.findings import LayerDiagnosis

_MANY_LEVELS = 127 / 4
"""Steps of int8: a scale that makes use of fewer is far too small."""
_MUCH_CLIPPED = 0.1
"""Percent of values that saturate."""
_BAD_LAYER = 25.0
"""In dB: a layer that by itself is better than this suffers little, however much of its input is clipped."""
_BAD_ROW, _FAR_BELOW = 20.0, 15.0
"""In dB: weights of an output that are worse than this, and by so much worse than those of the median output."""


def faults(layer: LayerDiagnosis) -> tuple[str, ...]:
    """Return in words which scales do not fit: mistakes that a new calibration mends."""
    lines = [
        f"{reader} reads its int8 output by another scale than it has: quantize again with pyncnnq"
        for reader in layer.misread_by
    ]
    if layer.peak is not None and 0 < layer.peak < _MANY_LEVELS:
        lines.append(
            f"its input uses {layer.peak:.0f} of 127 steps: the activation scale is {127 / layer.peak:.1f}x too "
            "small for this data; calibrate again"
        )
    row = layer.worst_row
    if row is not None and row.sqnr < min(_BAD_ROW, row.median - _FAR_BELOW):
        lines.append(
            f"the weights of output {row.output} are off ({row.sqnr:.1f} dB, others {row.median:.1f}): its "
            "weight scale does not fit"
        )
    elif layer.saturation is not None and layer.saturation > _MUCH_CLIPPED and layer.local_sqnr < _BAD_LAYER:
        lines.append(
            f"{layer.saturation:.1f} % of its input values are clipped: the activation scale is too large for this data"
        )
    return tuple(lines)


_FAR_TOKEN = 4.0
"""A token that exceeds the median by so much takes two of the 7 bits of the others."""
_DYNAMIC = 30.0
"""In dB: a layer that finds its scales while running and is better than this by itself needs no advice on outliers."""


def advice(layer: LayerDiagnosis) -> tuple[str, ...]:
    """Return in words what could make a layer better whose scales are as good as they can be."""
    lines = []
    is_static = layer.scale is not None
    if is_static and layer.wide_channels and layer.wide_channels <= max(1, layer.channels // 10):
        lines.append(
            f"{layer.wide_channels} of {layer.channels} channels hold up to {layer.range_ratio:.0f}x the median "
            "range: equalization (pyncnnq quantize, from images) or float"
        )
    if layer.scale is None and layer.local_sqnr < _DYNAMIC:
        lines += _outliers(layer)
    if layer.weight_bits < 8:
        lines.append(f"its weights use {layer.weight_bits} bits: 8 may be safe, with the weight bits 'proven'")
    return tuple(lines)


def _outliers(layer: LayerDiagnosis) -> list[str]:
    """Return in words which feature and which token take the steps of int8 from the others."""
    lines = []
    if layer.wide_channels:
        lines.append(
            f"feature {layer.widest_channel} of its input reaches {layer.range_ratio:.0f}x the median one: smoothing "
            "(pyncnnq quantize, from data) or float"
        )
    if layer.token is not None and layer.token_ratio is not None and layer.token_ratio > _FAR_TOKEN:
        lines.append(
            f"token {layer.token} of its input reaches {layer.token_ratio:.0f}x the median one, and all share a scale: "
            "token scales (pyncnnq quantize, from data) or float"
        )
    return lines
