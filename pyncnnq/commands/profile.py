"""`pyncnnq profile`: how long each layer of a model takes on this CPU, in float and in int8."""

from __future__ import annotations

from pathlib import Path

import click

from pyncnnq.commands.options import (
    OUTPUT_PATH,
    OutputOptions,
    custom_layers_option,
    fuse_option,
    model_arguments,
    output_options,
)
from pyncnnq.commands.output import print_json, progress_of, warn, warn_of_files
from pyncnnq.commands.targets import check_targets
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import Kind, write_files
from pyncnnq.inputs.preprocessing import parse_size
from pyncnnq.latency.cpp import cpp_profiler
from pyncnnq.latency.measure import profile
from pyncnnq.latency.profile_file import PROFILE, profile_bytes, profile_facts
from pyncnnq.model import load_model
from pyncnnq.report.latency import print_profile
from pyncnnq.report.terminal import say

PROGRAM = Kind("C++ program", lambda head: head.startswith(b"// Measure how long each layer"))
"""A file that may be written over."""


@click.command("profile")
@model_arguments()
@click.option(
    "--size",
    multiple=True,
    metavar="W,H",
    help="Size of the network's input; also WxH, or one number for a square.  [default: what the model states]",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Of one inference.  [default: 1]")
@click.option(
    "--output",
    "-o",
    "target",
    type=OUTPUT_PATH,
    metavar="DEVICE.json",
    help="What is found, for `pyncnnq quantize --device`.",
)
@click.option(
    "--cpp",
    "program",
    type=OUTPUT_PATH,
    metavar="FILE.cpp",
    help="Measure nothing; write a C++ program that does, for a device without Python: linked with ncnn, it prints "
    "DEVICE.json.",
)
@fuse_option
@custom_layers_option
@output_options
def profile_command(
    param: Path,
    bin: Path,
    size: tuple[str, ...],
    threads: int,
    target: Path | None,
    program: Path | None,
    no_fuse: bool,
    custom_layers: Path | None,
    output: OutputOptions,
) -> None:
    """Measure how long each layer of a float model takes on this CPU, in float and in int8.

    Run it on the device that the model is for, while that does nothing else, and give what it writes to `pyncnnq
    quantize --device`: no layer is int8 there that would be slower than in float.  The model and int8 models of it run
    in stock ncnn, on random numbers; layers are timed where they stand, and whole models side by side.
    """
    if program is not None:
        if target is not None:
            raise PyncnnqError(
                "measures nothing here, so there is nothing to write to `output=`; leave one out", option="cpp"
            )
        check_targets([program], kinds={program: PROGRAM})
    if target is not None:
        check_targets([target], kinds={target: PROFILE})
    model = load_model(param, bin, custom_layers=custom_layers)
    warn_of_files(model, as_json=output.as_json)
    sizes = [parse_size(text) for text in size]
    if program is not None:
        write_files({program: cpp_profiler(model, size=sizes, fuse=not no_fuse).encode()})
        if output.as_json:
            print_json({"cpp": str(program)}, model)
        elif not output.quiet:
            say(f"{program}: written")
        return
    found = profile(model, size=sizes, threads=threads, fuse=not no_fuse, progress=progress_of(output))
    if target is not None:
        write_files({target: profile_bytes(found)})
    if output.as_json:
        print_json({**profile_facts(found), "in_float": sorted(found.in_float()), "warnings": found.warnings}, model)
        return
    warn(found.warnings)
    if not output.quiet:
        print_profile(found)
        if target is not None:
            say(f"{target}: written")
