"""The command line: thin commands, each a call that a Python user can make too."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from pyncnnq._core import active_target
from pyncnnq.commands.calibrate import calibrate_command
from pyncnnq.commands.demo import demo_command
from pyncnnq.commands.inspect import inspect_command
from pyncnnq.commands.quantize import dequantize_command, quantize_command
from pyncnnq.errors import PyncnnqError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="pyncnnq")
def commands() -> None:
    """Int8 quantization for ncnn, from a folder of images."""
    try:
        active_target()
    except ValueError as error:
        raise PyncnnqError(f"PYNCNNQ_TARGET: {error}") from None


commands.add_command(calibrate_command)
commands.add_command(quantize_command)
commands.add_command(inspect_command)
commands.add_command(dequantize_command)
commands.add_command(demo_command)


def main() -> NoReturn:
    """Run the command line: exit code 0 when done, 2 for bad input with one clear message, 130 when interrupted."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except PyncnnqError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing was written", err=True)
        sys.exit(130)
    sys.exit(0)
