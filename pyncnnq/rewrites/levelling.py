"""Scales of activations for each token, and outputs of Gemm layers levelled so that weights keep a scale each.

Stock ncnn gives a constant A a scale for each row, which is an output, and one scale to all tokens; a constant B one
scale, and one to each token (src/layer/gemm.cpp).  Where a few tokens are far larger than the others, such as those
that attention dwells on, one scale for all is too coarse.  So the weights become B again, and their rows are multiplied
so that all reach equally far and one scale fits them all; a BinaryOp behind the layer multiplies its columns by the
inverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Gemm
from pyncnnq.rewrites.dynamic import multiplied, readings, seen_by, smoothing_factors, weights_read
from pyncnnq.rewrites.rewritten import Rewritten, unused, with_layers_replaced
from pyncnnq.statistics.columns import Columns

Floats = NDArray[np.float64]

WORTH = 0.7
"""The share of the noise that may be left, at most: a pass over the output is not worth less."""

LEVEL = 0.9
"""Rows that all reach so far, as a share of the farthest, are level enough."""

LARGEST_FACTOR = 32.0
"""And its inverse is the least: much larger or smaller values would not fit where blobs are stored as float16."""

_C_OF_COLUMNS = {-1: -1, 1: 4, 2: 4}
"""What a constant C is for the transposed product (see `Gemm.broadcast_c`)."""


def scale_tokens(model: Model, columns: Mapping[str, Columns]) -> Rewritten:
    """Make the constant A of swapped Gemm layers their B again where a scale for each token gains much.

    What the model computes in float stays as it is, to the bit where ncnn sums in the same order.

    Args:
        model: a float model whose operands are swapped (see `swap_operands`).
        columns: the columns of blobs, by name (see `dynamic_blobs`); layers that read others are left alone.

    Returns:
        The new model, for `level_outputs`; `changed` names the layers.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    graph = model.graph()
    changed = [
        layer.name
        for layer in model.layers
        if _is_swapped(layer) and _gains(layer, columns, graph.split_root(layer.bottoms[0]))
    ]
    for name in changed:
        _swap_back(model.layer(name))
    return Rewritten(model, tuple(changed), {})


def level_outputs(model: Model) -> Rewritten:
    """Let the rows of constant, transposed B reach equally far, and a BinaryOp take that back.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the Gemm layers.

    Raises:
        ModelError: a model that is int8 already.
    """

    def replacing(layer: Layer, taken: set[str]) -> list[Layer] | None:
        factors = _levelling(layer)
        if factors is None:
            return None
        (top,) = layer.tops
        layer.tops[0] = unused(f"{top}_levelled", taken)
        _multiply_rows(layer, factors)
        return [layer, *multiplied(layer.tops[0], top, 1 / factors, taken)]

    return with_layers_replaced(model, replacing)


def _is_swapped(layer: Layer) -> bool:
    op = layer.op
    if not isinstance(op, Gemm) or op.constant_b or not readings(layer):
        return False
    has_c_of_rows = op.broadcast_c == -1 or (op.constant_c and op.broadcast_c in _C_OF_COLUMNS)
    return op.output_transpose and not op.output_n1m and has_c_of_rows


def _gains(layer: Layer, columns: Mapping[str, Columns], blob: str) -> bool:
    """Return whether scales for each token leave much less noise, by what is known of the layer's input."""
    (reading,) = readings(layer)
    seen = seen_by(columns, blob, reading)
    if seen is None:
        return False
    weights = weights_read(layer, reading)
    one, many = (smoothing_factors(seen, weights, by_token=by_token)[1] for by_token in (False, True))
    return many < WORTH * one


def _swap_back(layer: Layer) -> None:
    op = layer.as_op(Gemm)
    op.constant_a, op.constant_b = False, True
    op.m, op.n = op.n, op.m
    op.broadcast_c = _C_OF_COLUMNS[op.broadcast_c]
    op.output_transpose = False
    weights = {**layer.weights, "B_data": replace(layer.weights["A_data"], name="B_data")}
    layer.weights = {name: weights[name] for name, _, _ in layer.expected_weights()}


def _levelling(layer: Layer) -> Floats | None:
    """Return by what to multiply the rows of a Gemm's B, as float32 holds it; None if none are, or need be."""
    op = layer.op
    if not isinstance(op, Gemm) or not op.constant_b or not readings(layer) or op.output_transpose or op.output_n1m:
        return None
    if op.broadcast_c != -1 and not (op.constant_c and op.broadcast_c == 4):
        return None
    reach = np.abs(layer.weights["B_data"].float32().reshape(op.n, op.k)).max(axis=1).astype(np.float64)
    counts = reach > 0
    if not counts.any() or not np.isfinite(reach).all() or reach[counts].min() > LEVEL * reach.max():
        return None
    factors = np.ones(op.n)
    factors[counts] = (np.median(reach[counts]) / reach[counts]).clip(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return factors.astype(np.float32).astype(np.float64)


def _multiply_rows(layer: Layer, factors: Floats) -> None:
    for name in ("B_data", "C_data"):
        if name in layer.weights:
            values = layer.weights[name].float32().astype(np.float64).reshape(len(factors), -1) * factors[:, None]
            layer.weights[name] = Weight.tagged_float32(name, values.ravel())
