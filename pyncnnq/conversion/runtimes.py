"""The original model in its own runtime, in a worker process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.conversion.original import Format
from pyncnnq.runtime.protocol import FailureError

Array = NDArray[Any]
Run = Callable[[list[Array]], list[Array]]
"""From an original's inputs, batch axis included, to its outputs."""

KINDS: dict[str, type[np.generic]] = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i16": np.int16,
    "i8": np.int8, "u8": np.uint8, "bool": np.bool_,
}  # fmt: skip
"""NumPy's types by pnnx's names."""


def load_original(source: Path, form: Format) -> tuple[Run, list[str]]:
    """Load the original model.

    Returns:
        The function that runs it, on one thread, and the names of its outputs; no names where the format has none.

    Raises:
        FailureError: its runtime cannot load it.
    """
    return _onnx(source) if form == "ONNX" else _torch(source)


def _onnx(source: Path) -> tuple[Run, list[str]]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # newer ones report what they run, and leave files behind
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise FailureError(f"{source}: onnxruntime cannot load it: {str(error).splitlines()[0]}") from None
    names = [tensor.name for tensor in session.get_inputs()]

    def run(arrays: list[Array]) -> list[Array]:
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return run, [tensor.name for tensor in session.get_outputs()]


def _torch(source: Path) -> tuple[Run, list[str]]:
    import torch

    torch.set_num_threads(1)
    try:
        module = torch.jit.load(str(source), map_location="cpu").eval()
    except Exception as error:
        raise FailureError(f"{source}: torch cannot load it: {str(error).splitlines()[0]}") from None

    def run(arrays: list[Array]) -> list[Array]:
        with torch.no_grad():
            return [tensor.numpy() for tensor in _tensors(module(*map(torch.from_numpy, arrays)))]

    return run, []


def _tensors(output: Any) -> list[Any]:
    """Return tuples, lists and dictionaries of tensors as one list, in the order in which pnnx numbers them."""
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, tuple | list) else [output]
