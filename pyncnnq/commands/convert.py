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
from pyncnnq.commands.output import print_json, progress_of, warn
from pyncnnq.commands.targets import check_targets
from pyncnnq.conversion.convert import convert
from pyncnnq.conversion.external import external_files
from pyncnnq.files import model_pair
from pyncnnq.report.terminal import say


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
    none, if onnxruntime or torch is installed.  Where the preprocessing is known, by options or by metadata beside
    MODEL, it is written too, as OUTPUT.toml: the other commands read it there.
    """
    request = DataRequest.read(data, data_options, output)
    targets = model_pair(float_model or source.with_suffix(".param"))
    check_targets(targets, request, inputs=external_files(source))
    converted = convert(
        source,
        targets[0],
        *request.given,
        options=request.options,
        shape=shape,
        custom_layers=custom_layers,
        samples=request.samples,
        workers=request.workers,
        strict=request.strict,
        progress=progress_of(output),
    )
    if output.as_json:
        files = {"param": targets[0], "bin": targets[1], "preprocessing": converted.preprocessing}
        print_json({**files, **converted.facts, "warnings": converted.warnings})
        return
    warn(converted.warnings)
    if not output.quiet:
        written = [*targets, *([converted.preprocessing] if converted.preprocessing else [])]
        say(f"{', '.join(map(str, written))}: {converted.told}")
