"""Which layers ncnn can run in int8, and how their weights share scales."""

from __future__ import annotations

from dataclasses import dataclass

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model

ACTIVATION_TYPES = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
"""Types whose input is quantized by a scale from the calibration table; the others quantize theirs while running."""

WEIGHT_ONLY_TYPES = ("Embed", "MultiHeadAttention", "RNN", "LSTM", "GRU")
"""Types with weight rows and no activation row, in the order in which ncnn2table writes their rows."""

_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


@dataclass(frozen=True)
class ScaledWeight:
    """A weight array with one scale for each of `rows` equal parts.

    Attributes:
        weight: the name of the array in `Layer.weights`.
        rows: how many scales it has.
    """

    weight: str
    rows: int


def scaled_weights(layer: Layer) -> list[ScaledWeight]:
    """The weight arrays of a layer that have a row each in the calibration table: row N is `LAYER_param_N`.  Empty for other layers.

    After ncnn's tools/quantize/ncnn2table.cpp: one scale for each output of a Convolution or InnerProduct, for each *group* of a
    ConvolutionDepthWise, for each gate's output of an RNN, LSTM or GRU in each direction, one for a whole Embed.
    """
    params = layer.params
    if layer.type in ACTIVATION_TYPES:
        return [ScaledWeight("weight_data", params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else params.get_int(0, 0))]
    if layer.type == "Embed":
        return [ScaledWeight("weight_data", 1)]
    if layer.type == "MultiHeadAttention":
        embed_dim = params.get_int(0, 0)
        return [ScaledWeight(f"{part}_weight_data", embed_dim) for part in ("q", "k", "v")] + [ScaledWeight("out_weight_data", 1)]
    if layer.type in _GATES:
        outputs = params.get_int(0, 0)
        hidden = params.get_int(3, outputs) if layer.type == "LSTM" else outputs
        directions = 2 if params.get_int(2, 0) == 2 else 1
        rows = hidden * _GATES[layer.type] * directions
        return [ScaledWeight("weight_xc_data", rows), ScaledWeight("weight_hc_data", rows)]
    return []


def quantized_weights(layer: Layer) -> list[str]:
    """The names of the weight arrays that ncnn can hold in int8: those with table rows, and the constant matrices of a Gemm."""
    if layer.type == "Gemm":
        return [f"{part}_data" for part, key in (("A", 4), ("B", 5)) if layer.params.get_int(key, 0) == 1]
    return [weight.weight for weight in scaled_weights(layer)]


def needs_activation_scale(layer: Layer) -> bool:
    """Whether the layer's input has a row in the calibration table.  A convolution whose weights come from a blob has none."""
    return layer.type in ACTIVATION_TYPES and not has_dynamic_weight(layer)


def needs_data(model: Model) -> bool:
    """Whether calibrating the model takes calibration data: any layer has an activation row."""
    return any(needs_activation_scale(layer) for layer in model.layers)


def has_dynamic_weight(layer: Layer) -> bool:
    """Whether a convolution takes its weights from a blob (ncnn's `dynamic_weight`, key 19) instead of the model file."""
    return layer.type in ("Convolution", "ConvolutionDepthWise") and layer.params.get_int(19, 0) != 0


def is_int8(layer: Layer) -> bool:
    """Whether the layer is quantized already (ncnn's `int8_scale_term`)."""
    key = {"Embed": 18, "MultiHeadAttention": 18, "Gemm": 18, "SDPA": 18}.get(layer.type, 8)
    types = (*ACTIVATION_TYPES, *WEIGHT_ONLY_TYPES, "Gemm", "SDPA")
    return layer.type in types and layer.params.get_int(key, 0) != 0


def require_float(model: Model) -> None:
    """Make sure that no layer is int8 yet: neither calibration nor quantization can start from such a model.

    Raises:
        ModelError: naming the first layer that is.
    """
    for layer in model.layers:
        if is_int8(layer):
            raise ModelError(f"{model.param_path}: {layer} is int8 already; give the float model instead")


def input_channels(layer: Layer) -> int:
    """How many channels (InnerProduct: elements) the input of a layer of ACTIVATION_TYPES must have, by the size of its weights."""
    params = layer.params
    outputs = params.get_int(0, 0)
    if layer.type == "InnerProduct":
        return params.get_int(2, 0) // outputs
    kernel_w = params.get_int(1, 0)
    kernel = kernel_w * params.get_int(11, kernel_w)
    group = params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    return params.get_int(6, 0) // kernel // (outputs // group)
