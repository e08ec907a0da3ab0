"""`pyncnnq inspect`: what a model holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pyncnnq.commands.options import custom_layers_option, model_arguments
from pyncnnq.commands.output import print_json
from pyncnnq.kernel_targets import active_target, targets
from pyncnnq.model import load_model
from pyncnnq.model.custom_layers import listed
from pyncnnq.report.inspection import inspect
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say


def _print_targets(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        for name in targets():
            say(f"{name}  (in use)" if name == active_target() else name)
        context.exit()


@click.command("inspect")
@model_arguments()
@click.option(
    "--targets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_targets,
    help="List the kernel targets of this CPU instead.",
)
@custom_layers_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def inspect_command(param: Path, bin: Path, custom_layers: Path | None, as_json: bool) -> None:
    """Show a model's inputs, outputs, quantizable layers with their shapes, and weight formats."""
    result = inspect(load_model(param, bin, custom_layers=custom_layers))
    if as_json:
        print_json(asdict(result))
        return
    for name, shape in result.inputs.items():
        say(f"input   {name}  {shape}")
    for name in result.outputs:
        say(f"output  {name}")
    by_size = sorted(result.weight_bytes.items(), key=lambda entry: -entry[1])
    stored = ", ".join(f"{count:,} bytes of {form}" for form, count in by_size) or "none"
    layers = result.quantizable_layers
    say(f"{result.layer_count} layers, {len(layers)} quantizable; weights: {stored}")
    if result.custom_layers:
        say(f"layer types that stock ncnn does not have: {listed(result.custom_layers)}")
    if layers:
        columns = ("layer", "type", "shape", "weights", "format", "scales")
        rows = [
            (layer.name, layer.type, layer.shape, f"{layer.parameters:,}", layer.format, layer.scales)
            for layer in layers
        ]
        print_table(columns, rows, numeric=("weights",))
