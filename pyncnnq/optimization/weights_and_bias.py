"""Reading and replacing the numbers of a layer with weights and a bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Weight
from pyncnnq.quantization.layers import set_weights

Floats = NDArray[np.float64]


def outputs_of(layer: Layer) -> int:
    """The number of outputs of a Convolution, ConvolutionDepthWise or InnerProduct (ncnn's `num_output`)."""
    return layer.params.get_int(0, 0)


def bias_of(layer: Layer) -> Floats:
    """Its bias, shape (outputs,); zeros if it has none."""
    if "bias_data" in layer.weights:
        return layer.weights["bias_data"].float32().astype(np.float64)
    return np.zeros(outputs_of(layer))


def set_bias(layer: Layer, bias: Floats) -> None:
    """Give it a bias, which it need not have had."""
    layer.params.set(1 if layer.type == "InnerProduct" else 5, 1)
    set_weights(layer, {**layer.weights, "bias_data": Weight.raw("bias_data", bias)})


def set_weights_and_bias(layer: Layer, weights: NDArray[np.floating], bias: Floats) -> None:
    """Give it other weights, stored as float32, and a bias."""
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    set_bias(layer, bias)
