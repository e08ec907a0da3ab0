"""`pyncnnq evaluate`: what int8 did to a model."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import OUTPUT_PATH, PATH, data_options, model_arguments, output_options
from pyncnnq.compare.tasks import TASKS
from pyncnnq.compare.tasks.class_labels import class_names
from pyncnnq.errors import FailedGateError, PyncnnqError
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze_on
from pyncnnq.evaluation.evaluate import Evaluation, evaluate_on
from pyncnnq.files import check_writable, write_files
from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model, load_model
from pyncnnq.report.evaluation import print_evaluation
from pyncnnq.report.facts import finite
from pyncnnq.report.page import check_available, page
from pyncnnq.report.progress import Update, progress


@click.command("evaluate")
@model_arguments
@click.argument("int8_param", type=PATH)
@click.argument("int8_bin", type=PATH)
@click.argument("data", nargs=-1)
@click.option(
    "--labels",
    metavar="FROM",
    help="Class of each sample: folders, a .csv of FILE,CLASS, or a file with the class names.",
)
@click.option(
    "--metric",
    metavar="FILE.py:NAME",
    help="A score of your own: a function of the outputs by name and the sample's files.",
)
@click.option(
    "--task",
    metavar="NAME",
    help=f"What the outputs mean: {', '.join(TASKS)}.  [default: the first of them that fits]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, help="Of one inference, where speed is measured.  [default: 1]"
)
@click.option("--fail-under-sqnr", type=float, metavar="DB", help="Exit with code 1 if an output's SQNR is below this.")
@click.option(
    "--fail-drop",
    type=float,
    metavar="POINTS",
    help="Exit with code 1 if top-1 (in percentage points), or the metric, drops more.",
)
@click.option(
    "--report", type=OUTPUT_PATH, help="Write a page (.html) with all of this, and what `pyncnnq analyze` finds."
)
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
    fail_under_sqnr: float | None,
    fail_drop: float | None,
    report: Path | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare an int8 model with the float model it was made from, both in stock ncnn on the same data.

    PARAM and BIN are the float model, INT8_PARAM and INT8_BIN the int8 model; DATA and the options from --preset on as
    for `pyncnnq calibrate`, best with images that were not calibrated on.
    """
    if fail_drop is not None and not (labels or metric or task):
        raise PyncnnqError("--fail-drop: there is nothing to drop; give --labels, --metric or --task too")
    request = DataRequest.read(data, options)
    if report is not None:
        check_available()
        check_writable(report, inputs=[param, bin, int8_param, int8_bin, *request.files])
    model, int8 = load_model(param, bin), load_model(int8_param, int8_bin)
    chosen = request.choose(model)
    workers, strict = request.setting("workers"), request.setting("strict", False)

    def show(what: str) -> AbstractContextManager[Update | None]:
        return progress(what, quiet=quiet or as_json)

    result = evaluate_on(
        model,
        int8,
        chosen,
        workers,
        labels=labels,
        metric=metric,
        task=task,
        threads=threads,
        strict=strict,
        progress=show,
    )
    told = asdict(result)
    if report is not None:
        few = replace(chosen, samples=pick(chosen.samples, MOST_SAMPLES))
        analysis = analyze_on(model, int8, few, workers, progress=show)
        told["analysis"] = asdict(analysis)
        classes = class_names(labels, [paths[0] for paths in chosen.samples]) if labels else []
        settings = _settings(model, int8, chosen, request, labels)
        write_files({report: page(result, analysis, settings, classes).encode(errors="replace")})
    if as_json:
        click.echo(json.dumps(finite(told), indent=2))
    else:
        for reason in result.skipped:
            click.echo(f"warning: skipped {reason}", err=True)
        if not quiet:
            print_evaluation(result)
    if failures := _failures(result, fail_under_sqnr, fail_drop):
        raise FailedGateError("; ".join(failures))


def _settings(
    model: Model, int8: Model, data: CalibrationData, request: DataRequest, labels: str | None
) -> dict[str, str]:
    """What the report says of the command line."""
    return {
        "int8 model": str(int8.param_path),
        "float model": str(model.param_path),
        "data": ", ".join(request.paths),
        **{f"input {name}": str(spec) for name, spec in zip(model.inputs, data.inputs, strict=True)},
        **({"labels": labels} if labels else {}),
    }


def _failures(result: Evaluation, least_sqnr: float | None, most_drop: float | None) -> list[str]:
    failures = []
    if least_sqnr is not None:
        failures += [
            f"SQNR of {one.name} is {one.sqnr:.2f} dB, below {least_sqnr:g}"
            for one in result.outputs
            if one.sqnr < least_sqnr
        ]
    if most_drop is not None:
        # Not `>`: a score that is not a number fails too.
        failures += [
            f"{figure.name} drops by {-figure.change.estimate:.4g}, more than {most_drop:g}"
            for figure in result.figures
            if figure.change and not -figure.change.estimate <= most_drop
        ]
    return failures
