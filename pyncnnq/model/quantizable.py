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


INT8_TYPES = (*ACTIVATION_TYPES, *WEIGHT_ONLY_TYPES, "Gemm", "SDPA")
"""All types that ncnn runs in int8.  Gemm and SDPA have no row in the table."""


@dataclass(frozen=True)
class ScaledWeight:
    """A weight array with one scale for each of `rows` equal parts.

    Attributes:
        weight: the name of the array in `Layer.weights`.
        rows: how many scales it has.
        scales: the name of the array that holds the scales in an int8 model.
    """

    weight: str
    rows: int
    scales: str


def scaled_weights(layer: Layer) -> list[ScaledWeight]:
    """The weight arrays of a layer that have a row each in the calibration table: row N is `LAYER_param_N`.

    After ncnn's tools/quantize/ncnn2table.cpp: one scale for each output of a Convolution or InnerProduct, for each
    *group* of a ConvolutionDepthWise, for each gate's output of an RNN, LSTM or GRU in each direction, one for a whole
    Embed.
    """
    params = layer.params
    if layer.type in ACTIVATION_TYPES:
        return [
            _by_rows(
                "weight_data", params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else params.get_int(0, 0)
            )
        ]
    if layer.type == "Embed":
        return [_whole("weight_data")]
    if layer.type == "MultiHeadAttention":
        embed_dim = params.get_int(0, 0)
        return [_by_rows(f"{part}_weight_data", embed_dim) for part in ("q", "k", "v")] + [_whole("out_weight_data")]
    if layer.type in _GATES:
        outputs = params.get_int(0, 0)
        hidden = params.get_int(3, outputs) if layer.type == "LSTM" else outputs
        directions = 2 if params.get_int(2, 0) == 2 else 1
        rows = hidden * _GATES[layer.type] * directions
        return [_by_rows("weight_xc_data", rows), _by_rows("weight_hc_data", rows)]
    return []


def _by_rows(weight: str, rows: int) -> ScaledWeight:
    return ScaledWeight(weight, rows, f"{weight}_int8_scales")


def _whole(weight: str) -> ScaledWeight:
    return ScaledWeight(weight, 1, f"{weight}_int8_scale")


def int8_weights(layer: Layer) -> list[ScaledWeight]:
    """The weight arrays that ncnn can hold in int8: those with table rows, and the constant matrices of a Gemm.

    A constant A has a scale for each of its M rows, a constant B one (ncnn's tools/quantize/ncnn2int8.cpp).
    """
    if layer.type == "Gemm":
        a = [_by_rows("A_data", layer.params.get_int(7, 0))] if layer.params.get_int(4, 0) == 1 else []
        b = [_whole("B_data")] if layer.params.get_int(5, 0) == 1 else []
        return a + b
    return scaled_weights(layer)


def quantized_weights(layer: Layer) -> list[str]:
    """The names of the weight arrays that ncnn can hold in int8."""
    return [weight.weight for weight in int8_weights(layer)]


def needs_activation_scale(layer: Layer) -> bool:
    """Whether the layer's input has a row in the calibration table.  A convolution whose weights come from a blob
    has none."""
    return layer.type in ACTIVATION_TYPES and not has_dynamic_weight(layer)


def needs_data(model: Model) -> bool:
    """Whether calibrating the model takes calibration data: any layer has an activation row."""
    return any(needs_activation_scale(layer) for layer in model.layers)


def has_dynamic_weight(layer: Layer) -> bool:
    """Whether a convolution takes its weights from a blob (ncnn's `dynamic_weight`, key 19) instead of the model
    file."""
    return layer.type in ("Convolution", "ConvolutionDepthWise") and layer.params.get_int(19, 0) != 0


def pads(layer: Layer) -> bool:
    """Whether it is a convolution that adds a border to its input."""
    border = any(layer.params.get_int(key, 0) != 0 for key in (4, 14, 15, 16))
    return layer.type in ("Convolution", "ConvolutionDepthWise") and border


def pads_with_value(layer: Layer) -> bool:
    """Whether it is a convolution that adds a border of other than zeros (ncnn's `pad_value`, key 18) to its input."""
    return pads(layer) and layer.params.get_float(18, 0.0) != 0


def forbids_int8(layer: Layer) -> bool:
    """Whether the layer's feature mask (key 31) asks ncnn not to run it in int8."""
    return layer.params.get_int(31, 0) & 8 != 0


def int8_term_key(layer_type: str) -> int:
    """The key of ncnn's `int8_scale_term` in a layer of one of INT8_TYPES."""
    return 18 if layer_type in ("Embed", "MultiHeadAttention", "Gemm", "SDPA") else 8


def is_int8(layer: Layer) -> bool:
    """Whether the layer is quantized already."""
    return layer.type in INT8_TYPES and layer.params.get_int(int8_term_key(layer.type), 0) != 0


def require_float(model: Model) -> None:
    """Make sure that no layer is int8 yet: neither calibration nor quantization can start from such a model.

    Raises:
        ModelError: naming the first layer that is.
    """
    for layer in model.layers:
        if is_int8(layer):
            raise ModelError(f"{model.param_path}: {layer} is int8 already; give the float model instead")


def require_sound_float(model: Model) -> None:
    """Make sure that a model is float, and that its weights are finite and those which its layers ask for.

    Raises:
        ModelError: naming the first layer that is not.
    """
    require_float(model)
    for layer in model.layers:
        layer.check_weights()
    model.check_finite()


def input_channels(layer: Layer) -> int:
    """How many channels (InnerProduct: elements) the input of a layer of ACTIVATION_TYPES must have, by its weights.

    Raises:
        ModelError: sizes that no layer can have.
    """
    params = layer.params
    outputs, kernel, group, size = params.get_int(0, 0), 1, 1, params.get_int(2, 0)
    if layer.type != "InnerProduct":
        kernel_w, size = params.get_int(1, 0), params.get_int(6, 0)
        kernel = kernel_w * params.get_int(11, kernel_w)
    if layer.type == "ConvolutionDepthWise":
        group = params.get_int(7, 1)
    if kernel < 1 or not 1 <= group <= outputs:
        raise ModelError(f"{layer}: cannot have {outputs} outputs in {group} groups, and a kernel of {kernel} elements")
    return size // kernel // (outputs // group)
