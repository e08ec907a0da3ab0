"""The choice of the layers that are written in int8, and the reasons why others are not."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Convolution
from pyncnnq.quantization.options import QuantizeOptions


def candidates(model: Model) -> list[Layer]:
    """Return the layers of the types that ncnn runs in int8, in model order."""
    return [layer for layer in model.layers if layer.op.runs_int8]


def left_out(model: Model, options: QuantizeOptions) -> dict[str, str]:
    """Return the candidates that shall stay in float by the options, by name, each with the reason.

    Raises:
        PyncnnqError: a pattern that matches no candidate.
    """
    layers = candidates(model)
    reasons = {layer.name: options.in_float[layer.name] for layer in layers if layer.name in options.in_float}
    reasons |= first_and_last(model, layers) if options.keep_first_last else {}
    if options.only:
        wanted = _matches("only", options.only, layers)
        reasons |= {layer.name: "not among the only ones to quantize" for layer in layers if layer.name not in wanted}
    excluded = _matches("exclude", options.exclude, layers)
    return reasons | {name: f"excluded by {pattern!r}" for name, pattern in excluded.items()}


def prevented(model: Model, table: Table) -> dict[str, str]:
    """Return the candidates that cannot be int8, by name, each with the reason."""
    reasons = {layer.name: _what_prevents(layer, table) for layer in candidates(model)}
    return {name: reason for name, reason in reasons.items() if reason}


def _what_prevents(layer: Layer, table: Table) -> str:
    """Return why the layer cannot be int8; empty if it can."""
    op = layer.op
    if op.has_dynamic_weight:
        return "its weights come from a blob"
    if op.forbids_int8:
        return f"its feature mask 31={op.feature_mask} forbids int8"
    if isinstance(op, Convolution) and op.pads_with_value and op.pad_value < 0:
        return "it pads with a negative value, which ncnn's int8 convolutions get wrong"
    rows = [weight_key(layer.name, index) for index in range(len(op.scaled_weights()))]
    rows += [layer.name] if op.needs_activation_scale else []
    missing = [row for row in rows if row not in table]
    if missing:
        return f"the table has no row {', '.join(missing)}"
    return ""


def _matches(option: str, patterns: Sequence[str], layers: Sequence[Layer]) -> dict[str, str]:
    """Return the names that match any of the patterns, each with the first pattern that it matches."""
    matches: dict[str, str] = {}
    for pattern in patterns:
        names = [layer.name for layer in layers if _match(pattern, layer)]
        if not names:
            known = ", ".join(layer.name for layer in layers[:8]) + (", ..." if len(layers) > 8 else "")
            raise PyncnnqError(
                f"{pattern!r} matches no layer that ncnn runs in int8; there are: {known or 'none'}", option=option
            )
        for name in names:
            matches.setdefault(name, pattern)
    return matches


def _match(pattern: str, layer: Layer) -> bool:
    if pattern.startswith("type:"):
        return fnmatchcase(layer.type, pattern.removeprefix("type:"))
    return pattern == layer.name or fnmatchcase(layer.name, pattern)


def first_and_last(model: Model, layers: Sequence[Layer]) -> dict[str, str]:
    """Return the layers with weights that have no other such layer between them and a model input or output."""
    weighted = {layer.name for layer in layers if layer.type != "SDPA"}
    graph = model.graph()
    reasons = {}
    near = set(model.inputs)  # blobs not yet gone through a weighted layer
    for layer in model.layers:
        if near.intersection(layer.bottoms):
            if layer.name in weighted:
                reasons[layer.name] = "first layer"
            else:
                near.update(layer.tops)
    near = set(graph.outputs())
    for layer in reversed(model.layers):
        if near.intersection(layer.tops):
            if layer.name in weighted:
                reasons.setdefault(layer.name, "last layer")
            else:
                near.update(layer.bottoms)
    return reasons
