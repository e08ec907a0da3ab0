"""Where commands write, and what they print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OutputOptions
from pyncnnq.commands.spelling import spell
from pyncnnq.files import check_writable, model_pair
from pyncnnq.report.facts import finite
from pyncnnq.report.progress import show_progress
from pyncnnq.runtime.progress import Progress, silent


def model_targets(output: Path, inputs: Sequence[Path]) -> tuple[Path, Path]:
    """Return the two files of a model to write, after making sure that they can be.

    Raises:
        PyncnnqError: they cannot be written, or one of them is an input.
    """
    targets = model_pair(output)
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


def adjusted_targets(name: Path | None, inputs: Sequence[Path]) -> tuple[Path, ...]:
    """Return where to write the float model that an int8 model is made from, and its table; nowhere without a name.

    Raises:
        PyncnnqError: see `model_targets`.
    """
    if name is None:
        return ()
    pair = model_targets(name, inputs)
    table = pair[0].with_suffix(".table")
    check_writable(table, inputs)
    return *pair, table


def progress_of(output: OutputOptions) -> Progress:
    """Return what shows progress to this user."""
    return silent if output.quiet or output.as_json else show_progress


def warn(lines: Iterable[str], skipped: Iterable[str] = ()) -> None:
    """Print warnings, after a line for each skipped sample, on stderr."""
    for line in (*(f"skipped {reason}" for reason in skipped), *lines):
        click.echo(f"warning: {spell(line)}", err=True)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print plain data as JSON; warnings name options as the command line does."""
    if "warnings" in facts:
        facts = {**facts, "warnings": list(map(spell, facts["warnings"]))}
    click.echo(json.dumps(finite(facts), indent=2))
