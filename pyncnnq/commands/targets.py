"""What a command writes takes the place of nothing that it reads, nor of a file of another kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import MODEL_FILES, PATH
from pyncnnq.compare.tasks.class_labels import label_files
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import Kind, check_outputs, check_pair_replaced, check_replaced
from pyncnnq.inputs.array_path import ARRAY_SUFFIXES
from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES
from pyncnnq.model.pair import manifest_path


def check_targets(
    targets: Sequence[Path],
    request: DataRequest | None = None,
    *,
    inputs: Sequence[Path] = (),
    kinds: Mapping[Path, Kind] | None = None,
) -> None:
    """Find out before any work whether the current command can write its files.

    Args:
        targets: all of them.
        request: the command's calibration data.
        inputs: what it reads beside the data and the arguments and options of type `PATH`.
        kinds: targets that may replace files of their kinds alone.

    Raises:
        PyncnnqError: one cannot be written, is an input or another target, or would replace a file of another kind.
    """
    check_outputs(targets, [*command_inputs(targets, request), *inputs])
    for target, kind in (kinds or {}).items():
        check_replaced(target, kind)
    for target in targets:
        if target.suffix.lower() in IMAGE_SUFFIXES | ARRAY_SUFFIXES:
            raise PyncnnqError(
                f"{target}: has the name of an image or an array, and would be taken for a sample; name another output"
            )
        if target.suffix == ".bin":
            check_pair_replaced(target.with_suffix(".param"), target)


def command_inputs(targets: Sequence[Path], request: DataRequest | None = None) -> list[Path]:
    """Return what the current command reads, as far as its targets could take the place of it."""
    named = [*_named_files(), *(request.files if request else ())]
    # A sample is there, so a target that is not there is none of them: most often there is no need to look for them.
    samples = request.sample_files() if request and any(target.exists() for target in targets) else []
    return [*named, *samples]


def _named_files() -> Iterator[Path]:
    """Return the files that the arguments and options of the current command name as its inputs."""
    context = click.get_current_context()
    for name in MODEL_FILES:
        if name in context.params:
            yield context.params[name]
            if name.endswith("param") and context.params[name].name:
                yield manifest_path(context.params[name])
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not value:
            continue
        if parameter.type is PATH:
            yield from value if isinstance(value, tuple) else (value,)
        if parameter.name == "labels":
            yield from label_files(value)
        if parameter.name == "metric":
            source, _, _ = value.rpartition(":")
            yield Path(source if source.endswith(".py") else f"{source.replace('.', '/')}.py")
