"""Operands of Gemm layers swapped, so that int8 weights have a scale for each output.

Stock ncnn gives a constant B one scale for all of it, and a constant A one for each row (src/layer/gemm.cpp).  A * B is
the transpose of (transposed B) * (transposed A), and a Gemm can write its output transposed: so the weights become A.
No number of them moves where B is stored transposed, as pnnx does.  What is lost is a scale of activations for each
token: all share one.
"""

from __future__ import annotations

from dataclasses import replace

from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Gemm
from pyncnnq.rewrites.rewritten import Rewritten

_C_TRANSPOSED = {-1: -1, 0: 0, 1: 4, 2: 4, 4: 1}
"""What a constant C is for the transposed product (see `Gemm.broadcast_c`); a whole matrix is left alone."""


def swap_operands(model: Model) -> Rewritten:
    """Make the constant B of Gemm layers their A, wherever that is all that is needed.

    What the model computes in float stays as it is, to the bit where ncnn sums in the same order.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the layers.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    swapped = model.copy()
    changed = tuple(layer.name for layer in swapped.layers if _swap(layer))
    return Rewritten(swapped, changed, {})


def _swap(layer: Layer) -> bool:
    """Swap the operands of a layer, in place; return whether it is one that can be swapped."""
    op = layer.op
    if not isinstance(op, Gemm) or not op.constant_b or op.constant_a or len(layer.bottoms) != 1:
        return False
    if op.output_n1m or op.output_transpose or op.broadcast_c not in _C_TRANSPOSED:
        return False
    if not op.constant_c and op.broadcast_c != -1:
        return False
    op.straighten()
    op.constant_a, op.constant_b = True, False
    op.transpose_a, op.transpose_b = not op.transpose_b, not op.transpose_a
    op.m, op.n = op.n, op.m
    op.broadcast_c = _C_TRANSPOSED[op.broadcast_c]
    op.output_transpose = True
    weights = {**layer.weights, "A_data": replace(layer.weights["B_data"], name="A_data")}
    layer.weights = {name: weights[name] for name, _, _ in layer.expected_weights()}
    return True
