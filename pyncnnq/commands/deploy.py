"""`pyncnnq deploy`: from ONNX or TorchScript and a folder of images to an int8 model and what an application needs
beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import (
    PATH,
    budget_options,
    data_options,
    fuse_option,
    output_options,
    recipe_option,
    shape_option,
)
from pyncnnq.commands.quantize_data import print_candidates
from pyncnnq.deployment.deploy import Deployed, deploy_on
from pyncnnq.optimization.budget import Budget
from pyncnnq.report.evaluation import print_evaluation
from pyncnnq.report.progress import progress


@click.command("deploy")
@click.argument("source", type=PATH, metavar="MODEL")
@click.argument("data", nargs=-1)
@click.option(
    "--output", "-o", type=PATH, required=True, help="Folder to write into; files of the same names are replaced."
)
@shape_option
@data_options
@recipe_option
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Keep these layers in float: names such as 'stem_*', or type:Gemm.",
)
@budget_options
@fuse_option
@click.option(
    "--labels",
    metavar="FROM",
    help="Class of each sample: folders, a .csv of FILE,CLASS, or a file with the class names.",
)
@output_options
def deploy_command(
    source: Path,
    data: tuple[str, ...],
    output: Path,
    shape: tuple[str, ...],
    recipe: str,
    exclude: tuple[str, ...],
    labels: str | None,
    no_fuse: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """From MODEL, a file of ONNX or TorchScript, and images to a checked int8 model in a folder.

    Converts MODEL, compares the float ncnn model with it on some of DATA, calibrates and quantizes as `pyncnnq
    quantize` does with DATA, and evaluates on the samples that were held out of the calibration.  The folder gets both
    models, a calibration table, a report, and programs in C++ and Python that run the int8 model with the same
    preprocessing.
    """
    request = DataRequest.read(data, options)
    silent = quiet or as_json
    result = deploy_on(
        source,
        output,
        request.choose,
        inputs=request.files,
        shape=shape,
        workers=request.setting("workers"),
        strict=request.setting("strict", False),
        recipe=recipe,
        labels=labels,
        budget=Budget(**{name: options[name] for name in ("min_sqnr", "max_drop", "max_float_layers", "metric")}),
        fuse=not no_fuse,
        progress=lambda what: progress(what, quiet=silent),
        tell=lambda line: None if silent else click.echo(line, err=True),
        choices={"exclude": exclude},
    )
    if as_json:
        click.echo(json.dumps(result.facts, indent=2))
        return
    for line in (*(f"skipped {reason}" for reason in result.optimized.statistics.skipped), *result.warnings):
        click.echo(f"warning: {line}", err=True)
    if not quiet:
        _print(result)


def _print(result: Deployed) -> None:
    print_candidates(result.optimized)
    print_evaluation(result.evaluation)
    click.echo(f"{result.folder.param.parent}: {', '.join(file.name for file in result.folder.files if file.exists())}")
