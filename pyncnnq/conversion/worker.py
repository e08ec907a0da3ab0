"""What worker processes do to compare a converted model with the original."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.outputs import OutputPair, compare
from pyncnnq.conversion.check import Checking, Original
from pyncnnq.inputs import ArraySpec
from pyncnnq.runtime.network import Network
from pyncnnq.runtime.protocol import FailureError

Array = NDArray[Any]
Run = Callable[[list[Array]], list[Array]]
"""From an original's inputs, batch axis included, to its outputs."""

_KINDS = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i16": np.int16,
    "i8": np.int8, "u8": np.uint8, "bool": np.bool_,
}  # fmt: skip


class Check:
    """Outputs of both models, sample by sample."""

    def __init__(self, job: Checking) -> None:
        self._job = job
        self._network = Network(*job.model)
        self._names: list[str] | None = None
        self._run, self._known_names = (_onnx if job.original.format == "ONNX" else _torch)(job.original)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> tuple[OutputPair, ...]:
        """Both models on one sample; of each output to compare what there is to say."""
        arrays = [self._as_original(place, mat) for place, (_, mat) in enumerate(inputs)]
        try:
            exact = self._run(arrays)
        except Exception as error:  # whatever the runtime raises
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            shapes = "; ".join(",".join(map(str, array.shape)) for array in arrays)
            raise FailureError(f"the original cannot be run on inputs of shape {shapes}: {reason}") from None
        self._names = self._known_names or [""] * len(exact)
        found = self._network.blobs(inputs, [blob for blob, _ in self._job.outputs], packed=False)
        rough = {blob: np.array(mat) for blob, mat in found}
        return tuple(_compare(exact[number], rough[blob]) for blob, number in self._job.outputs)

    def result(self) -> list[str] | None:
        """The names of the original's outputs; None from a worker that ran none."""
        return self._names

    def _as_original(self, place: int, mat: Any) -> Array:
        tensor, axis = self._job.original.inputs[place], self._job.original.batch_axes[place]
        spec = self._job.inputs[place][1]
        values = np.array(mat)
        if isinstance(spec, ArraySpec) and spec.integers:
            values = values.view(np.int32)  # the bits of a Mat of token ids
        if axis is not None and axis <= values.ndim:
            values = np.expand_dims(values, axis)
        return np.ascontiguousarray(values, _KINDS.get(tensor.kind, np.float32))


def _compare(exact: Array, rough: Array) -> OutputPair:
    """As rows of numbers: ncnn has no batch axis, and an axis of one element may be missing on either side."""
    return compare(np.asarray(exact, np.float32).ravel(), rough.ravel())


def _onnx(original: Original) -> tuple[Run, list[str]]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # newer ones report what they run, and leave files behind
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(original.source), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise FailureError(f"{original.source}: onnxruntime cannot load it: {str(error).splitlines()[0]}") from None
    names = [one.name for one in session.get_inputs()]

    def run(arrays: list[Array]) -> list[Array]:
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return run, [one.name for one in session.get_outputs()]


def _torch(original: Original) -> tuple[Run, list[str]]:
    import torch

    torch.set_num_threads(1)
    try:
        module = torch.jit.load(str(original.source), map_location="cpu").eval()
    except Exception as error:
        raise FailureError(f"{original.source}: torch cannot load it: {str(error).splitlines()[0]}") from None

    def run(arrays: list[Array]) -> list[Array]:
        with torch.no_grad():
            return [tensor.numpy() for tensor in _tensors(module(*map(torch.from_numpy, arrays)))]

    return run, []


def _tensors(output: Any) -> list[Any]:
    """Tuples, lists and dictionaries of tensors as one list, in the order in which pnnx numbers them."""
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for one in output for tensor in _tensors(one)] if isinstance(output, tuple | list) else [output]
