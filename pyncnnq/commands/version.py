"""`pyncnnq --version`: what is installed, for reports of faults."""

from __future__ import annotations

import platform
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import click

from pyncnnq.report.terminal import say


def print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print the versions of pyncnnq, its wheel, ncnn and Python and the kernel target in use, and end the command."""
    if not wanted:
        return
    from pyncnnq._core import active_kernels

    try:
        kernels = active_kernels().target
    except ValueError as error:
        kernels = f"none: {error}"
    ours, ncnn = _installed("pyncnnq"), _installed("ncnn")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    say(
        f"pyncnnq {ours.version if ours else 'not installed'} ({_wheel(ours)}), ncnn "
        f"{ncnn.version if ncnn else 'not installed'}, kernels {kernels}, {python} on "
        f"{platform.system()} {platform.machine()}"
    )
    context.exit()


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _wheel(ours: Distribution | None) -> str:
    """Name the wheel that was installed by the first of its tags."""
    lines = ((ours and ours.read_text("WHEEL")) or "").splitlines()
    tags = [line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")]
    return tags[0] if tags else "from source"
