"""`pyncnnq evaluate`: what int8 did to a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.gates import Gates, gate_options
from pyncnnq.commands.options import (
    OUTPUT_PATH,
    DataOptions,
    OutputOptions,
    custom_layers_option,
    data_options,
    labels_option,
    model_arguments,
    output_options,
    task_option,
)
from pyncnnq.commands.output import print_json, progress_of, warn, warn_of_files
from pyncnnq.commands.targets import check_targets
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze
from pyncnnq.evaluation.evaluate import evaluate
from pyncnnq.evaluation.showing import names_of_classes, worst_samples
from pyncnnq.files import write_files
from pyncnnq.inputs.data import CalibrationData, find_fitting
from pyncnnq.model import Model, load_model
from pyncnnq.model.custom_layers import count_custom, listed
from pyncnnq.report.evaluation import print_evaluation
from pyncnnq.report.page import PAGE, check_available, page


@click.command("evaluate")
@model_arguments(models=("param bin", "int8_param int8_bin"), int8=True, rest="data")
@labels_option
@click.option(
    "--metric",
    metavar="FILE.py:NAME",
    help="A score of your own: a function of the outputs by name and the sample's files.",
)
@task_option
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, help="Of one inference, where speed is measured.  [default: 1]"
)
@gate_options
@click.option(
    "--report", type=OUTPUT_PATH, help="Write a page (.html) with all of this, and what `pyncnnq analyze` finds."
)
@custom_layers_option
@data_options
@output_options
def evaluate_command(
    param: Path,
    bin: Path,
    int8_param: Path,
    int8_bin: Path,
    data: tuple[str, ...],
    labels: str | None,
    metric: str | None,
    task: str | None,
    threads: int,
    gates: Gates,
    report: Path | None,
    custom_layers: Path | None,
    data_options: DataOptions,
    output: OutputOptions,
) -> None:
    """Compare an int8 model with the float model it was made from, both in stock ncnn on the same data.

    PARAM and BIN are the float model, INT8_PARAM and INT8_BIN the int8 model; DATA and the options from --preset on as
    for `pyncnnq calibrate`, best with images that were not calibrated on.  A folder stands for the model in it: of a
    folder with both, first for the float model and then for the int8 model.
    """
    request = DataRequest.read(data, data_options, output)
    if report is not None:
        check_available()
        check_targets([report], request, kinds={report: PAGE})
    model, int8 = (load_model(*files, custom_layers=custom_layers) for files in ((param, bin), (int8_param, int8_bin)))
    warn_of_files(model, int8, as_json=output.as_json)
    chosen = find_fitting(model, [request], (), request.samples)
    result = evaluate(
        model,
        int8,
        chosen,
        labels=labels,
        metric=metric,
        task=task,
        workers=request.workers,
        threads=threads,
        strict=request.strict,
        progress=progress_of(output),
    )
    facts = {**asdict(result), "warnings": [*_warnings(int8), *result.warnings]}
    if report is not None:
        analysis = analyze(
            model, int8, chosen, samples=MOST_SAMPLES, workers=request.workers, progress=progress_of(output)
        )
        facts["analysis"] = asdict(analysis)
        classes = names_of_classes(labels, chosen)
        shown = worst_samples(
            result, model, int8, chosen, classes, workers=request.workers, progress=progress_of(output)
        )
        settings = _settings(model, int8, chosen, request, labels)
        write_files({report: page(result, analysis, settings, classes, shown).encode(errors="replace")})
    if output.as_json:
        print_json(facts, model, int8)
    else:
        warn(facts["warnings"], result.skipped)
        if not output.quiet:
            print_evaluation(result)
    gates.check(result)


def _warnings(int8: Model) -> list[str]:
    """Return what does not show in the figures."""
    custom = count_custom(int8.layers)
    return [f"layers that Python computes: {listed(custom)}; times include them, multiplications do not"] * bool(custom)


def _settings(
    model: Model, int8: Model, data: CalibrationData, request: DataRequest, labels: str | None
) -> dict[str, str]:
    """Return what the report says of the command line."""
    return {
        "int8 model": str(int8.param_path),
        "float model": str(model.param_path),
        "data": request.told,
        **{f"input {name}": str(spec) for name, spec in zip(model.inputs, data.inputs, strict=True)},
        **({"labels": labels} if labels else {}),
    }
