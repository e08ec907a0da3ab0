"""`pyncnnq demo`: the main job on a small model and images that come with the package."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from pyncnnq.commands.calibrate import calibrate_command
from pyncnnq.commands.options import OUTPUT_FOLDER
from pyncnnq.commands.quantize import quantize_command
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import write_files
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import find_data
from pyncnnq.inputs.metadata import sidecar_bytes, sidecar_path
from pyncnnq.model import load_model
from pyncnnq.report.terminal import say


@click.command("demo")
@click.argument("folder", type=OUTPUT_FOLDER, default=Path("pyncnnq-demo"))
def demo_command(folder: Path) -> None:
    """Copy the demo model and its images to FOLDER, calibrate and quantize it there.  [default: ./pyncnnq-demo]"""
    if str(folder).startswith("-"):  # the commands below would take it for an option
        folder = folder.absolute()
    param, bin_path, images = folder / "model.param", folder / "model.bin", folder / "images"
    table = folder / "model.table"
    options = InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)  # type: ignore[arg-type]
    known = find_data(load_model(DEMO.param, DEMO.bin), [DEMO.images], ("demo", [options])).facts
    contents = {
        param: DEMO.param.read_bytes(),
        bin_path: DEMO.bin.read_bytes(),
        sidecar_path(param): sidecar_bytes(param, known),
        **{images / image.name: image.read_bytes() for image in DEMO.images.iterdir()},
    }
    try:
        holds_demo = param.exists() and all(_holds(*pair) for pair in contents.items())
        if folder.exists() and any(folder.iterdir()) and not holds_demo:
            raise PyncnnqError(
                f"{folder}: holds other files already, which the demo could overwrite; name another folder"
            )
        images.mkdir(parents=True, exist_ok=True)
        write_files(contents)
    except OSError as error:
        raise PyncnnqError(
            f"{error.filename or folder}: cannot write the demo: {error.strerror}; name another folder"
        ) from error
    int8 = folder / "model-int8"
    _run(calibrate_command, param, bin_path, images, "-o", table)
    _run(quantize_command, param, bin_path, table, "-o", int8)
    for line in (
        "",
        f"The calibration table is {table}.",
        f"The int8 model is {int8}.param and {int8}.bin: load it with ncnn as any other.",
        "Next: the same commands with your own model and a folder of a few hundred photographs; --preset and "
        "--mean/--norm/--size say",
        "how the network expects its images (pyncnnq calibrate --help), and pyncnnq inspect MODEL.param "
        "MODEL.bin shows what it holds.",
    ):
        say(line)


def _run(command: click.Command, *arguments: object) -> None:
    """Show a command of ours as a user would type it, and run it."""
    words = [str(argument) for argument in arguments]
    say(f"pyncnnq {command.name} {shlex.join(words)}")
    command.main(words, standalone_mode=False, prog_name=f"pyncnnq {command.name}")


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has a content, or is not there."""
    return not os.path.lexists(path) or (path.is_file() and path.read_bytes() == content)
