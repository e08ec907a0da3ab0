"""`pyncnnq quantize`: from a model and its calibration table to the int8 model; `pyncnnq dequantize`: back to float."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import OUTPUT_PATH, budget_options, data_options, model_arguments, model_targets, output_options
from pyncnnq.commands.quantize_data import description, is_table, print_candidates, quantize_from_data
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import load_model
from pyncnnq.optimization.mixed_precision import Budget
from pyncnnq.optimization.techniques import RECIPES
from pyncnnq.quantization import GemmScale, Summary, dequantize, quantize
from pyncnnq.report.tables import print_table
from pyncnnq.table import Table


@click.command("quantize")
@model_arguments
@click.argument("source", nargs=-1, required=True, metavar="TABLE|DATA...")
@click.option("--output", "-o", type=OUTPUT_PATH, help="Write OUTPUT.param and OUTPUT.bin.  [default: PARAM's name with -int8, beside it]")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Keep these layers in float: names such as 'stem_*', or type:Gemm.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Keep all other layers in float.")
@click.option("--keep-first-last", is_flag=True, help="Keep the layers next to the model's inputs and outputs in float.")
@click.option("--float32", is_flag=True, help="Store the weights that stay in float as float32.  [default: float16]")
@click.option(
    "--gemm-scale",
    type=click.Choice(["ncnn", "absmax"]),
    default="ncnn",
    help="Scale of a Gemm's constant B: from what ncnn2int8 looks at, or from all of it.  [default: ncnn]",
)
@data_options
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default="best",
    help="With DATA: table, scales only; fast, one pass over the samples; best, all that helps, in minutes.  [default: best]",
)
@click.option(
    "--adjusted",
    type=OUTPUT_PATH,
    metavar="NAME",
    help="With DATA: write NAME.param, NAME.bin and NAME.table too, the float model and the table that this int8 model comes from.",
)
@budget_options
@output_options
@click.pass_context
def quantize_command(
    context: click.Context,
    /,
    param: Path,
    bin: Path,
    source: tuple[str, ...],
    output: Path | None,
    exclude: tuple[str, ...],
    only: tuple[str, ...],
    keep_first_last: bool,
    float32: bool,
    gemm_scale: GemmScale,
    quiet: bool,
    as_json: bool,
    **for_data: Any,
) -> None:
    """Write the int8 model that stock ncnn runs.

    TABLE is the model's calibration table (pyncnnq calibrate); a layer that lacks one of its rows there stays in float.  With DATA (as for
    `pyncnnq calibrate`) in its place, calibration is done too, in several ways, and what is best on samples held out is kept.  The options
    from --preset to --max-float-layers are for DATA.
    """
    if is_table(source):
        for name in for_data:
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                option = f"--{name.replace('_', '-')}"
                raise PyncnnqError(
                    f"{option}: is for calibration data, but {source[0]} is taken for a table; give images, or drop {option}"
                )
    request = DataRequest.read(source, for_data)
    targets = model_targets(output or param.with_name(f"{param.stem}-int8"), inputs=(param, bin, *request.files))
    model = load_model(param, bin)
    choices: dict[str, Any] = {"exclude": exclude, "only": only, "keep_first_last": keep_first_last, "float32": float32}
    choices["gemm_scale"] = gemm_scale
    if not is_table(source):
        adjusted = for_data["adjusted"]
        parts = model_targets(adjusted, inputs=(param, bin, *request.files, *targets)) if adjusted else None
        budget = Budget(**{name: for_data[name] for name in ("min_sqnr", "max_drop", "max_float_layers", "metric")})
        choices |= {"recipe": for_data["recipe"], "budget": budget}
        result = quantize_from_data(model, request, choices, targets, parts, quiet=quiet, as_json=as_json)
        made_from = description(result)
        for line in (*(f"skipped {reason}" for reason in result.statistics.skipped), *result.warnings):
            if not as_json:
                click.echo(f"warning: {line}", err=True)
        if not quiet and not as_json:
            print_candidates(result)
        _report(result.int8.summary, targets, quiet=quiet, as_json=as_json, made_from=made_from)
        return
    int8 = quantize(model, Table.read(source[0]), **choices)
    int8.save(*targets)
    _report(int8.summary, targets, quiet=quiet, as_json=as_json)


@click.command("dequantize")
@model_arguments
@click.option("--output", "-o", type=OUTPUT_PATH, help="Write OUTPUT.param and OUTPUT.bin.  [default: PARAM's name with -float, beside it]")
def dequantize_command(param: Path, bin: Path, output: Path | None) -> None:
    """Write the float model that an int8 model stands for, to compare it with the original.

    Its weights are the int8 ones divided by their scales: what differs from the original is the rounding of the weights.
    """
    targets = model_targets(output or param.with_name(f"{param.stem}-float"), inputs=(param, bin))
    dequantize(load_model(param, bin)).save(*targets)
    click.echo(f"{targets[0]}, {targets[1]}")


def _report(
    summary: Summary, targets: tuple[Path, Path], *, quiet: bool, as_json: bool, made_from: Mapping[str, Any] | None = None
) -> None:
    if as_json:
        result = {
            "param": str(targets[0]),
            "bin": str(targets[1]),
            "layers": [{**asdict(layer), "int8": layer.int8} for layer in summary.layers],
            "bytes_before": summary.bytes_before,
            "bytes_after": summary.bytes_after,
            "warnings": summary.warnings,
            **({"made_from": made_from} if made_from else {}),
        }
        click.echo(json.dumps(result, indent=2))
        return
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    if quiet:
        return
    if summary.layers:
        print_table(("layer", "type", "written as"), [(layer.name, layer.type, layer.outcome) for layer in summary.layers])
    counts = [
        f"{len(summary.quantized)} layers int8",
        f"{len(summary.kept_in_float)} in float",
        f"{len(summary.chained)} chained",
    ]
    sizes = f"{summary.bytes_before:,} -> {summary.bytes_after:,} bytes"
    click.echo(f"{targets[0]}, {targets[1]}: {', '.join(counts)}; {sizes}")
