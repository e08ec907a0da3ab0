"""Linear layers of sequences: pnnx makes a Gemm of each, for which ncnn takes no activation scale; an InnerProduct
computes the same."""

from __future__ import annotations

from pyncnnq.model import Layer, Params, Weight

_DEFAULTS = ((0, 1.0), (1, 1.0), (2, 0), (4, 0), (11, 0), (14, 0), (18, 0))
"""Keys and values of alpha, beta, transA, constant A, output_N1M, output_transpose and int8 in a plain one."""
_EACH_OUTPUT = 4  # broadcast type of C


def inner_product(layer: Layer) -> Layer | None:
    """The InnerProduct that computes what a Gemm does: one with a constant B, and a constant C for each output or none;
    else None.

    Of a matrix, ncnn's InnerProduct takes each row.
    """
    params = layer.params
    plain = all(params.get_float(key, value) == value for key, value in _DEFAULTS) and "B_data" in layer.weights
    has_bias = "C_data" in layer.weights
    fits = not has_bias or params.get_int(10, 0) == _EACH_OUTPUT
    if layer.type != "Gemm" or len(layer.bottoms) != 1 or not (plain and fits):
        return None
    outputs, inputs = params.get_int(8, 0), params.get_int(9, 0)
    weights = layer.weights["B_data"].float32()
    if not params.get_int(3, 0):
        weights = weights.reshape(inputs, outputs).T
    arrays = {"weight_data": Weight.tagged_float32("weight_data", weights)}
    if has_bias:
        arrays["bias_data"] = Weight.raw("bias_data", layer.weights["C_data"].float32())
    text = f" 0={outputs} 1={int(has_bias)} 2={outputs * inputs}"
    return Layer("InnerProduct", layer.name, list(layer.bottoms), list(layer.tops), Params(text), arrays)
