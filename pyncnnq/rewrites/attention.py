"""MultiHeadAttention taken apart into layers that compute the same: projections by Gemm, and SDPA between them.

Stock ncnn runs a MultiHeadAttention in int8 wholly or not at all.  Rounding what its Softmax writes loses most: a row
that has its largest number at one token keeps little of the others.  Taken apart, that part is a layer of its own that
does little work and may stay in float, and each projection is quantized as other Gemm layers are.

    Gemm of q, k and v, of those together that read the same -> Reshape, Permute, Slice: heads become channels
    -> SDPA -> Permute, Reshape -> Gemm
"""

from __future__ import annotations

import numpy as np

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.ops import SDPA, Gemm, MultiHeadAttention, Permute, Reshape, Slice
from pyncnnq.rewrites.rewritten import Rewritten, unused, with_layers_replaced

_ROWS_AND_CHANNELS = 2
"""The order of a Permute that swaps them."""


def take_attention_apart(model: Model) -> Rewritten:
    """Write MultiHeadAttention layers as Gemm and SDPA layers.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the layers, of which the last projections keep the name.

    Raises:
        ModelError: a model that is int8 already.
    """

    def replacing(layer: Layer, taken: set[str]) -> list[Layer] | None:
        return list(_Parts(layer, taken).layers()) if _can_be_taken_apart(layer) else None

    return with_layers_replaced(model, replacing)


def _can_be_taken_apart(layer: Layer) -> bool:
    op = layer.op
    if not isinstance(op, MultiHeadAttention) or op.kv_cache or op.forbids_int8 or len(layer.tops) != 1:
        return False
    return op.embed_dim % op.num_heads == 0 and bool(op.parts_of_inputs)


class _Parts:
    """The layers of one MultiHeadAttention."""

    def __init__(self, layer: Layer, taken: set[str]) -> None:
        self._layer, self._taken = layer, taken
        self._op = layer.as_op(MultiHeadAttention)
        self._size = self._op.embed_dim // self._op.num_heads  # of a head

    def layers(self) -> list[Layer]:
        op, (top,) = self._op, self._layer.tops
        result: list[Layer] = []
        heads: list[str] = []
        parts_read = op.parts_of_inputs
        for bottom, parts in zip(self._layer.bottoms, parts_read, strict=False):  # behind them may be a mask
            made = [self._projection(f"{self._layer.name}_{parts}", parts, bottom)]
            made += self._into_heads(made[-1].tops[0], len(parts))
            heads += made[-1].tops
            result += made
        product = self._new("SDPA", f"{self._layer.name}_product", [*heads, *self._layer.bottoms[len(parts_read) :]])
        sdpa = product.as_op(SDPA)
        sdpa.attn_mask = op.attn_mask
        sdpa.scale = op.scale
        rows = self._permuted(product.tops[0])
        joined = self._new("Reshape", f"{product.name}_joined", rows.tops)
        joined.as_op(Reshape).w, joined.as_op(Reshape).h = op.embed_dim, -1
        out = self._projection(self._layer.name, ["out"], joined.tops[0])
        out.name, out.tops = self._layer.name, [top]
        return [*result, product, rows, joined, out]

    def _projection(self, name: str, parts: str | list[str], bottom: str) -> Layer:
        """Return the Gemm of some parts, one below the other."""
        layer = self._new("Gemm", name, [bottom])
        weights = self._layer.weights
        values = np.concatenate([weights[f"{part}_weight_data"].float32() for part in parts])
        biases = np.concatenate([weights[f"{part}_bias_data"].float32() for part in parts])
        op = layer.as_op(Gemm)
        op.broadcast_c, op.transpose_b, op.constant_b, op.constant_c = 4, True, True, True
        op.n, op.k = biases.size, values.size // biases.size
        layer.weights = {
            "B_data": Weight.tagged_float32("B_data", values),
            "C_data": Weight.tagged_float32("C_data", biases),
        }
        return layer

    def _into_heads(self, blob: str, parts: int) -> list[Layer]:
        """Return the layers that make of tokens with several parts a blob for each part, whose channels are heads."""
        heads = self._new("Reshape", f"{blob}_heads", [blob])
        shape = heads.as_op(Reshape)
        shape.w, shape.h, shape.c = self._size, parts * self._op.num_heads, -1
        permuted = self._permuted(heads.tops[0])
        if parts == 1:
            return [heads, permuted]
        slices = self._new("Slice", f"{blob}_parts", permuted.tops)
        slices.tops += [unused(f"{slices.tops[0]}_{place}", self._taken) for place in range(1, parts)]
        slices.as_op(Slice).slices = (self._op.num_heads,) * parts
        slices.as_op(Slice).axis = 0
        return [heads, permuted, slices]

    def _permuted(self, blob: str) -> Layer:
        layer = self._new("Permute", f"{blob}_turned", [blob])
        layer.as_op(Permute).order_type = _ROWS_AND_CHANNELS
        return layer

    def _new(self, kind: str, name: str, bottoms: list[str]) -> Layer:
        name = name if name == self._layer.name else unused(name, self._taken)
        return Layer(kind, name, list(bottoms), [name])
