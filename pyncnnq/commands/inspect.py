"""`pyncnnq inspect`: what a model holds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from pyncnnq.commands.options import model_arguments
from pyncnnq.inputs.data import input_layer
from pyncnnq.model import Layer, Model, load_model
from pyncnnq.model.ops import Calibrated
from pyncnnq.report.tables import print_table
from pyncnnq.targets import active_target, targets


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


def _print_targets(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        for name in targets():
            click.echo(f"{name}  (in use)" if name == active_target() else name)
        context.exit()


@click.command("inspect")
@model_arguments
@click.option(
    "--targets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_targets,
    help="List the kernel targets of this CPU instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def inspect_command(param: Path, bin: Path, as_json: bool) -> None:
    """Show a model's inputs, outputs, quantizable layers with their shapes, and weight formats."""
    model = load_model(param, bin)
    inputs = {layer.tops[0]: _input_shape(model, layer) for layer in model.input_layers}
    layers = [
        _inspect(layer)
        for layer in model.layers
        if [weight.weight for weight in layer.op.int8_weights()] or layer.type == "SDPA"
    ]
    formats = Counter[str]()
    for layer in model.layers:
        for weight in layer.weights.values():
            formats[weight.format] += weight.data.nbytes
    if as_json:
        summary = {
            "inputs": inputs,
            "outputs": model.outputs,
            "layer_count": len(model.layers),
            "quantizable_layers": [asdict(layer) for layer in layers],
            "weight_bytes": dict(formats),
        }
        click.echo(json.dumps(summary, indent=2))
        return
    for name, shape in inputs.items():
        click.echo(f"input   {name}  {shape}")
    for name in model.outputs:
        click.echo(f"output  {name}")
    stored = ", ".join(f"{count:,} bytes of {form}" for form, count in formats.most_common()) or "none"
    click.echo(f"{len(model.layers)} layers, {len(layers)} quantizable; weights: {stored}")
    columns = ("layer", "type", "shape", "weights", "format", "scales")
    rows = [(one.name, one.type, one.shape, f"{one.parameters:,}", one.format, one.scales) for one in layers]
    if rows:
        print_table(columns, rows, numeric=("weights",))


def _input_shape(model: Model, layer: Layer) -> str:
    known = input_layer(model, layer)
    sizes = [("w", known.w), ("h", known.h), ("d", known.d), ("c", known.c)]
    return " ".join(f"{axis}={size}" for axis, size in sizes if size) or "shape not in the model"


def _inspect(layer: Layer) -> InspectedLayer:
    weights = [
        layer.weights[name] for name in [weight.weight for weight in layer.op.int8_weights()] if name in layer.weights
    ]
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
    params = layer.params
    if not layer.op.needs_activation_scale:
        return ""
    shape = f"{layer.as_op(Calibrated).input_channels()} -> {params.get_int(0, 0)}"
    if layer.type == "InnerProduct":
        return shape
    kernel_w, stride_w, group = params.get_int(1, 0), params.get_int(3, 1), params.get_int(7, 1)
    shape += f", {kernel_w}x{params.get_int(11, kernel_w)}"
    shape += f", stride {stride_w}" if stride_w > 1 else ""
    return shape + (f", {group} groups" if group > 1 and layer.type == "ConvolutionDepthWise" else "")
