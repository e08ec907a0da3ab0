"""The program `pnnx`, which converts ONNX and TorchScript to ncnn, in a process of its own.

The package on PyPI holds the program beside a module that imports PyTorch; the program itself needs none, and only it
is used.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyncnnq.conversion.shapes import Tensor, read_tensors, write_tensors
from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.starting import CannotStartError, end_with_parent, start_process

INSTALL = "pip install --no-deps pnnx (or without --no-deps, for PyTorch too)"

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_TRACED = re.compile(r"get inputshape from traced inputs\ninputshape = (.*)(?:\ninputshape2 = (.*))?")
_INPUT_LINE = re.compile(r"^pnnx\.Input +\S+ +0 1 \S+ #\S+=(\S+)", re.MULTILINE)
_BATCH_AXIS = re.compile(
    r'ex\.input\("(\w+)", ncnn\.Mat\(\w+\.(?:squeeze\((\d+)\)\.)?numpy\(\)(?:, batch_index=(\d+))?\)'
)

_WAY_OUT = "export the model without it, or cut the model before it and compute the rest outside of the network"
_NEWER = "export with an older opset, such as opset_version=17, or update pnnx"

# What pnnx, and the ONNX Runtime inside it, print before they give up, and what that means.
_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"input_shapes\[(\d+)\] expect \[([\d,?]+)\]\w* but got \[([\d,]+)\]",
        "input in{0} is {1} in the file, not {2}; leave `shape=` out",
    ),
    (
        r"input_shape expect (\d+) tensors but got (\d+)",
        "has {0} inputs, and shapes are given for {1}: give one for each",
    ),
    (r"Missing opset|read_proto_from_binary failed|Protobuf parsing failed", "is not an ONNX model, or is cut off"),
    (
        r"Opset (\d+) is under development.*till opset (\d+)",
        f"is of opset {{0}}, pnnx knows those up to {{1}}; {_NEWER}",
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        f"is of ONNX IR version {{0}}, pnnx knows {{1}}; {_NEWER}",
    ),
    (
        r"(\S+?)\(-?\d+\) is not a registered function/op",
        f"has the operator {{0}}, which pnnx does not know; {_WAY_OUT}",
    ),
    (r"No opset import for domain '(\S+)'", f"has operators of {{0}}, which pnnx does not know; {_WAY_OUT}"),
    (
        r"implementation for (\w+)\((\d+)\) node",
        "has the operator {0} as it was in opset {1}, which pnnx cannot run; export with a newer opset",
    ),
    (
        r"Op \((\w+)\) (?:\[\w+\] )?(.+)",
        "pnnx cannot follow the shapes through the operator {0}: {1}; is the model sound?",
    ),
    (r"Load torchscript failed: (.*?)(?:  \(Could|$)", "is damaged TorchScript: {0}"),
    (r"ort Run failed .*while running (\w+) node.*Status Message: (.+)", "the operator {0} cannot be run: {1}"),
    (r"ort CreateSession failed (.+)", "pnnx cannot read it: {0}"),
    (r"RuntimeError: (.+)", "pnnx cannot run it: {0}"),
)


@dataclass(frozen=True)
class Output:
    """What pnnx made.

    Attributes:
        param, bin: the float ncnn model.
        inputs: those of the original model, in the order of the blobs in0, in1 and so on.
        traced: shapes with fixed lengths that the original works with.
        batch_axes: of each input the axis that the ncnn model does not have; None where it has all.
    """

    param: Path
    bin: Path
    inputs: list[Tensor]
    traced: list[Tensor]
    batch_axes: list[int | None]


class ConversionError(PyncnnqError):
    """pnnx does not convert a model.

    Attributes:
        traced, others: the input shapes that it took from the model before that, and second ones where lengths are not
            fixed.
    """

    def __init__(self, message: str, traced: Sequence[Tensor] = (), others: Sequence[Tensor] = ()) -> None:
        super().__init__(message)
        self.traced, self.others = list(traced), list(others)


def find_pnnx() -> Path:
    """Return where the program is: in the package pnnx, which is not imported, or on the PATH.

    Raises:
        PyncnnqError: it is not installed.
    """
    package = importlib.util.find_spec("pnnx")
    name = "pnnx.exe" if sys.platform == "win32" else "pnnx"
    folders = package.submodule_search_locations or [] if package else []
    found = next((path for path in (Path(folder, name) for folder in folders) if path.is_file()), None)
    on_path = shutil.which("pnnx")
    if found is None and on_path is None:
        raise PyncnnqError(f"pnnx, which reads ONNX and TorchScript, is not installed: {INSTALL}")
    return found or Path(str(on_path))


def run_pnnx(source: Path, folder: Path, shapes: Sequence[Tensor] = (), others: Sequence[Tensor] = ()) -> Output:
    """Convert a model to ncnn, its weights as float32.

    Args:
        source: a file of ONNX or TorchScript; what is in other files (external data) is not read.
        folder: an empty one, for all that pnnx writes.
        shapes: of all inputs; needed where the model does not state them.
        others: other shapes of all inputs: lengths that differ from the first ones are not fixed.

    Raises:
        PyncnnqError: pnnx is not installed.
        ConversionError: it cannot convert this model; the message says why, and not which model.
    """
    program = find_pnnx()
    link = folder / f"model{source.suffix}"
    link.symlink_to(source.resolve())  # pnnx writes beside it
    words = [f"inputshape{number}={write_tensors(row)}" for number, row in (("", shapes), ("2", others)) if row]
    command = [str(program), str(link), "fp16=0", *words]
    try:
        status, printed = _run(command, folder)
    except CannotStartError as error:
        raise PyncnnqError(f"{program}: cannot be started: {error.message}") from error
    except OSError as error:
        raise PyncnnqError(f"{program}: cannot be run: {error.strerror}; {INSTALL}") from error
    printed = _COLOURS.sub("", printed)
    match = _TRACED.search(printed)
    traced, second = (read_tensors(text) for text in match.groups("")) if match else ([], [])
    param, bin_path, original, code = (
        folder / name for name in ("model.ncnn.param", "model.ncnn.bin", "model.pnnx.param", "model_ncnn.py")
    )
    if status != 0 or not (param.is_file() and bin_path.is_file()):
        raise ConversionError(_reason(source, printed, status), traced, second)
    inputs = [tensor for text in _INPUT_LINE.findall(original.read_text()) for tensor in read_tensors(text)]
    axes = {name: int(squeezed or indexed or 0) for name, squeezed, indexed in _BATCH_AXIS.findall(code.read_text())}
    batch_axes = [
        axis if (axis := axes.get(f"in{place}", 0)) < len(tensor.lengths) else None
        for place, tensor in enumerate(inputs)
    ]
    return Output(param, bin_path, inputs, list(shapes) or traced, batch_axes)


def _run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a program in a folder; return its status and what it prints.  It ends with this process."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    ending = partial(end_with_parent, os.getpid())
    with start_process(command, cwd=folder, preexec_fn=ending, **options) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    return process.returncode, printed.decode(errors="replace")


def _reason(source: Path, printed: str, status: int) -> str:
    for pattern, meaning in _REASONS:
        if match := re.search(pattern, printed):
            return meaning.format(*match.groups())
    if zipfile.is_zipfile(source) and not _TRACED.search(printed):
        return "states no input shapes, so it is not from torch.jit.trace, and pnnx cannot convert it; trace the module"
    end = signal.Signals(-status).name if status < 0 else f"status {status}"
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    last = lines[-1] if lines else "nothing"
    return f"pnnx ended with {end} (printed last: {last}); try a simplified model, other shapes or another pnnx"
