"""`pyncnnq quantize`: from a model and its calibration table, or calibration data, to the int8 model."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import click
from click.core import ParameterSource

from pyncnnq.commands.gates import Gates, gate_options
from pyncnnq.commands.options import (
    OUTPUT_PATH,
    DataOptions,
    EngineOptions,
    LayerOptions,
    OutputOptions,
    SearchOptions,
    custom_layers_option,
    data_options,
    engine_options,
    fuse_option,
    layer_options,
    model_arguments,
    output_options,
    save_config_option,
    search_options,
)
from pyncnnq.commands.source import is_table
from pyncnnq.commands.speed_options import SpeedOptions, speed_options
from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.engines.engine import Engine


@click.command("quantize")
@model_arguments(rest="source", metavar="TABLE|DATA...")
@click.option(
    "--output",
    "-o",
    "int8",
    type=OUTPUT_PATH,
    help="Write OUTPUT.param and OUTPUT.bin.  [default: PARAM's name with -int8, beside it]",
)
@layer_options
@data_options
@engine_options
@save_config_option
@search_options
@speed_options
@gate_options
@click.option(
    "--adjusted",
    type=OUTPUT_PATH,
    metavar="NAME",
    help="With DATA: write NAME.param, NAME.bin and NAME.table too, the float model and the table that this "
    "int8 model comes from.",
)
@fuse_option
@custom_layers_option
@output_options
@click.pass_context
def quantize_command(
    context: click.Context,
    /,
    param: Path,
    bin: Path,
    source: tuple[str, ...],
    int8: Path | None,
    layers: LayerOptions,
    data_options: DataOptions,
    engine: EngineOptions,
    save_config: bool,
    search: SearchOptions,
    speed: SpeedOptions,
    gates: Gates,
    adjusted: Path | None,
    no_fuse: bool,
    custom_layers: Path | None,
    output: OutputOptions,
) -> None:
    """Write the int8 model that stock ncnn runs.

    TABLE is the model's calibration table (pyncnnq calibrate); a layer that lacks one of its rows there stays in float.
    If the model was fused to make the table, it is fused here too.

    With DATA (as for `pyncnnq calibrate`) or --synthetic in its place, the model is fused and calibrated too, in
    several ways, and what is best on samples held out is kept; these are also what --fail-under-sqnr and --fail-drop
    look at, after the files are written.  The options from --preset to --adjusted are for DATA.
    A folder that holds one model stands for PARAM and BIN.
    """
    if not source and data_options.synthetic is None:
        raise click.MissingParameter(ctx=context, param_type="argument", param_hint="'TABLE|DATA...'")
    if is_table(source):
        _refuse_options_for_data(context, source[0])
        _quantize_by_table(param, bin, custom_layers, Path(source[0]), int8, layers, output, fuse=not no_fuse)
        return
    with engine.start(data_options.workers) as pool:
        _quantize_by_data(
            param,
            bin,
            custom_layers,
            source,
            int8,
            layers,
            data_options,
            search,
            speed,
            gates,
            adjusted,
            output,
            save_config=save_config,
            fuse=not no_fuse,
            pool=pool,
        )


def _quantize_by_data(
    param: Path,
    bin: Path,
    custom_layers: Path | None,
    data: tuple[str, ...],
    int8: Path | None,
    layers: LayerOptions,
    data_options: DataOptions,
    search: SearchOptions,
    speed: SpeedOptions,
    gates: Gates,
    adjusted: Path | None,
    output: OutputOptions,
    *,
    save_config: bool,
    fuse: bool,
    pool: Engine,
) -> None:
    # Imported now and not above: the workers start up while this process imports what it needs itself.
    from pyncnnq.commands.data_request import DataRequest
    from pyncnnq.commands.output import (
        adjusted_files,
        int8_files,
        preprocessing_file,
        print_json,
        progress_of,
        warn,
        warn_of_files,
    )
    from pyncnnq.commands.targets import check_targets
    from pyncnnq.evaluation.evaluate import evaluate
    from pyncnnq.files import write_files
    from pyncnnq.inputs.data import find_fitting
    from pyncnnq.inputs.metadata import SIDECAR, sidecar_path
    from pyncnnq.latency.profile_file import profile_of
    from pyncnnq.model import load_model
    from pyncnnq.model.pair import MANIFEST
    from pyncnnq.model.text import encode
    from pyncnnq.optimization.judge import split_samples
    from pyncnnq.optimization.quantize import quantize
    from pyncnnq.optimization.recipes import recipe_named
    from pyncnnq.report.quantization import print_search, print_summary, summary_facts

    request = DataRequest.read(data, data_options, output)
    files, floats = int8_files(int8, param), adjusted_files(adjusted)
    sidecar = (sidecar_path(param),) * save_config
    targets, outputs = files[:2], (*files, *floats, *sidecar)
    check_targets(outputs, request, kinds={files[2]: MANIFEST, **dict.fromkeys(sidecar, SIDECAR)})
    budget, model = search.budget(), load_model(param, bin, custom_layers=custom_layers)
    device = profile_of(speed.device)
    warn_of_files(model, as_json=output.as_json)
    pool.wanted = request.workers or pool.wanted
    chosen = find_fitting(model, [replace(request, pool=pool).for_targets(*outputs)], (), request.samples)
    result = quantize(
        model,
        chosen,
        engine=pool,
        strict=request.strict,
        progress=progress_of(output, pool),
        recipe=search.recipe,
        without=search.without,
        budget=budget,
        task=search.task,
        goal=speed.goal,
        device=device,
        front=speed.front,
        pick=speed.pick,
        latency_budget=speed.latency_budget,
        fit_activations=speed.fit_activations,
        fuse=fuse,
        exclude=layers.exclude,
        only=layers.only,
        keep_first_last=layers.keep_first_last,
        float32=layers.float32,
    )
    contents = result.int8.contents(*targets)
    if floats:
        contents |= {**result.model.contents(*floats[:2]), floats[2]: encode(result.calibration.table.text())}
    if save_config:
        contents |= preprocessing_file(param, result.calibration.inputs)
    write_files(contents)
    warnings = [*result.warnings, *pool.warnings, *result.int8.summary.warnings]
    if output.as_json:
        facts = {**summary_facts(result.int8, targets), "inputs": result.calibration.inputs}
        print_json({**facts, "made_from": result.int8.manifest.calibration, "warnings": warnings}, model)
    else:
        warn(warnings, result.statistics.skipped)
        if not output.quiet:
            print_search(result)
            print_summary(result.int8, targets)
    if gates.are_set:
        pool.end()  # room for the processes that evaluate
        held_out = replace(chosen, samples=split_samples(chosen.samples, recipe_named(search.recipe))[1])
        int8_model = load_model(*targets, custom_layers=custom_layers)
        gates.check(
            evaluate(model, int8_model, held_out, metric=search.metric, task=search.task, workers=request.workers)
        )


def _refuse_options_for_data(context: click.Context, table: str) -> None:
    for_data = {
        field.name
        for kind in (DataOptions, EngineOptions, SearchOptions, SpeedOptions, Gates)
        for field in fields(kind)
    }
    for_data |= {"adjusted", "save_config"}
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in for_data and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise PyncnnqError(
                f"is for calibration data, but {table} is taken for a table; give images, or leave it out", option=name
            )


def _quantize_by_table(
    param: Path,
    bin: Path,
    custom_layers: Path | None,
    table: Path,
    int8: Path | None,
    layers: LayerOptions,
    output: OutputOptions,
    *,
    fuse: bool,
) -> None:
    from pyncnnq.calibration.table import Table
    from pyncnnq.commands.output import int8_files, print_json, warn, warn_of_files
    from pyncnnq.commands.targets import check_targets
    from pyncnnq.model import load_model
    from pyncnnq.model.pair import MANIFEST
    from pyncnnq.optimization.quantize import quantize
    from pyncnnq.report.quantization import print_summary, summary_facts

    files = int8_files(int8, param)
    targets = files[:2]
    check_targets(files, inputs=[table], kinds={files[2]: MANIFEST})
    model = load_model(param, bin, custom_layers=custom_layers)
    warn_of_files(model, as_json=output.as_json)
    result = quantize(
        model,
        Table.read(table),
        fuse=fuse,
        exclude=layers.exclude,
        only=layers.only,
        keep_first_last=layers.keep_first_last,
        float32=layers.float32,
    )
    result.save(*targets)
    if output.as_json:
        print_json(summary_facts(result, targets), model)
        return
    warn(result.summary.warnings)
    if not output.quiet:
        print_summary(result, targets)
