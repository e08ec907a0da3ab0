"""All commands by their names."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from pyncnnq._core import active_kernels
from pyncnnq.commands.version import print_version
from pyncnnq.errors import PyncnnqError

_MODULES = {
    "calibrate": "calibrate",
    "quantize": "quantize",
    "convert": "convert",
    "deploy": "deploy",
    "evaluate": "evaluate",
    "analyze": "analyze",
    "inspect": "inspect",
    "profile": "profile",
    "suggest": "suggest",
    "collect": "collect",
    "merge": "merge",
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
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Say what is installed."
)
def commands() -> None:
    """Int8 quantization for ncnn, from a folder of images."""
    try:
        active_kernels()
    except ValueError as error:
        raise PyncnnqError(f"PYNCNNQ_TARGET: {error}") from None
