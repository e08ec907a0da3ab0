"""`pyncnnq analyze`: which layers of an int8 model lose what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import (
    DataOptions,
    OutputOptions,
    custom_layers_option,
    data_options,
    model_arguments,
    output_options,
)
from pyncnnq.commands.output import print_json, progress_of, warn, warn_of_files
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze
from pyncnnq.model import load_model
from pyncnnq.report.analysis import print_analysis


@click.command("analyze")
@model_arguments(models=("param bin", "int8_param int8_bin"), int8=True, rest="data")
@custom_layers_option
@data_options
@output_options
def analyze_command(
    param: Path,
    bin: Path,
    int8_param: Path,
    int8_bin: Path,
    data: tuple[str, ...],
    custom_layers: Path | None,
    data_options: DataOptions,
    output: OutputOptions,
) -> None:
    """Say which layers of an int8 model cost most, and why.

    PARAM and BIN are the float model, INT8_PARAM and INT8_BIN the int8 model made from it; DATA and the options from
    --preset on as for `pyncnnq calibrate`.  Unless --samples says otherwise, 32 samples are used.  `pyncnnq evaluate
    --report` shows all of it as a page.
    """
    request = DataRequest.read(data, data_options, output)
    model, int8 = (load_model(*files, custom_layers=custom_layers) for files in ((param, bin), (int8_param, int8_bin)))
    warn_of_files(model, int8, as_json=output.as_json)
    result = analyze(
        model,
        int8,
        request,
        samples=request.samples or MOST_SAMPLES,
        workers=request.workers,
        strict=request.strict,
        progress=progress_of(output),
    )
    if output.as_json:
        print_json(asdict(result), model, int8)
        return
    warn(result.warnings, result.skipped)
    if not output.quiet:
        print_analysis(result)
