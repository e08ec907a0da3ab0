"""`pyncnnq convert`: from ONNX or TorchScript to a float ncnn model."""

from __future__ import annotations

from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import (
    OUTPUT_PATH,
    PATH,
    DataOptions,
    OutputOptions,
    custom_layers_option,
    data_options,
    output_options,
    shape_option,
)
from pyncnnq.commands.output import model_targets, print_json, progress_of, warn
from pyncnnq.conversion.convert import convert


@click.command("convert")
@click.argument("source", type=PATH, metavar="MODEL")
@click.argument("data", nargs=-1)
@click.option(
    "--output",
    "-o",
    "float_model",
    type=OUTPUT_PATH,
    help="Write OUTPUT.param and OUTPUT.bin.  [default: MODEL's name, beside it]",
)
@shape_option
@data_options
@custom_layers_option
@output_options
def convert_command(
    source: Path,
    data: tuple[str, ...],
    float_model: Path | None,
    shape: tuple[str, ...],
    data_options: DataOptions,
    custom_layers: Path | None,
    output: OutputOptions,
) -> None:
    """Convert MODEL, a file of ONNX or TorchScript, to a float ncnn model, and check it against the original.

    The outputs of both are compared on some of DATA (as for `pyncnnq calibrate`), or on random numbers if there is
    none, if onnxruntime or torch is installed.
    """
    request = DataRequest.read(data, data_options)
    inputs = [source, *filter(None, [custom_layers]), *request.files]
    targets = model_targets(float_model or source.with_suffix(".param"), inputs)
    converted = convert(
        source,
        targets[0],
        *request.given,
        shape=shape,
        custom_layers=custom_layers,
        samples=request.samples,
        workers=request.workers,
        strict=request.strict,
        progress=progress_of(output),
    )
    if output.as_json:
        files = {"param": str(targets[0]), "bin": str(targets[1])}
        print_json({**files, **converted.facts, "warnings": converted.warnings})
        return
    warn(converted.warnings)
    if not output.quiet:
        click.echo(f"{targets[0]}, {targets[1]}: {converted.told}")
