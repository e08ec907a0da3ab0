"""`pyncnnq calibrate`: from a model and a folder of images to the int8 calibration table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OUTPUT_PATH, data_options, fuse_option, model_arguments, output_options
from pyncnnq.runtime.pool import WorkerPool, available_cores


@click.command("calibrate")
@model_arguments
@click.argument("data", nargs=-1)
@click.option("--output", "-o", type=OUTPUT_PATH, help="Table to write.  [default: PARAM with the suffix .table]")
@data_options
@click.option(
    "--method",
    metavar="NAME",
    help="How scales are chosen: auto, kl, minmax, mse, percentile or aciq.  [default: auto]",
)
@click.option(
    "--weight-bits",
    metavar="NAME",
    help="proven: 8 bits, less where sums could overflow; ncnn: 6 for 3x3 stride-1 convolutions, else 8, as "
    "ncnn2table.  "
    "[default: proven for auto, else ncnn]",
)
@fuse_option
@output_options
def calibrate_command(
    param: Path, bin: Path, data: tuple[str, ...], output: Path | None, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Write the int8 calibration table of a model.

    DATA is a folder of images or .npy arrays, a list file (.txt) with one path a line, or files; a model with several
    inputs takes one DATA for each, and one with weight rows only takes none.  Preprocessing options may be repeated,
    once for each input, in their order.

    A model whose layers no one fused yet (BatchNorm, Scale, activations, Padding) is fused first, as `pyncnnq quantize`
    fuses it then.

    Scales are chosen for the least error; `--method kl` chooses them as ncnn2table does.  Its own words are understood
    too: mean=[104,117,123] norm=[1,1,1] shape=[227,227,3] pixel=BGR thread=2 method=kl.
    """
    with WorkerPool(options["workers"], most=available_cores()) as pool:
        # Imported now and not above: the workers start up while this process imports what it needs itself.
        from pyncnnq.commands.calibrate_run import run

        run(param, bin, data, output, pool, options, quiet=quiet, as_json=as_json)
