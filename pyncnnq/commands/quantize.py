"""`pyncnnq quantize`: from a model and its calibration table, or calibration data, to the int8 model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pyncnnq.commands.options import (
    OUTPUT_PATH,
    budget_options,
    data_options,
    fuse_option,
    model_arguments,
    output_options,
    recipe_option,
)
from pyncnnq.commands.source import is_table
from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.pool import WorkerPool, available_cores


@click.command("quantize")
@model_arguments
@click.argument("source", nargs=-1, required=True, metavar="TABLE|DATA...")
@click.option(
    "--output",
    "-o",
    type=OUTPUT_PATH,
    help="Write OUTPUT.param and OUTPUT.bin.  [default: PARAM's name with -int8, beside it]",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Keep these layers in float: names such as 'stem_*', or type:Gemm.",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Keep all other layers in float.")
@click.option(
    "--keep-first-last", is_flag=True, help="Keep the layers next to the model's inputs and outputs in float."
)
@click.option("--float32", is_flag=True, help="Store the weights that stay in float as float32.  [default: float16]")
@data_options
@recipe_option
@click.option(
    "--adjusted",
    type=OUTPUT_PATH,
    metavar="NAME",
    help="With DATA: write NAME.param, NAME.bin and NAME.table too, the float model and the table that this "
    "int8 model comes from.",
)
@budget_options
@fuse_option
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
    no_fuse: bool,
    quiet: bool,
    as_json: bool,
    **for_data: Any,
) -> None:
    """Write the int8 model that stock ncnn runs.

    TABLE is the model's calibration table (pyncnnq calibrate); a layer that lacks one of its rows there stays in float.
    If the model was fused to make the table, it is fused here too.

    With DATA (as for `pyncnnq calibrate`) in its place, the model is fused and calibrated too, in several ways, and
    what is best on samples held out is kept.  The options from --preset to --max-float-layers are for DATA.
    """
    choices: dict[str, Any] = {"exclude": exclude, "only": only, "keep_first_last": keep_first_last, "float32": float32}
    shown = {"quiet": quiet, "as_json": as_json}
    if is_table(source):
        for name in for_data:
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                option = f"--{name.replace('_', '-')}"
                raise PyncnnqError(
                    f"{option}: is for calibration data, but {source[0]} is taken for a table; give images, or "
                    f"drop {option}"
                )
        from pyncnnq.commands.quantize_table import quantize_with_table

        quantize_with_table(param, bin, Path(source[0]), output, choices, may_fuse=not no_fuse, **shown)
        return
    with WorkerPool(for_data["workers"], most=available_cores()) as pool:
        # Imported now and not above: the workers start up while this process imports what it needs itself.
        from pyncnnq.commands.quantize_data import quantize_from_data

        quantize_from_data(param, bin, source, output, pool, for_data, {**choices, "fuse": not no_fuse}, **shown)
