"""`pyncnnq calibrate`: from a model and a folder of images to the int8 calibration table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OUTPUT_PATH, PATH, model_arguments, output_options
from pyncnnq.statistics.pool import WorkerPool, available_cores


@click.command("calibrate")
@model_arguments
@click.argument("data", nargs=-1)
@click.option("--output", "-o", type=OUTPUT_PATH, help="Table to write.  [default: PARAM with the suffix .table]")
@click.option("--preset", multiple=True, metavar="NAME", help="Preprocessing by name, such as imagenet-torch (docs/preprocessing.md).")
@click.option("--mean", multiple=True, metavar="A,B,C", help="Subtracted from each channel, in the order of --pixel.")
@click.option("--norm", multiple=True, metavar="A,B,C", help="Multiplied into each channel after that.")
@click.option("--size", multiple=True, metavar="W,H", help="Size of the network's input.  [default: the Input layer's]")
@click.option("--pixel", multiple=True, metavar="ORDER", help="RGB, BGR, GRAY, RGBA or BGRA.")
@click.option("--resize", multiple=True, metavar="HOW", help="stretch, letterbox or short-side:N.  [default: stretch]")
@click.option("--config", type=PATH, help="TOML file that holds these options (docs/preprocessing.md).")
@click.option("--method", metavar="NAME", help="How thresholds are chosen: kl, minmax, mse or percentile.  [default: kl]")
@click.option(
    "--weight-bits",
    metavar="NAME",
    help="ncnn: 6 bits for 3x3 stride-1 convolutions, else 8, as ncnn2table; proven: 8, less where sums could overflow.  [default: ncnn]",
)
@click.option("--samples", type=click.IntRange(min=1), help="Use only so many, evenly spread over the data.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]")
@click.option("--strict", is_flag=True, help="An unreadable image is an error instead of being skipped.")
@output_options
def calibrate_command(
    param: Path, bin: Path, data: tuple[str, ...], output: Path | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Write the int8 calibration table of a model.

    DATA is a folder of images or .npy arrays, a list file (.txt) with one path a line, or files; a model with several inputs
    takes one DATA for each, and one with weight rows only takes none.  Preprocessing options may be repeated, once for each
    input, in their order.

    ncnn2table's own words are understood too: mean=[104,117,123] norm=[1,1,1] shape=[227,227,3] pixel=BGR thread=2 method=kl.
    """
    with WorkerPool(min(options["workers"] or available_cores(), available_cores())) as pool:
        # Imported now and not above: the workers start up while this process imports what it needs itself.
        from pyncnnq.commands.calibrate_run import run

        run(param, bin, data, output, pool, options, quiet=quiet, as_json=as_json)
