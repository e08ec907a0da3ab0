"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pyncnnq.errors import PyncnnqError
from pyncnnq.files import check_writable
from pyncnnq.optimization.recipes import RECIPES

_ENDINGS = (".param", ".bin")

Command = TypeVar("Command", bound=Callable[..., Any])


class _OutputPath(click.Path):
    """Where to write: a path whose last part is a name."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, str) and (value.endswith(("/", os.sep)) or Path(value).name in ("", "..")):
            raise PyncnnqError(f"-o {value!r}: is no name of a file to write; give one, such as {Path(value, 'model')}")
        return super().convert(value, parameter, context)


PATH = click.Path(path_type=Path, readable=False)  # whoever reads a file says in one line why it cannot
OUTPUT_PATH = _OutputPath(path_type=Path, readable=False)


def model_arguments(command: Command) -> Command:
    """PARAM and BIN, the two files of a model."""
    return click.argument("param", type=PATH)(click.argument("bin", type=PATH)(command))


def output_options(command: Command) -> Command:
    """How much is printed, and in what form."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Print warnings and errors only.")
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and no progress.")(
        quiet(command)
    )


def data_options(command: Command) -> Command:
    """How samples become the model's inputs, and which of them are used."""
    options = [
        click.option("--preset", multiple=True, metavar="NAME", help="Preprocessing by name, such as imagenet-torch."),
        click.option(
            "--mean", multiple=True, metavar="A,B,C", help="Subtracted from each channel, in the order of --pixel."
        ),
        click.option("--norm", multiple=True, metavar="A,B,C", help="Multiplied into each channel after that."),
        click.option(
            "--size", multiple=True, metavar="W,H", help="Size of the network's input.  [default: the Input layer's]"
        ),
        click.option("--pixel", multiple=True, metavar="ORDER", help="RGB, BGR, GRAY, RGBA or BGRA."),
        click.option(
            "--resize", multiple=True, metavar="HOW", help="stretch, letterbox or short-side:N.  [default: stretch]"
        ),
        click.option("--config", type=PATH, help="TOML file that holds these options (docs/preprocessing.md)."),
        click.option("--samples", type=click.IntRange(min=1), help="Use only so many, evenly spread over the data."),
        click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]"),
        click.option("--strict", is_flag=True, help="An unreadable image is an error instead of being skipped."),
    ]
    return _with(options, command)


def fuse_option(command: Command) -> Command:
    """Whether layers are fused first."""
    help_text = (
        "Leave the model as it is: fuse no BatchNorm, Scale, activation or Padding into the layers with weights."
    )
    return click.option("--no-fuse", is_flag=True, help=help_text)(command)


def print_fused(changes: Mapping[str, str]) -> None:
    """One line, if anything was fused."""
    if changes:
        click.echo(f"{len(changes)} layer{'s' * (len(changes) != 1)} fused into others or removed")


def recipe_option(command: Command) -> Command:
    """How much is tried."""
    return click.option(
        "--recipe",
        type=click.Choice(list(RECIPES)),
        default="best",
        help="table, scales only; fast, one pass over the samples; best, all that helps, in minutes.  [default: best]",
    )(command)


def shape_option(command: Command) -> Command:
    """Shapes of the inputs of a model to convert."""
    return click.option(
        "--shape",
        multiple=True,
        metavar="[NAME=]N,C,H,W",
        help="Shape of an input of MODEL, for each in their order; two for one that is not fixed.  [default: MODEL's]",
    )(command)


def budget_options(command: Command) -> Command:
    """What an int8 model shall reach by leaving layers in float, and how many of them."""
    options = [
        click.option(
            "--min-sqnr",
            type=float,
            metavar="DB",
            help="Leave layers in float, few of them, so that each output has this SQNR.",
        ),
        click.option(
            "--max-drop", type=float, metavar="X", help="The same for top-1: it changes in at most X % of the samples."
        ),
        click.option(
            "--metric",
            metavar="FILE.py:NAME",
            help="A function that scores outputs: --max-drop is how far it may fall.",
        ),
        click.option(
            "--max-float-layers",
            type=click.IntRange(min=0),
            metavar="N",
            help="Leave at most N in float; alone: those N that gain most.",
        ),
    ]
    return _with(options, command)


def model_targets(output: Path, inputs: Sequence[Path]) -> tuple[Path, Path]:
    """The pair of files to write; their common part may be given with either ending.

    Raises:
        PyncnnqError: they cannot be written, or one of them is an input.
    """
    if output.is_dir():
        raise PyncnnqError(f"{output}: is a folder; name the files to write into it, such as {output / 'model-int8'}")
    name = output.stem if output.suffix in _ENDINGS else output.name
    if name in _ENDINGS:
        raise PyncnnqError(f"{output}: is an ending without a name; give one, such as {output.with_name('model-int8')}")
    targets = output.with_name(f"{name}.param"), output.with_name(f"{name}.bin")
    for target in targets:
        check_writable(target, inputs)
    return targets


def int8_targets(output: Path | None, param: Path, inputs: Sequence[Path]) -> tuple[Path, Path]:
    """Return where to write the int8 model of a float model; its manifest goes beside it.

    Raises:
        PyncnnqError: see `model_targets`.
    """
    from pyncnnq.quantization.manifest import manifest_path  # here and not above, for the sake of a quick start

    targets = model_targets(output or param.with_name(f"{param.stem}-int8"), inputs)
    check_writable(manifest_path(targets[0]), inputs)
    return targets


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
