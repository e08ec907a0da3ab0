"""Options and arguments that several commands share, and the objects in which commands take their values."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pyncnnq.commands.listing import ListingOption
from pyncnnq.errors import PyncnnqError
from pyncnnq.optimization.recipes import RECIPES
from pyncnnq.runtime.engines.choice import ENGINES, start_engine
from pyncnnq.runtime.pool import available_cores

if TYPE_CHECKING:
    from pyncnnq.optimization.budget import Budget
    from pyncnnq.runtime.engines.engine import Engine

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What `click.option` returns."""


class _OutputPath(click.Path):
    """A path to write to, whose last part is a name."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, str) and (value.endswith(("/", os.sep)) or Path(value).name in ("", "..")):
            raise PyncnnqError(f"-o {value!r}: is no name of a file to write; give one, such as {Path(value, 'model')}")
        return super().convert(value, parameter, context)


PATH = click.Path(path_type=Path, readable=False)  # whoever reads a file says in one line why it cannot
"""Files to read: no output may take the place of one (`pyncnnq.commands.targets`)."""

MODEL_FILES = ("param", "bin", "int8_param", "int8_bin")
"""The parameters of commands that are files of a model to read."""

OUTPUT_FOLDER = click.Path(path_type=Path, readable=False)
OUTPUT_PATH = _OutputPath(path_type=Path, readable=False)


def model_arguments(
    *,
    models: Sequence[str] = ("param bin",),
    int8: bool = False,
    rest: str = "",
    metavar: str = "",
) -> Callable[[Command], Command]:
    """Return a decorator that adds the models of a command, and what follows them.

    A command takes the two files of each model as two parameters.  On the command line a folder may stand for them, or
    the .param alone (see `pyncnnq.commands.model_files`).

    Args:
        models: the names of each model's parameters.
        int8: whether the last model is int8.
        rest: the name of the parameter for all further arguments; none may follow without a name.
        metavar: how help writes those.
    """
    names = [name for model in models for name in model.split()]
    written = [*(name.upper() for name in names), *([metavar or f"[{rest.upper()}]..."] if rest else [])]

    def take(context: click.Context, _argument: click.Parameter, arguments: tuple[str, ...]) -> None:
        from pyncnnq.commands.model_files import take_model

        left = list(arguments)
        for model in models:
            is_last = model == models[-1]
            files, left = take_model(left, int8=int8 and is_last, is_all=is_last and not rest)
            if missing := model.split()[len(files) :]:
                raise click.MissingParameter(ctx=context, param_hint=f"'{missing[0].upper()}'", param_type="argument")
            context.params |= zip(model.split(), files, strict=True)
        if rest:
            context.params[rest] = tuple(left)
        elif left:
            plural = "s" * (len(left) > 1)
            raise click.UsageError(f"Got unexpected extra argument{plural} ({' '.join(left)})", ctx=context)

    return click.argument("models", nargs=-1, metavar=" ".join(written), callback=take, expose_value=False)


def custom_layers_option(command: Command) -> Command:
    """Add the user's Python layers."""
    return click.option(
        "--custom-layers",
        type=PATH,
        metavar="FILE.py",
        help="Layers that ncnn does not have: classes derived from ncnn.Layer, each of the layer type of its name.",
    )(command)


def shape_option(command: Command) -> Command:
    """Add the shapes of the inputs of a model to convert."""
    return click.option(
        "--shape",
        multiple=True,
        metavar="[NAME=]N,C,H,W",
        help="Shape of an input of MODEL, for each in their order; two for one that is not fixed.  [default: MODEL's]",
    )(command)


def fuse_option(command: Command) -> Command:
    """Add whether layers are fused first."""
    help_text = (
        "Leave the model as it is: fuse no BatchNorm, Scale, activation or Padding into the layers with weights."
    )
    return click.option("--no-fuse", is_flag=True, help=help_text)(command)


def resume_option(command: Command) -> Command:
    """Add where work is kept as it is done."""
    help_text = (
        "Keep what is done in a folder, block by block: the same command goes on from there after it was cut off, with "
        "the same result."
    )
    return click.option("--resume", type=OUTPUT_PATH, metavar="FOLDER", help=help_text)(command)


def save_config_option(command: Command) -> Command:
    """Add whether the preprocessing is written beside the model."""
    help_text = "Write the preprocessing beside the model, as PARAM with the suffix .toml, where all commands read it."
    return click.option("--save-config", is_flag=True, help=help_text)(command)


def labels_option(command: Command) -> Command:
    """Add the truth of each sample."""
    return click.option(
        "--labels",
        metavar="FROM",
        help="Class of each sample: folders, a .csv of FILE,CLASS, or a file with the class names.  Boxes of each "
        "image: a COCO file (.json), or a folder of YOLO's .txt files.",
    )(command)


def _list_tasks() -> tuple[str, Iterable[tuple[str, str]]]:
    from pyncnnq.compare.tasks import TASKS

    return "What the outputs mean; the first task that fits is the default.  There are:", (
        (name, task.summary) for name, task in TASKS.items()
    )


def task_option(command: Command) -> Command:
    """Add the name of the task that a model is of."""
    return click.option("--task", cls=ListingOption, listing=_list_tasks, metavar="NAME")(command)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How much is printed, and in which form."""

    quiet: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How samples become the model's inputs, and which of them are used, as typed by the user."""

    preset: tuple[str, ...]
    mean: tuple[str, ...]
    norm: tuple[str, ...]
    size: tuple[str, ...]
    pixel: tuple[str, ...]
    resize: tuple[str, ...]
    config: Path | None
    synthetic: int | None
    samples: int | None
    workers: int | None
    strict: bool


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What runs the model."""

    engine: str | None
    send_images: bool
    reproducible: bool

    def start(self, workers: int | None) -> Engine:
        """Start it, before anything is known of the samples.

        Raises:
            PyncnnqError: see `pyncnnq.start_engine`.
        """
        return start_engine(
            self.engine,
            workers=workers,
            most=available_cores(),
            send_images=self.send_images,
            reproducible=self.reproducible,
        )


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Which layers stay in float, and how their weights are stored (see `pyncnnq.quantize`)."""

    exclude: tuple[str, ...]
    only: tuple[str, ...]
    keep_first_last: bool
    float32: bool


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How much is tried to find the best int8 model, and what it shall reach."""

    recipe: str
    without: tuple[str, ...]
    min_sqnr: float | None
    max_drop: float | None
    task: str | None
    metric: str | None
    max_float_layers: int | None

    def budget(self) -> Budget:
        """Return what the int8 model shall reach.

        Raises:
            PyncnnqError: see `pyncnnq.Budget`.
        """
        from pyncnnq.optimization.budget import Budget  # here and not above, for the sake of a quick start

        return Budget(
            min_sqnr=self.min_sqnr,
            max_drop=self.max_drop,
            metric=self.metric,
            max_float_layers=self.max_float_layers,
        )


def together(name: str, kind: Callable[..., object], options: Sequence[Option]) -> Callable[[Command], Command]:
    """Return a decorator of commands that take the values of some options as one object.

    Args:
        name: of the command's parameter.
        kind: the class of the object, a dataclass with a field for each option.
        options: the options, in the order in which help lists them.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def take_together(*arguments: Any, **values: Any) -> Any:
            return command(*arguments, **{name: kind(**{each: values.pop(each) for each in names})}, **values)

        decorated: Callable[..., Any] = take_together
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


output_options = together(
    "output",
    OutputOptions,
    [
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and no progress."),
        click.option("--quiet", "-q", is_flag=True, help="Print warnings and errors only."),
    ],
)

data_options = together(
    "data_options",
    DataOptions,
    [
        click.option("--preset", multiple=True, metavar="NAME", help="Preprocessing by name, such as imagenet-torch."),
        click.option(
            "--mean",
            multiple=True,
            metavar="A,B,C",
            help="Subtracted from each channel, in the order of --pixel; or one number for all.",
        ),
        click.option(
            "--norm",
            multiple=True,
            metavar="A,B,C",
            help="Multiplied into each channel after that; 1/58.395 for a standard deviation.",
        ),
        click.option(
            "--size",
            multiple=True,
            metavar="W,H",
            help="Size of the network's input; also WxH, or one number for a square.  [default: the Input layer's]",
        ),
        click.option("--pixel", multiple=True, metavar="ORDER", help="RGB, BGR, GRAY, RGBA or BGRA."),
        click.option(
            "--resize", multiple=True, metavar="HOW", help="stretch, letterbox or short-side:N.  [default: stretch]"
        ),
        click.option("--config", type=PATH, help="TOML file that holds these options (docs/preprocessing.md)."),
        click.option(
            "--synthetic",
            type=int,
            metavar="N",
            help="In place of DATA: N images that are made up, always the same; photographs are better.",
        ),
        click.option("--samples", type=click.IntRange(min=1), help="Use only so many, evenly spread over the data."),
        click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]"),
        click.option("--strict", is_flag=True, help="An unreadable image is an error instead of being skipped."),
    ],
)


def _list_engines() -> tuple[str, Iterable[tuple[str, str]]]:
    return "What runs the model.  There are:", ((name, kind.help) for name, kind in ENGINES.items())


engine_options = together(
    "engine",
    EngineOptions,
    [
        click.option("--engine", cls=ListingOption, listing=_list_engines, metavar="NAME"),
        click.option(
            "--send-images",
            is_flag=True,
            help="Send the files of samples to the engine's workers.  [default: they read them themselves, under the "
            "same names]",
        ),
        click.option(
            "--reproducible",
            is_flag=True,
            help="Take only workers with the kind of CPU that this machine has: others compute other last bits.",
        ),
    ],
)

layer_options = together(
    "layers",
    LayerOptions,
    [
        click.option(
            "--exclude",
            multiple=True,
            metavar="PATTERN",
            help="Keep these layers in float: names such as 'stem_*', or type:Gemm.",
        ),
        click.option("--only", multiple=True, metavar="PATTERN", help="Keep all other layers in float."),
        click.option(
            "--keep-first-last", is_flag=True, help="Keep the layers next to the model's inputs and outputs in float."
        ),
        click.option(
            "--float32", is_flag=True, help="Store the weights that stay in float as float32.  [default: float16]"
        ),
    ],
)


def _list_techniques() -> tuple[str, Iterable[tuple[str, str]]]:
    from pyncnnq.optimization.techniques import TECHNIQUES

    return "Leave a technique of the recipe out.  There are:", ((name, "") for name in TECHNIQUES)


search_options = together(
    "search",
    SearchOptions,
    [
        click.option(
            "--recipe",
            type=click.Choice(list(RECIPES)),
            default="best",
            help="table, scales only; fast, one pass over the samples; best, all that helps, in minutes.  "
            "[default: best]",
        ),
        click.option("--without", cls=ListingOption, listing=_list_techniques, multiple=True, metavar="TECHNIQUE"),
        click.option(
            "--min-sqnr",
            type=float,
            metavar="DB",
            help="Leave layers in float, few of them, so that each output has this SQNR.",
        ),
        click.option(
            "--max-drop",
            type=float,
            metavar="X",
            help="The same for what users see: at most X percentage points of top-1, detections, lines read alike, ... "
            "are lost.",
        ),
        task_option,
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
    ],
)
