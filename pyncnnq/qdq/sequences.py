"""Linear layers of sequences: pnnx makes a Gemm of each, for which ncnn takes no activation scale; an InnerProduct
computes the same."""

from __future__ import annotations

from pyncnnq.model import Layer, Weight
from pyncnnq.model.ops import Gemm, InnerProduct

_EACH_OUTPUT = 4  # broadcast type of C


def inner_product(layer: Layer) -> Layer | None:
    """Return the InnerProduct that computes what a Gemm does; None unless B is constant, and there is a constant C for
    each output or none.

    Of a matrix, ncnn's InnerProduct takes each row.
    """
    gemm = layer.op
    if not isinstance(gemm, Gemm) or "B_data" not in layer.weights or len(layer.bottoms) != 1 or not _is_plain(gemm):
        return None
    has_bias = "C_data" in layer.weights
    if has_bias and gemm.broadcast_c != _EACH_OUTPUT:
        return None
    outputs, inputs = gemm.n, gemm.k
    weights = layer.weights["B_data"].float32()
    if not gemm.transpose_b:
        weights = weights.reshape(inputs, outputs).T
    arrays = {"weight_data": Weight.tagged_float32("weight_data", weights)}
    if has_bias:
        arrays["bias_data"] = Weight.raw("bias_data", layer.weights["C_data"].float32())
    result = Layer("InnerProduct", layer.name, list(layer.bottoms), list(layer.tops), weights=arrays)
    product = result.as_op(InnerProduct)
    product.num_output, product.bias_term, product.weight_data_size = outputs, has_bias, outputs * inputs
    return result


def _is_plain(gemm: Gemm) -> bool:
    """Return whether a Gemm in float multiplies its rows by a matrix, and nothing else."""
    turned = gemm.transpose_a or gemm.constant_a or gemm.output_n1m or gemm.output_transpose
    return (gemm.alpha, gemm.beta) == (1.0, 1.0) and not turned and not gemm.is_int8
