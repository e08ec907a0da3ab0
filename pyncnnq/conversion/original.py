"""The original model: what kind of file it is, and the runtime that runs it."""

from __future__ import annotations

import importlib.util
import mmap
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pyncnnq.conversion.kinds_of_file import HEAD, check_kind
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.files import check_regular

Format = Literal["ONNX", "TorchScript"]

RUNTIMES: dict[Format, str] = {"ONNX": "onnxruntime", "TorchScript": "torch"}
"""The module that runs models of a format."""

# In protobuf's encoding: a key-value pair whose key is "location", as a tensor has it whose data is in another file.
_ELSEWHERE = b"\x0a\x08location\x12"

DYNAMIC = frozenset((
    "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    "DynamicQuantizeLSTM",
))  # fmt: skip
"""Operators of models whose activations are quantized by what each sample is."""

_TORCH_SUFFIXES = (".pt", ".pth", ".torchscript", ".pt2")


def format_of(source: Path) -> Format:
    """Return the format of a file by its content, as far as it shows: a file that is no TorchScript is taken for ONNX.

    Raises:
        ModelError: it cannot be read, or is something else.
    """
    check_regular(source, ModelError)
    try:
        with source.open("rb") as file:
            head = file.read(HEAD)
            if not zipfile.is_zipfile(file):
                names = []
            else:
                with zipfile.ZipFile(file) as archive:
                    names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    if any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names):
        return "TorchScript"
    of_torch = source.suffix.lower() in _TORCH_SUFFIXES
    if not names:
        check_kind(source, head, "TorchScript" if of_torch else "an ONNX model")
    if of_torch or any(name.endswith((".pkl", "/version")) for name in names):
        raise ModelError(
            f"{source}: is not TorchScript; weights alone (a state_dict) and pickled or exported modules are none: "
            "write torch.jit.trace(module.eval(), example).save('model.pt')"
        )
    check_kind(source, head)
    return "ONNX"


def has_onnx() -> bool:
    """Whether the package onnx, which reads and checks ONNX files, is installed."""
    return importlib.util.find_spec("onnx") is not None


def has_runtime(form: Format) -> bool:
    """Whether what runs such models is installed."""
    return importlib.util.find_spec(RUNTIMES[form]) is not None


def input_names(source: Path, form: Format) -> list[str]:
    """Return the names of an ONNX model's inputs; the names in TorchScript mean nothing outside.

    Raises:
        InputError: the package onnx, which reads them, is not installed.
        ModelError: the file is not ONNX.
    """
    if form != "ONNX":
        return []
    if not has_onnx():
        problem = "names of ONNX inputs need the package onnx: pip install onnx (in0, in1, ... work without)"
        raise InputError(problem, option="shape")
    from pyncnnq.conversion.onnx_file import inputs_of, parse_onnx

    return [name for name, _ in inputs_of(parse_onnx(source))]


def prepare_onnx(source: Path, folder: Path) -> tuple[Path, list[str]]:
    """Return an ONNX model as pnnx takes it, with all of its weights, as float32: the file itself, or one in `folder`;
    and a line for each thing that is not as in the file.

    Without the package onnx the file is taken as it is, if its weights are in it.

    Raises:
        ModelError: it is damaged, or quantized in a way that only `import_qdq` takes, or none.
        PyncnnqError: weights are in other files, and the package onnx, which reads them, is not installed.
    """
    if not has_onnx():
        if _has_other_files(source):
            raise PyncnnqError(f"{source}: has weights in other files, which the package onnx reads: pip install onnx")
        return source, []
    from pyncnnq.conversion.onnx_file import MOST_BYTES, load_onnx, widen

    model = load_onnx(source)
    _refuse_integers(source, {node.op_type for node in model.graph.node})
    wide = widen(source, model)
    notes = widening_notes(source, wide)
    if not wide and not _has_other_files(source):
        return source, notes
    if model.ByteSize() > MOST_BYTES:
        raise ModelError(f"{source}: has more than the {MOST_BYTES:,} bytes of weights that one file of ONNX holds")
    whole = folder / source.name
    whole.write_bytes(model.SerializeToString())
    return whole, notes


def widening_notes(source: Path, types: Sequence[str]) -> list[str]:
    """Return what is said of a model whose floats of these types became float32; nothing if there were none."""
    if not types:
        return []
    return [f"{source}: its {' and '.join(types)} numbers are taken as float32; the file stays as it is"]


def _has_other_files(source: Path) -> bool:
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_ELSEWHERE) >= 0


def is_qoperator(operator: str) -> bool:
    """Whether an operator of ONNX, or of ONNX Runtime's own, computes with scales on integers."""
    return operator.startswith("QLinear") or operator in ("QGemm", "QAttention")


def _refuse_integers(source: Path, operators: set[str]) -> None:
    if dynamic := sorted(operators & DYNAMIC):
        raise ModelError(f"{source}: {dynamic_problem(dynamic)}")
    if integer := sorted(filter(is_qoperator, operators)):
        raise ModelError(f"{source}: {quantized_problem('QOperator: ' + ', '.join(integer))}")


def dynamic_problem(operators: Sequence[str]) -> str:
    """Return what is said of a model with such operators."""
    return (
        f"is quantized dynamically ({', '.join(operators)}): it has no scales of activations; give the float model "
        "that it was made from, or one that is quantized statically"
    )


def quantized_problem(how: str) -> str:
    """Return what is said of a quantized model that is to be converted."""
    return (
        f"is quantized already ({how}); pyncnnq.import_qdq (pyncnnq import-qdq) takes over its scales, or give the "
        "float model that it was made from"
    )
