"""How many dimensions a blob has when ncnn runs the model, as far as the layers alone tell.

ncnn computes some layers in another way when their input has one dimension, and in int8 not always rightly; who writes
int8 layers has to know.  Nothing is guessed: a blob whose number of dimensions depends on more than the layers is left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyncnnq.model.layer import Layer


def dimensions(layers: Sequence[Layer], seen: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of dimensions (1 to 4) of each blob for which it is certain, given inputs as the model itself
    states them.

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
