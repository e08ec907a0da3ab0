"""ONNX files, quantized and not: all that is read of them before pnnx runs.

An input is a file as it stands, or, where it begins with a zero byte, a sound model and changes to its structure: two
bytes for each, the first says which change, the second where.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[2]))

from qdq_models import Network

from pyncnnq.conversion.original import format_of, input_names, prepare_onnx
from pyncnnq.errors import PyncnnqError
from pyncnnq.qdq.reading import read_qdq

_SCRIPT = b"\0"
_NUMBERS = (0, -1, 1, 2, 127, 255, 2**31 - 1, 2**31, 2**62, -(2**63), 2**63 - 1)
_FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-45, 3e38)
_MODES = ("QDQ", "QOperator", "float")


def seeds() -> list[bytes]:
    """Return the models, and changes of each kind to each of them."""
    scripts = [
        _SCRIPT + bytes((model, change, place))
        for model in range(len(_MODES))
        for change in range(len(_CHANGES))
        for place in (0, 7, 77, 201)
    ]
    return [*_models(), *scripts]


def read(data: bytes, folder: Path) -> None:
    """Read a file as `import-qdq` and as `convert` do."""
    path = folder / "model.onnx"
    path.write_bytes(_changed(data) if data.startswith(_SCRIPT) and len(data) > 2 else data)
    for reader in (read_qdq, lambda path: prepare_onnx(path, folder), lambda path: input_names(path, format_of(path))):
        with suppress(PyncnnqError):
            reader(path)


def _changed(data: bytes) -> bytes:
    models = _models()
    model = onnx.ModelProto.FromString(models[data[1] % len(models)])
    changes = data[2:130]
    for change, place in zip(changes[::2], changes[1::2], strict=False):
        with suppress(DecodeError):  # deeper than protobuf copies
            _CHANGES[change % len(_CHANGES)](model, place)
    return model.SerializeToString()


@cache
def _models() -> tuple[bytes, ...]:
    return tuple(_model(mode).SerializeToString() for mode in _MODES)


def _model(mode: str) -> onnx.ModelProto:
    network = Network(1, 2, 4, 4, opset=17)
    step, zero = network.constant(0.1), network.constant(3, np.uint8)
    if mode == "QDQ":
        x = network.pair("x", 0.1, 3)
        weight = network.weight(network.integers(2, 2, 1, 1), np.full(2, 0.01))
        weight = network.add("Transpose", weight, perm=[0, 1, 3, 2])
        codes = network.add("QuantizeLinear", network.conv(x, 2, 2, weight=weight), step, zero)
        codes = network.add("Clip", codes, network.constant(0, np.uint8), network.constant(127, np.uint8))
        codes = network.add("MaxPool", codes, kernel_shape=[2, 2])
        x = network.add("DequantizeLinear", codes, step, zero)
        x = network.add("Pad", x, network.constant([0] * 8, np.int64), network.constant(0.0))
        x = network.pair(network.add("Flatten", network.add("Concat", x, x, axis=1)), 0.1)
        float_weight = network.add("QuantizeLinear", network.constant(np.ones((36, 3))), step, zero)
        float_weight = network.add("DequantizeLinear", float_weight, step, zero)
        clipped = network.add("Clip", network.constant(np.ones(3)), network.constant(-1.0), network.constant(1.0))
        output = network.add("Gemm", x, float_weight, clipped)
    elif mode == "QOperator":
        x = network.add("QuantizeLinear", "x", step, zero)
        weight = [network.constant(network.integers(2, 2, 1, 1), np.int8), network.constant([0.1, 0.2])]
        weight.append(network.constant([0, 0], np.int8))
        y = network.add("QLinearConv", x, step, zero, *weight, step, zero, network.constant([1, 2], np.int32))
        y = network.add("QLinearAdd", x, step, zero, y, step, zero, step, zero)
        y = network.add("QLinearConcat", step, zero, x, step, zero, y, step, zero, axis=1)
        y = network.add("Flatten", network.add("QLinearGlobalAveragePool", y, step, zero, step, zero))
        matrix = [network.constant(network.integers(4, 3), np.int8), step, network.constant(0, np.int8)]
        y = network.add("QGemm", y, step, zero, *matrix, network.constant([1, 2, 3], np.int32), step, zero, alpha=1.0)
        output = network.add("DequantizeLinear", y, step, zero)
    else:
        value = helper.make_tensor("v", TensorProto.DOUBLE, [2], [1.0, 2.0])
        x = network.add("Cast", network.conv("x", 2, 2), to=TensorProto.FLOAT16)
        x = network.add("Add", x, network.add("Cast", network.add("Constant", value=value), to=TensorProto.FLOAT16))
        output = network.add("Relu", x)
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in network.constants.items()]
    results = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    graph = helper.make_graph(network.nodes, "fuzzed", network.inputs, results, constants)
    for node in graph.node:
        if node.op_type.startswith("Q") and node.op_type not in ("QuantizeLinear", "QLinearConv"):
            node.domain = "com.microsoft"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _one(things: Any, place: int) -> Any:
    return things[place % len(things)] if len(things) else None


def _node(change: Callable[[onnx.NodeProto, int, onnx.GraphProto], None]) -> Callable[[onnx.ModelProto, int], None]:
    def changed(model: onnx.ModelProto, place: int) -> None:
        if (node := _one(model.graph.node, place)) is not None:
            change(node, place // len(model.graph.node), model.graph)

    return changed


def _tensor(change: Callable[[onnx.TensorProto, int], None]) -> Callable[[onnx.ModelProto, int], None]:
    def changed(model: onnx.ModelProto, place: int) -> None:
        tensors = list(model.graph.initializer)
        tensors += [one.t for node in model.graph.node for one in node.attribute if one.HasField("t")]
        if (tensor := _one(tensors, place)) is not None:
            change(tensor, place // len(tensors))

    return changed


def _drop(names: Any, place: int) -> None:
    if len(names):
        del names[place % len(names)]


def _rename(names: Any, place: int, others: Any = ("", "x", "nowhere")) -> None:
    if len(names):
        names[place % len(names)] = others[place % len(others)]


def _cross(node: onnx.NodeProto, place: int, graph: onnx.GraphProto) -> None:
    """Let a node read what any other writes: a circle, or another type."""
    _rename(node.input, place, [name for other in graph.node for name in other.output])


def _set_attribute(node: onnx.NodeProto, place: int, _graph: onnx.GraphProto) -> None:
    attribute = _one(node.attribute, place)
    if attribute is not None:
        value = ([0, 9], -7, 2**40, 1.5, b"text", [1.0], "linear", TensorProto(), float("nan"))[place % 9]
        name = attribute.name
        attribute.CopyFrom(helper.make_attribute(name, value))


def _scalars(tensor: onnx.TensorProto, place: int) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        count = len(tensor.raw_data) // 4
        tensor.raw_data = np.full(count, _one(_FLOATS, place), np.float32).tobytes()


def _elsewhere(tensor: onnx.TensorProto, place: int) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    names = ("/dev/zero", "../../../../etc/passwd", "model.onnx", "", "missing", "/etc/passwd", "a\0b", ".")
    tensor.external_data.add(key="location", value=_one(names, place))
    if place % 3:
        tensor.external_data.add(key="length", value=("12", "-5", "many", str(2**62))[place % 4])


def _set_dims(tensor: onnx.TensorProto, place: int) -> None:
    tensor.dims[:] = [*tensor.dims[1:], _one(_NUMBERS, place)]


def _set_type(tensor: onnx.TensorProto, place: int) -> None:
    tensor.data_type = place % 30


def _cut(tensor: onnx.TensorProto, place: int) -> None:
    tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) * place // 3]


def _strings(tensor: onnx.TensorProto, _place: int) -> None:
    count = min(int(np.prod([length for length in tensor.dims if 0 <= length < 1000])), 1000)
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, [count], [b"a"] * count))


def _turn(tensor: onnx.TensorProto, place: int) -> None:
    """Give other dimensions to the same numbers."""
    count = min(int(np.prod([length for length in tensor.dims if 0 <= length < 1000])), 1000)
    tensor.dims[:] = ([count], [1, count], [count, 1, 1], [] if count == 1 else [count], [count, 0])[place % 5]


def _set_input(model: onnx.ModelProto, place: int) -> None:
    kind = model.graph.input[0].type
    if place % 4 == 0:
        kind.ClearField("tensor_type")
    elif place % 4 == 1:
        kind.sequence_type.elem_type.tensor_type.elem_type = 1
    elif place % 4 == 2:
        kind.tensor_type.elem_type = place
    elif (axis := _one(kind.tensor_type.shape.dim, place)) is not None:
        axis.dim_value = _one(_NUMBERS, place)


def _set_opset(model: onnx.ModelProto, place: int) -> None:
    if len(model.opset_import):
        model.opset_import[0].version = (*_NUMBERS, 5, 9, 10, 12, 13, 21, 23)[place % 18]


def _branch(node: onnx.NodeProto, place: int, graph: onnx.GraphProto) -> None:
    """Give a node branches in branches."""
    inner = onnx.GraphProto()
    if place % 2:
        inner.node.extend(onnx.NodeProto(op_type=one.op_type, output=one.output) for one in graph.node)
    for _ in range(9 * place % 40):
        outer = onnx.GraphProto()
        outer.node.add(op_type="If").attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)
        inner = outer
    node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)


def _function(model: onnx.ModelProto, place: int) -> None:
    """Let functions call each other, or themselves, twice each."""
    for number in range(1 + place % 60):
        function = model.functions.add(domain="own", name=f"f{number}")
        function.opset_import.add(domain="own", version=1)
        for _ in range(2):
            function.node.add(op_type=f"f{number - 1 + place % 2}", domain="own")
    model.opset_import.add(domain="own", version=1)
    model.graph.node.add(op_type=f"f{place % 60}", domain="own", output=["own"])


_CHANGES: tuple[Callable[[onnx.ModelProto, int], None], ...] = (
    _node(lambda node, place, _: _drop(node.input, place)),
    _node(lambda node, place, _: _drop(node.output, place)),
    _node(lambda node, place, _: _drop(node.attribute, place)),
    _node(lambda node, place, _: _rename(node.input, place)),
    _node(lambda node, place, _: _rename(node.output, place)),
    _node(lambda node, place, _: node.input.append(_one(node.output, place) or "")),
    _node(_cross),
    _node(_set_attribute),
    _node(lambda node, _, graph: graph.node.append(node)),
    _node(lambda node, _, graph: graph.node.remove(node)),
    _node(lambda node, place, graph: setattr(node, "op_type", graph.node[place % len(graph.node)].op_type)),
    _node(lambda node, place, _: setattr(node, "domain", ("", "ai.onnx", "com.microsoft", "own")[place % 4])),
    _node(lambda node, place, _: node.attribute.add(name="axis", i=place - 3, type=onnx.AttributeProto.INT)),
    _node(_branch),
    _tensor(_scalars),
    _tensor(_elsewhere),
    _tensor(_set_dims),
    _tensor(_set_type),
    _tensor(_cut),
    _tensor(_strings),
    _tensor(_turn),
    _tensor(lambda tensor, place: setattr(tensor, "name", ("", "x", "c0")[place % 3])),
    _tensor(lambda tensor, place: tensor.segment.MergeFrom(TensorProto.Segment(begin=0, end=place))),
    _set_input,
    _set_opset,
    _function,
)
