"""Attention (ncnn's src/layer/multiheadattention.cpp, sdpa.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, Int8Op, ScaledWeight, layer_types, raw, tagged
from pyncnnq.model.ops.blocks import blocks_of
from pyncnnq.model.ops.fields import Flag, Float, Int
from pyncnnq.model.ops.shape import Shape


@layer_types("MultiHeadAttention")
class MultiHeadAttention(Int8Op):
    """Attention with its four projections: q, k, v and out."""

    __slots__ = ()

    embed_dim = Int(0)
    num_heads = Int(1, 1)
    weight_data_size = Int(2)
    """The number of weights of q."""
    kdim = Int(3, "embed_dim")
    vdim = Int(4, "embed_dim")
    attn_mask = Flag(5)
    """Whether a mask is one more input, behind queries, keys and values."""
    scale = Float(6, "inverse_root")
    """Of the product of queries and keys."""
    kv_cache = Flag(7)
    """Whether keys and values of earlier calls are two more inputs, and two more outputs."""
    int8_scale_term = Int(18)

    table_order = 1

    @property
    def least_tops(self) -> int:
        return 3 if self.kv_cache else 1

    @property
    def parts_of_inputs(self) -> tuple[str, ...]:
        """Which projections read each input but a mask, by their letters: `("qkv",)` where all read one.

        ncnn's src/layer/multiheadattention.cpp; empty for a number of inputs that it does not take.
        """
        return {1: ("qkv",), 2: ("q", "kv"), 3: ("q", "k", "v")}.get(len(self.layer.bottoms) - self.attn_mask, ())

    @property
    def inverse_root(self) -> float:
        """One over the square root of the length of a query in a head."""
        return 1 / math.sqrt(self.embed_dim // self.num_heads)

    @property
    def qdim(self) -> int:
        """The length of a query, and of what the layer writes for it."""
        return self.weight_data_size // self.embed_dim

    def weights(self) -> Iterator[Expected]:
        embed_dim = self.embed_dim
        if embed_dim <= 0:
            raise ValueError(f"its embedding size (0={embed_dim}) is not positive")
        # name, rows (and biases), columns
        parts = (
            ("q", embed_dim, self.qdim),
            ("k", embed_dim, self.kdim),
            ("v", embed_dim, self.vdim),
            ("out", self.qdim, embed_dim),
        )
        blocks = blocks_of(self.int8_scale_term)
        for name, rows, columns in parts:
            weight = f"{name}_weight_data"
            yield blocks.packed(weight, rows, columns) if blocks else tagged(weight, rows * columns)
            yield raw(f"{name}_bias_data", rows)
        if blocks:
            for name, rows, columns in parts:
                yield blocks.scales(f"{name}_weight_data_quantize_scales", rows, columns)
            if blocks.has_input_scales:
                for name, _, columns in parts:
                    yield raw(f"{name}_weight_data_input_scales", columns)
        else:
            yield from self.scale_arrays()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return [(inputs[0][0], self.qdim)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        size = self.embed_dim
        queries = bottoms[0][0]
        keys = bottoms[1][0] if len(bottoms) > 1 and bottoms[1][-1] == self.kdim else queries
        projections = 2 * queries * self.qdim * size + keys * size * (self.kdim + self.vdim)
        return projections + 2 * queries * keys * size

    def scaled_weights(self) -> list[ScaledWeight]:
        rows = [ScaledWeight.by_rows(f"{part}_weight_data", self.embed_dim) for part in ("q", "k", "v")]
        return [*rows, ScaledWeight.whole("out_weight_data")]


@layer_types("SDPA")
class SDPA(Int8Op):
    """Attention of blobs that are projected already; it has no weights."""

    __slots__ = ()

    attn_mask = Flag(5)
    scale = Float(6)
    """0: the inverse root of the length of a query."""
    kv_cache = Flag(7)
    """Whether keys and values of earlier calls are two more inputs, and two more outputs."""
    int8_scale_term = Int(18)

    @property
    def least_bottoms(self) -> int:
        return 3 + self.attn_mask + 2 * self.kv_cache

    @property
    def least_tops(self) -> int:
        return 3 if self.kv_cache else 1

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        (heads, queries, _), (_, _, values) = inputs[0], inputs[2]
        return [(heads, queries, values)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        (heads, queries, size), (_, keys, _), (_, _, values) = bottoms[:3]
        return heads * queries * keys * (size + values)
