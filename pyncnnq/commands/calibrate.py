"""`pyncnnq calibrate`: from a model and a folder of images to the int8 calibration table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OUTPUT_PATH, data_options, fuse_option, model_arguments, output_options
from pyncnnq.runtime.pool import WorkerPool, available_cores


class _Listing(click.Option):
    """An option whose help lists what there is, looked up only when help is printed: the names take long to import."""

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        first, lines = self.listed()
        self.help = "\n".join([first, "", "\b", *(f"{name}: {text}" for name, text in lines)])
        return super().get_help_record(context)

    def listed(self) -> tuple[str, Iterable[tuple[str, str]]]:
        """Return a sentence, and names with a line of help each."""
        raise NotImplementedError


class _Methods(_Listing):
    def listed(self) -> tuple[str, Iterable[tuple[str, str]]]:
        from pyncnnq.calibration.methods import DEFAULT, METHODS

        return f"How scales are chosen.  [default: {DEFAULT}]", (
            (name, method.help) for name, method in METHODS.items()
        )


class _WeightBits(_Listing):
    def listed(self) -> tuple[str, Iterable[tuple[str, str]]]:
        from pyncnnq.calibration.methods import DEFAULT, METHODS
        from pyncnnq.calibration.weight_scales import WEIGHT_BITS

        default = f"the method's, which is {METHODS[DEFAULT].weight_bits} for {DEFAULT}"
        return f"How many bits weights get.  [default: {default}]", (
            (name, bits.help) for name, bits in WEIGHT_BITS.items()
        )


@click.command("calibrate")
@model_arguments
@click.argument("data", nargs=-1)
@click.option("--output", "-o", type=OUTPUT_PATH, help="Table to write.  [default: PARAM with the suffix .table]")
@data_options
@click.option("--method", cls=_Methods, metavar="NAME")
@click.option("--weight-bits", cls=_WeightBits, metavar="NAME")
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
