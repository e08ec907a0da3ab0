"""Which layers are written in int8, and for each of the others why not."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model


def candidates(model: Model) -> list[Layer]:
    """The layers that are of a type that ncnn runs in int8, in model order."""
    return [layer for layer in model.layers if layer.op.runs_int8]


def left_out(model: Model, *, exclude: Sequence[str], only: Sequence[str], keep_first_last: bool) -> dict[str, str]:
    """The names of the candidates that shall stay in float, each with the reason.

    Args:
        exclude, only: patterns on layer names, as in a shell, or `type:PATTERN` on their types; a string is one
            pattern.

    Raises:
        PyncnnqError: a pattern that matches no candidate.
    """
    layers = candidates(model)
    reasons = _first_and_last(model, layers) if keep_first_last else {}
    if only:
        wanted = _matches("only", only, layers)
        reasons |= {layer.name: "not among the only ones to quantize" for layer in layers if layer.name not in wanted}
    excluded = _matches("exclude", exclude, layers)
    return reasons | {name: f"excluded by {pattern!r}" for name, pattern in excluded.items()}


def prevented(model: Model, table: Table) -> dict[str, str]:
    """The names of the candidates that cannot be int8, each with the reason."""
    reasons = {layer.name: _what_prevents(layer, table) for layer in candidates(model)}
    return {name: reason for name, reason in reasons.items() if reason}


def _what_prevents(layer: Layer, table: Table) -> str:
    """Why the layer cannot be int8; empty if it can."""
    if layer.op.has_dynamic_weight:
        return "its weights come from a blob"
    if layer.op.forbids_int8:
        return f"its feature mask 31={layer.params.get_int(31, 0)} forbids int8"
    if layer.op.pads_with_value and layer.params.get_float(18, 0.0) < 0:
        return "it pads with a negative value, which ncnn's int8 convolutions get wrong"
    rows = [weight_key(layer.name, index) for index in range(len(layer.op.scaled_weights()))]
    rows += [layer.name] if layer.op.needs_activation_scale else []
    missing = [row for row in rows if row not in table]
    if missing:
        return f"the table has no row {', '.join(missing)}"
    return ""


def _matches(option: str, patterns: Sequence[str], layers: Sequence[Layer]) -> dict[str, str]:
    """The names that match any of the patterns, each with the first that it matches."""
    found: dict[str, str] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        names = [layer.name for layer in layers if _match(pattern, layer)]
        if not names:
            known = ", ".join(layer.name for layer in layers[:8]) + (", ..." if len(layers) > 8 else "")
            raise PyncnnqError(
                f"{option} {pattern!r}: matches no layer that ncnn runs in int8; there are: {known or 'none'}"
            )
        for name in names:
            found.setdefault(name, pattern)
    return found


def _match(pattern: str, layer: Layer) -> bool:
    if pattern.startswith("type:"):
        return fnmatchcase(layer.type, pattern.removeprefix("type:"))
    return pattern == layer.name or fnmatchcase(layer.name, pattern)


def _first_and_last(model: Model, layers: Sequence[Layer]) -> dict[str, str]:
    """The layers with weights that see a model input, or are seen by a model output, with no other such layer
    between."""
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
