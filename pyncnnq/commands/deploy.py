"""`pyncnnq deploy`: from ONNX or TorchScript and a folder of images to an int8 model and what an application needs
beside it."""

from __future__ import annotations

from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.gates import Gates, gate_options
from pyncnnq.commands.options import (
    OUTPUT_FOLDER,
    PATH,
    DataOptions,
    LayerOptions,
    OutputOptions,
    SearchOptions,
    custom_layers_option,
    data_options,
    fuse_option,
    labels_option,
    layer_options,
    output_options,
    search_options,
    shape_option,
)
from pyncnnq.commands.output import print_json, progress_of, warn
from pyncnnq.commands.speed_options import SpeedOptions, speed_options
from pyncnnq.commands.targets import command_inputs
from pyncnnq.conversion.external import external_files
from pyncnnq.deployment.deploy import Deployed, deploy
from pyncnnq.deployment.folder import Folder
from pyncnnq.report.evaluation import print_evaluation
from pyncnnq.report.quantization import print_search
from pyncnnq.report.terminal import say


@click.command("deploy")
@click.argument("source", type=PATH, metavar="MODEL")
@click.argument("data", nargs=-1)
@click.option(
    "--output",
    "-o",
    "folder",
    type=OUTPUT_FOLDER,
    required=True,
    help="Folder to write into; files of the same names are replaced.",
)
@shape_option
@data_options
@search_options
@speed_options
@layer_options
@fuse_option
@labels_option
@gate_options
@custom_layers_option
@output_options
def deploy_command(
    source: Path,
    data: tuple[str, ...],
    folder: Path,
    shape: tuple[str, ...],
    data_options: DataOptions,
    search: SearchOptions,
    speed: SpeedOptions,
    layers: LayerOptions,
    no_fuse: bool,
    labels: str | None,
    gates: Gates,
    custom_layers: Path | None,
    output: OutputOptions,
) -> None:
    """From MODEL, a file of ONNX or TorchScript, and images to a checked int8 model in a folder.

    Converts MODEL, compares the float ncnn model with it on some of DATA, calibrates and quantizes as `pyncnnq
    quantize` does with DATA, and evaluates on the samples that were held out of the calibration.  The folder gets both
    models, a calibration table, a report, and programs in C++ and Python that run the int8 model with the same
    preprocessing; all of it is written whatever --fail-under-sqnr and --fail-drop say of the evaluation.
    """
    request = DataRequest.read(data, data_options, output)
    files = Folder.of(folder, source.stem)
    files.check([*command_inputs(files.files, request), *external_files(source)])
    result = deploy(
        source,
        folder,
        request,
        shape=shape,
        samples=request.samples,
        workers=request.workers,
        strict=request.strict,
        progress=progress_of(output),
        recipe=search.recipe,
        without=search.without,
        budget=search.budget(),
        task=search.task,
        goal=speed.goal,
        device=speed.device,
        front=speed.front,
        pick=speed.pick,
        latency_budget=speed.latency_budget,
        fit_activations=speed.fit_activations,
        fuse=not no_fuse,
        exclude=layers.exclude,
        only=layers.only,
        keep_first_last=layers.keep_first_last,
        float32=layers.float32,
        labels=labels,
        custom_layers=custom_layers,
    )
    if output.as_json:
        print_json(result.facts)
    else:
        warn(result.warnings, result.optimized.statistics.skipped)
        if not output.quiet:
            _print(result)
    gates.check(result.evaluation)


def _print(result: Deployed) -> None:
    say(result.converted.told)
    print_search(result.optimized)
    print_evaluation(result.evaluation)
    files = ", ".join(file.name for file in result.folder.files if file.exists())
    say(f"{result.folder.param.parent}: {files}")
