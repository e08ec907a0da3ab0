"""ONNX files: read with the weights that are in other files, checked, and in float32."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path, PurePath, PureWindowsPath

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pyncnnq.conversion.kinds_of_file import HEAD, check_kind
from pyncnnq.conversion.onnx_structure import array_of, attribute_tensors, check_structure
from pyncnnq.errors import ModelError
from pyncnnq.files import check_regular, read_file

MOST_BYTES = 2**31 - 1
"""What protobuf holds in one message."""

_FLOATS = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
"""The types of floats that become float32."""

_TYPES_IN_ATTRIBUTES = ("to", "dtype", "output_dtype")


def load_onnx(path: Path) -> onnx.ModelProto:
    """Load an ONNX model, its weights from other files included, and check its structure (see `check_structure`).

    Raises:
        ModelError: the file is missing, damaged or something else, or weights in other files are.
    """
    model = parse_onnx(path)
    _load_elsewhere(path, model)
    check_structure(path, model)
    return model


def parse_onnx(path: Path) -> onnx.ModelProto:
    """Return the message that a file holds; nothing in it is checked.

    Raises:
        ModelError: the file is missing or no such message.
    """
    check_regular(path, ModelError)  # pnnx reads it again
    data = read_file(path, ModelError, most=MOST_BYTES)
    check_kind(path, data[:HEAD])
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's DecodeError, whose class has no typed home
        raise ModelError(f"{path}: is not an ONNX model, or is cut off") from None
    return model


def inputs_of(model: onnx.ModelProto) -> list[tuple[str, list[str | int]]]:
    """Return the name of each input that is no constant, and its axes: their lengths, or the names of those that are
    not fixed, which may be empty."""
    constants = {one.name for one in model.graph.initializer}
    return [
        (
            one.name,
            [axis.dim_value if axis.dim_value > 0 else axis.dim_param for axis in one.type.tensor_type.shape.dim],
        )
        for one in model.graph.input
        if one.name not in constants
    ]


def widen(path: Path, model: onnx.ModelProto) -> list[str]:
    """Make float32 of all floats of a checked model: of 16 bits exactly, of 64 rounded.

    Returns:
        The types that it had besides.
    """
    found: set[int] = set()
    _widen_graph(path, model.graph, found)
    return [name for kind, name in _FLOATS.items() if kind in found]


def _widen_graph(path: Path, graph: onnx.GraphProto, found: set[int]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") == "tensor_type" and tensor.elem_type in _FLOATS:
            found.add(tensor.elem_type)
            tensor.elem_type = TensorProto.FLOAT
    for constant in (*graph.initializer, *attribute_tensors(graph)):
        _widen_tensor(path, constant, found)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _TYPES_IN_ATTRIBUTES and attribute.i in _FLOATS:
                found.add(attribute.i)
                attribute.i = TensorProto.FLOAT
            for inner in (attribute.g,) if attribute.HasField("g") else attribute.graphs:
                _widen_graph(path, inner, found)


def _widen_tensor(path: Path, tensor: onnx.TensorProto, found: set[int]) -> None:
    if tensor.data_type not in _FLOATS:
        return
    found.add(tensor.data_type)
    values = array_of(path, tensor, f"constant {tensor.name!r}")
    if tensor.data_type == TensorProto.DOUBLE:  # a mask may be the lowest of all numbers, and stays one
        largest = np.finfo(np.float32).max
        values = np.where(np.isfinite(values), np.clip(values, -largest, largest), values)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def _load_elsewhere(path: Path, model: onnx.ModelProto) -> None:
    """Read the weights that are in files beside the model's into the model."""
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            data = _read_elsewhere(path, tensor, MOST_BYTES - total)
            total += len(data)
            tensor.ClearField("external_data")
            tensor.data_location = TensorProto.DEFAULT
            tensor.raw_data = data
            array_of(path, tensor, f"constant {tensor.name!r}")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from attribute_tensors(graph)


def _read_elsewhere(path: Path, tensor: onnx.TensorProto, most: int) -> bytes:
    def refuse(problem: str) -> ModelError:
        return ModelError(f"{path}: constant {tensor.name!r}: its weights in other files cannot be read: {problem}")

    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    parts = {*PurePath(location).parts, *PureWindowsPath(location).parts}
    if not location or ".." in parts or PurePath(location).is_absolute() or PureWindowsPath(location).drive:
        raise refuse(f"{location!r} is no name of a file beside the model")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError:
        raise refuse("their place in the file is no number") from None
    file: Path = path.parent / location
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refuse(f"{file} is no file")
        length = status.st_size - offset if length < 0 else length
        if offset < 0 or length < 0 or offset + length > status.st_size:
            raise refuse(f"{file} has {status.st_size:,} bytes; expected {offset + length:,}: is it complete?")
        if length > most:
            raise refuse(f"they are more than the {MOST_BYTES:,} bytes that one file of ONNX holds")
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except (OSError, ValueError) as error:  # ValueError: of a name with a null character
        raise refuse(f"{file}: {getattr(error, 'strerror', None) or error}") from None
