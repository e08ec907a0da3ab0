"""What shapes blobs have when ncnn runs the model, as far as the layers alone tell.

Nothing is guessed: a blob whose shape depends on more than the layers is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyncnnq.errors import ModelError
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import Misfit, Shape

_SENSELESS = (ArithmeticError, LookupError, ValueError, ModelError)
"""What the rule of a layer type raises for parameters, or inputs, that no sound layer of it has."""


def dimensions(layers: Sequence[Layer], seen: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of dimensions (1 to 4) of each blob for which it is certain, given inputs as the model itself
    states them.

    ncnn computes some layers in another way when their input has one dimension, and in int8 not always rightly; who
    writes int8 layers has to know.

    Args:
        layers: in model order.
        seen: the number of dimensions that blobs had when ncnn ran the model.
    """
    seen = seen or {}
    known: dict[str, int] = {}
    for layer in layers:
        op = layer.op
        hints = op.shape_hints
        dims = op.output_dims([known.get(bottom) for bottom in layer.bottoms] or [None])
        for index, top in enumerate(layer.tops):
            hint = hints[4 * index] if len(hints) == 4 * len(layer.tops) else 0
            if found := seen.get(top) or dims or hint:
                known[top] = found
    return known


def shapes(layers: Sequence[Layer], inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shape of each blob for which it is certain, in NumPy's order, given those of the model's inputs.

    Args:
        layers: in model order.
        inputs: the shapes by blob.
    """
    known = dict(inputs)
    for layer in layers:
        known |= output_shapes(layer, known)
    return known


def output_shapes(layer: Layer, known: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes that a layer gives to its outputs, as far as they are certain.

    Args:
        layer: the layer.
        known: the shapes of blobs that are known; those that are known already are left out of the result.
    """
    bottoms = known_inputs(layer, known)
    if bottoms is None or layer.type == "Input":
        return {}
    try:
        computed = layer.op.output_shapes(bottoms)
    except _SENSELESS:
        return {}
    named = zip(layer.tops, computed, strict=False)
    return {top: shape for top, shape in named if top not in known and min(shape, default=0) > 0}


def misfit(layer: Layer, known: Mapping[str, Shape]) -> Misfit | None:
    """Return what is wrong with the shapes of a layer's inputs (see `Op.misfit`); None if nothing is, or they are not
    known."""
    bottoms = known_inputs(layer, known)
    if not bottoms:
        return None
    try:
        return layer.op.misfit(bottoms)
    except _SENSELESS:
        return None


def known_inputs(layer: Layer, known: Mapping[str, Shape]) -> list[Shape] | None:
    """Return the shapes of what a layer reads; None if any is not known."""
    bottoms = [known[bottom] for bottom in layer.bottoms if bottom in known]
    return bottoms if len(bottoms) == len(layer.bottoms) else None
