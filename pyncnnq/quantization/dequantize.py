"""From an int8 model back to the float model that it stands for."""

from __future__ import annotations

import numpy as np

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.ops import Convolution, Int8Op
from pyncnnq.quantization.quantize_layer import set_weights


def dequantize(model: Model) -> Model:
    """Return a float model with the weights of an int8 model: each int8 number divided by its scale, as float32.

    It differs from the original by the rounding of weights alone, and from the int8 model by the rounding of
    activations.  Convolutions that were written as InnerProduct stay so.

    Raises:
        ModelError: weights in blocks of few bits, which have another arithmetic.
    """
    result = model.copy()
    for layer in result.layers:
        if layer.op.is_int8:
            _dequantize_layer(layer)
    return result


def _dequantize_layer(layer: Layer) -> None:
    op = layer.as_op(Int8Op)
    for weight in op.int8_weights():
        stored = layer.weights[weight.weight]
        if stored.format == "packed":
            raise ModelError(f"{layer}: {weight.weight} is quantized in blocks; only int8 weights can be turned back")
        if stored.format == "int8":
            scales = layer.weights[weight.scales].float32()
            # A ConvolutionDepthWise of term 2 has one scale for all groups; with a scale of 0, ncnn's weights are 0.
            numbers = stored.float32().reshape(scales.size, -1)
            values = np.divide(numbers, scales[:, None], out=np.zeros_like(numbers), where=scales[:, None] != 0)
            layer.weights[weight.weight] = Weight.tagged_float32(weight.weight, values)
    if isinstance(op, Convolution) and op.pads_with_value:
        op.pad_value /= float(layer.weights["bottom_blob_int8_scales"].data[0])
    del op.int8_scale_term
    set_weights(layer, layer.weights)
