"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pyncnnq.errors import PyncnnqError

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
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and no progress.")(quiet(command))
