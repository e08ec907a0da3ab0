"""`pyncnnq dequantize`: from an int8 model back to float."""

from __future__ import annotations

from pathlib import Path

import click

from pyncnnq.commands.options import OUTPUT_PATH, custom_layers_option, model_arguments
from pyncnnq.commands.targets import check_targets
from pyncnnq.files import model_pair
from pyncnnq.model import load_model
from pyncnnq.quantization import dequantize
from pyncnnq.report.terminal import say


@click.command("dequantize")
@model_arguments()
@click.option(
    "--output",
    "-o",
    type=OUTPUT_PATH,
    help="Write OUTPUT.param and OUTPUT.bin.  [default: PARAM's name with -float, beside it]",
)
@custom_layers_option
def dequantize_command(param: Path, bin: Path, output: Path | None, custom_layers: Path | None) -> None:
    """Write the float model that an int8 model stands for, to compare it with the original.

    Its weights are the int8 ones divided by their scales: what differs from the original is the rounding of the
    weights.
    """
    targets = model_pair(output or param.with_name(f"{param.stem}-float"))
    check_targets(targets)
    dequantize(load_model(param, bin, custom_layers=custom_layers)).save(*targets)
    say(f"{targets[0]}, {targets[1]}")
