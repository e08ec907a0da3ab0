"""Where commands write, and what they print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OutputOptions
from pyncnnq.commands.spelling import spell
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import model_pair
from pyncnnq.inputs import Preprocessing
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.inputs.metadata import sidecar_bytes, sidecar_path
from pyncnnq.model import Model
from pyncnnq.model.pair import INT8, manifest_path
from pyncnnq.report.facts import finite
from pyncnnq.report.progress import show_progress
from pyncnnq.report.terminal import say
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Progress, silent


def int8_files(output: Path | None, param: Path) -> tuple[Path, Path, Path]:
    """Return where to write the int8 model of a float model, and its manifest.

    Raises:
        PyncnnqError: the output is no name of files.
    """
    pair = model_pair(output or param.with_name(f"{param.stem}{INT8}"))
    return *pair, manifest_path(pair[0])


def preprocessing_file(param: Path, inputs: Sequence[Mapping[str, Any]]) -> dict[Path, bytes]:
    """Return the file that says how each input of a model is filled, to be written beside the model.

    Raises:
        PyncnnqError: no data was needed.
    """
    if not inputs:
        raise PyncnnqError("no data was needed, so there is no preprocessing to write", option="save_config")
    return {sidecar_path(param): sidecar_bytes(param, inputs)}


def adjusted_files(name: Path | None) -> tuple[Path, ...]:
    """Return where to write the float model that an int8 model is made from, and its table; nowhere without a name.

    Raises:
        PyncnnqError: the name is none of files.
    """
    if name is None:
        return ()
    pair = model_pair(name)
    return *pair, pair[0].with_suffix(".table")


def tell_inputs(output: OutputOptions, data: CalibrationData) -> None:
    """Say how images become the model's inputs where metadata beside the model says so, before work starts."""
    if output.as_json:
        return
    warn(data.metadata.notes)
    for name, spec, origin in zip(data.names, data.inputs, data.origins, strict=True):
        if isinstance(spec, Preprocessing) and origin.startswith(data.metadata.name) and data.metadata.name:
            which = f" of {name}" if len(data.names) > 1 else ""
            if not output.quiet:
                say(f"preprocessing{which} from {origin}: {spec}")


def progress_of(output: OutputOptions, engine: Engine | None = None) -> Progress:
    """Return what shows progress to this user, and how many workers an engine has where they may come and go."""
    if output.quiet or output.as_json:
        return silent
    if engine is None or not engine.told:
        return show_progress
    say(f"{engine.told}", err=True)
    return partial(show_progress, workers=lambda: engine.size)


def warn(lines: Iterable[str], skipped: Iterable[str] = ()) -> None:
    """Print warnings, after a line for each skipped sample, on stderr."""
    for line in (*(f"skipped {reason}" for reason in skipped), *lines):
        say(f"warning: {spell(line)}", err=True)


def warn_of_files(*models: Model, as_json: bool = False) -> None:
    """Print what is odd in the files of models, before work starts; with `as_json`, `print_json` does."""
    if not as_json:
        warn(_oddities(models))


def print_json(facts: Mapping[str, Any], *models: Model) -> None:
    """Print plain data as JSON.

    Args:
        facts: the data; its `warnings` come to name options as the command line does.
        models: those that were read: what is odd in their files is among the warnings.
    """
    warnings = [*_oddities(models), *facts.get("warnings", ())]
    click.echo(json.dumps(finite({**facts, "warnings": list(map(spell, warnings))}), indent=2))


def _oddities(models: Iterable[Model]) -> list[str]:
    """Return the warnings of models, each once: two may be of one file."""
    return list(dict.fromkeys(warning for model in models for warning in model.warnings))
