"""`pyncnnq convert`: from ONNX or TorchScript to a float ncnn model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import OUTPUT_PATH, PATH, data_options, model_targets, output_options, shape_option
from pyncnnq.conversion.convert import converting
from pyncnnq.report.facts import finite
from pyncnnq.report.progress import progress


@click.command("convert")
@click.argument("source", type=PATH, metavar="MODEL")
@click.argument("data", nargs=-1)
@click.option(
    "--output", "-o", type=OUTPUT_PATH, help="Write OUTPUT.param and OUTPUT.bin.  [default: MODEL's name, beside it]"
)
@shape_option
@data_options
@output_options
def convert_command(
    source: Path,
    data: tuple[str, ...],
    output: Path | None,
    shape: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert MODEL, a file of ONNX or TorchScript, to a float ncnn model, and check it against the original.

    The outputs of both are compared on some of DATA (as for `pyncnnq calibrate`), or on random numbers if there is
    none, if onnxruntime or torch is installed.
    """
    request = DataRequest.read(data, options)
    targets = model_targets(output or Path(source.parent, source.stem), inputs=(source, *request.files))
    workers = request.setting("workers")
    with converting(source, shape) as converted:
        if request.has_data:
            found = request.choose(converted.model)
            with progress("check", quiet=quiet or as_json) as update:
                converted.check_on(found, workers, strict=request.setting("strict", False), progress=update)
        else:
            converted.check_on_random(workers)
        converted.model.save(*targets)
    if as_json:
        files = {"param": str(targets[0]), "bin": str(targets[1])}
        click.echo(json.dumps(finite({**files, **converted.facts, "warnings": converted.warnings}), indent=2))
        return
    for warning in converted.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not quiet:
        click.echo(f"{targets[0]}, {targets[1]}: {converted.told}")
