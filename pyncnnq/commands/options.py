"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)  # whoever reads a file says in one line why it cannot


def model_arguments(command: Command) -> Command:
    """PARAM and BIN, the two files of a model."""
    return click.argument("param", type=PATH)(click.argument("bin", type=PATH)(command))


def output_options(command: Command) -> Command:
    """How much is printed, and in what form."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Print warnings and errors only.")
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and no progress.")(quiet(command))
