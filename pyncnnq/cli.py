"""The command line: thin commands, each a call that a Python user can make too."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn, cast

import click

from pyncnnq._core import active_kernels
from pyncnnq.commands.spelling import spell_error
from pyncnnq.errors import FailedGateError, PyncnnqError

_MODULES = {
    "calibrate": "calibrate",
    "quantize": "quantize",
    "convert": "convert",
    "deploy": "deploy",
    "evaluate": "evaluate",
    "analyze": "analyze",
    "inspect": "inspect",
    "dequantize": "dequantize",
    "import-qdq": "import_qdq",
    "demo": "demo",
}
"""Each command's module in `pyncnnq.commands`, imported when it is needed: `calibrate` and `quantize` have workers to
start first."""


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        module = import_module(f"pyncnnq.commands.{_MODULES[name]}")
        return cast(click.Command, getattr(module, f"{name.replace('-', '_')}_command"))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="pyncnnq")
def commands() -> None:
    """Int8 quantization for ncnn, from a folder of images."""
    try:
        active_kernels()
    except ValueError as error:
        raise PyncnnqError(f"PYNCNNQ_TARGET: {error}") from None


def _open_streams() -> None:
    """Let nothing that is printed be an error: neither a stream that the caller has closed, nor a name that is not
    UTF-8."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """Run the command line: exit code 0 when done, 1 for a result that fails a gate, 2 for bad input, 130 when
    interrupted."""
    _open_streams()
    try:
        commands(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except PyncnnqError as error:
        click.echo(f"error: {spell_error(error)}", err=True)
        sys.exit(2)
    except FailedGateError as failure:
        click.echo(f"failed: {failure}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing was written", err=True)
        sys.exit(130)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):  # not of the standard output
            raise
        # What could not be printed is still buffered: without this, Python would try, and complain, once more at its
        # end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.ENOSPC:
            click.echo("error: standard output: no space left on device; what there was to say is cut off", err=True)
        sys.exit(2)
    sys.exit(0)
