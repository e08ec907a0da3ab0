"""What a model holds: inputs, outputs, quantizable layers and formats of weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pyncnnq.inputs.data import input_layer
from pyncnnq.model import Layer, Model
from pyncnnq.model.custom_layers import count_custom
from pyncnnq.model.ops import SDPA, Calibrated, Convolution, ConvolutionDepthWise


@dataclass(frozen=True)
class InspectedLayer:
    """A layer that can be or is quantized.

    Attributes:
        name, type: as in the model.
        shape: its input channels (or elements), output channels and kernel, as far as it has them.
        parameters: how many weights it has, biases included.
        format: how its weights are stored.
        scales: where its int8 scales come from: "table", "weights only" (it quantizes its input while running) or "in
            the model".
    """

    name: str
    type: str
    shape: str
    parameters: int
    format: str
    scales: str


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a model holds.

    Attributes:
        inputs: for each input blob the sizes that the model states.
        outputs: names of the output blobs.
        layer_count: how many layers there are.
        custom_layers: how many there are of each type that stock ncnn does not have.
        quantizable_layers: the layers that can be or are quantized, in model order.
        weight_bytes: how many bytes of weights each format has.
    """

    inputs: dict[str, str]
    outputs: list[str]
    layer_count: int
    custom_layers: dict[str, int]
    quantizable_layers: list[InspectedLayer]
    weight_bytes: dict[str, int]


def inspect(model: Model) -> Inspection:
    """Return what a model holds."""
    formats = Counter[str]()
    for layer in model.layers:
        for weight in layer.weights.values():
            formats[weight.format] += weight.data.nbytes
    return Inspection(
        inputs={blob: _input_shape(model, blob) for blob in model.inputs},
        outputs=list(model.outputs),
        layer_count=len(model.layers),
        custom_layers=count_custom(model.layers),
        quantizable_layers=[
            _inspect_layer(layer) for layer in model.layers if layer.op.int8_weights() or isinstance(layer.op, SDPA)
        ],
        weight_bytes=dict(formats),
    )


def _input_shape(model: Model, blob: str) -> str:
    known = input_layer(model, blob)
    sizes = [("w", known.w), ("h", known.h), ("d", known.d), ("c", known.c)]
    return " ".join(f"{axis}={size}" for axis, size in sizes if size) or "shape not in the model"


def _inspect_layer(layer: Layer) -> InspectedLayer:
    weights = [layer.weights[part.weight] for part in layer.op.int8_weights() if part.weight in layer.weights]
    formats = dict.fromkeys(weight.format for weight in weights)
    if layer.op.is_int8:
        scales = "in the model"
    elif layer.op.has_dynamic_weight:
        scales = "none: weights from a blob"
    else:
        scales = "table" if layer.op.needs_activation_scale else "weights only"
    parameters = sum(weight.data.size for weight in layer.weights.values())
    return InspectedLayer(layer.name, layer.type, _shape(layer), parameters, ", ".join(formats), scales)


def _shape(layer: Layer) -> str:
    op = layer.op
    if not (isinstance(op, Calibrated) and op.needs_activation_scale):
        return ""
    shape = f"{op.input_channels()} -> {op.num_output}"
    if not isinstance(op, Convolution):
        return shape
    shape += f", {op.kernel_w}x{op.kernel_h}"
    shape += f", stride {op.stride_w}" if op.stride_w > 1 else ""
    return shape + (f", {op.groups} groups" if isinstance(op, ConvolutionDepthWise) and op.groups > 1 else "")
