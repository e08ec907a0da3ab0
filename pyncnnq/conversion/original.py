"""The original model: what kind of file it is, and the runtime that runs it."""

from __future__ import annotations

import importlib.util
import mmap
import zipfile
from pathlib import Path
from typing import Literal

from pyncnnq.errors import InputError, ModelError, PyncnnqError

Format = Literal["ONNX", "TorchScript"]

RUNTIMES: dict[Format, str] = {"ONNX": "onnxruntime", "TorchScript": "torch"}
"""The module that runs models of a format."""

# In protobuf's encoding: a key-value pair whose key is "location", as a tensor has it whose data is in another file.
_ELSEWHERE = b"\x0a\x08location\x12"

_TORCH_SUFFIXES = (".pt", ".pth", ".torchscript", ".pt2")


def format_of(source: Path) -> Format:
    """Return the format of a file by its content, as far as it shows: a file that is no TorchScript is taken for ONNX.

    Raises:
        ModelError: it cannot be read, or is something else of PyTorch's.
    """
    try:
        with source.open("rb") as file:
            if not zipfile.is_zipfile(file):
                names = []
            else:
                with zipfile.ZipFile(file) as archive:
                    names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    if any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names):
        return "TorchScript"
    if names or source.suffix.lower() in _TORCH_SUFFIXES:
        raise ModelError(
            f"{source}: is not TorchScript; weights alone (a state_dict) and pickled or exported modules are none: "
            "write torch.jit.trace(module.eval(), example).save('model.pt')"
        )
    return "ONNX"


def has_runtime(form: Format) -> bool:
    """Whether what runs such models is installed."""
    return importlib.util.find_spec(RUNTIMES[form]) is not None


def input_names(source: Path, form: Format) -> list[str]:
    """Return the names of an ONNX model's inputs; the names in TorchScript mean nothing outside.

    Raises:
        InputError: the package onnx, which reads them, is not installed.
        PyncnnqError: the file is not ONNX.
    """
    if form != "ONNX":
        return []
    try:
        import onnx
    except ImportError:
        problem = "names of ONNX inputs need the package onnx: pip install onnx (in0, in1, ... work without)"
        raise InputError(problem, option="shape") from None
    try:
        graph = onnx.load(str(source), load_external_data=False).graph
    except Exception as error:  # protobuf's, which is no public class
        raise PyncnnqError(f"{source}: is not an ONNX model: {error}") from None
    constants = {initializer.name for initializer in graph.initializer}
    return [tensor.name for tensor in graph.input if tensor.name not in constants]


def in_one_file(source: Path, folder: Path) -> Path:
    """Return an ONNX model with all of its weights: the file itself, or one in `folder` if weights are in other files.

    Raises:
        PyncnnqError: the package onnx, which reads such weights, is not installed, or they are not there.
    """
    with source.open("rb") as file:
        if not file.read(1):
            return source
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_ELSEWHERE) < 0:
                return source
    try:
        import onnx
    except ImportError:
        raise PyncnnqError(
            f"{source}: has weights in other files, which the package onnx reads: pip install onnx"
        ) from None
    whole = folder / f"whole{source.suffix}"
    try:
        onnx.save(onnx.load(str(source)), str(whole))
    except (
        Exception
    ) as error:  # missing files, wrong sizes, more than the 2 GB that protobuf allows: each of another class
        raise PyncnnqError(f"{source}: its weights in other files cannot be read: {error}") from None
    return whole
