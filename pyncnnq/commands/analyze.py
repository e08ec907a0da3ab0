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
from pyncnnq.commands.output import print_json, progress_of, warn
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze
from pyncnnq.model import load_model
from pyncnnq.report.analysis import print_analysis


@click.command("analyze")
@model_arguments(models=("param bin", "int8_param int8_bin"), rest="data")
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
    result = analyze(
        load_model(param, bin, custom_layers=custom_layers),
        load_model(int8_param, int8_bin, custom_layers=custom_layers),
        request,
        samples=request.samples or MOST_SAMPLES,
        workers=request.workers,
        strict=request.strict,
        progress=progress_of(output),
    )
    if output.as_json:
        print_json(asdict(result))
        return
    warn([], result.skipped)
    if not output.quiet:
        print_analysis(result)
