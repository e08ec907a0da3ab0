"""Small ONNX models made for a test, and the ONNX Runtime to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
Shape = Sequence[int | str]
Node = onnx.NodeProto


def weights(**shapes: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Random ones, the same each time, about as large as in a trained network."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        fan_in = max(1, int(np.prod(shape[1:])))
        found[name] = rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
    return found


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Node:
    """Inputs and outputs as words; the node goes by the name of its first output."""
    return helper.make_node(kind, inputs.split(), outputs.split(), name=f"node_{outputs.split()[0]}", **attributes)


def write_onnx(
    path: Path,
    nodes: Sequence[Node],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, NDArray[Any]],
    *,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> Path:
    """Inputs and outputs are float32, with the batch axis; a length that is a name is not fixed."""
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    graph = helper.make_graph(list(nodes), path.stem, *values, initializers)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def classifier(
    path: Path, *, height: int | str = 32, width: int | str = 32, batch: int | str = 1, **choices: Any
) -> Path:
    """Two convolutions, global pooling, a fully connected layer: input `image`, output `logits` of 5."""
    nodes = [
        node("Conv", "image w1 b1", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "f"),
        node("Gemm", "f w3", "logits", transB=1),
    ]
    constants = weights(w1=(8, 3, 3, 3), b1=(8,), w2=(12, 8, 3, 3), w3=(5, 12))
    return write_onnx(path, nodes, {"image": (batch, 3, height, width)}, {"logits": (batch, 5)}, constants, **choices)


def two_inputs(path: Path) -> Path:
    """Of the shapes (3, 24, 32) and (2, 24, 32): inputs `image` and `depth`; outputs `late`, and `early`, which is
    computed before it."""
    nodes = [
        node("Conv", "image w1", "a", pads=[1, 1, 1, 1]),
        node("Conv", "depth w2", "b", pads=[1, 1, 1, 1]),
        node("Add", "a b", "c"),
        node("Relu", "c", "early"),
        node("Conv", "early w3", "late"),
    ]
    constants = weights(w1=(8, 3, 3, 3), w2=(8, 2, 3, 3), w3=(5, 8, 1, 1))
    return write_onnx(
        path,
        nodes,
        {"image": (1, 3, 24, 32), "depth": (1, 2, 24, 32)},
        {"late": (1, 5, 24, 32), "early": (1, 8, 24, 32)},
        constants,
    )


def lstm(path: Path, length: int | str = 12) -> Path:
    """A sequence, the batch axis second: input `x` of (length, 1, 10), output `y` of (length, 1, 5)."""
    nodes = [
        node("LSTM", "x w r b", "h", hidden_size=16),
        node("Squeeze", "h one", "s"),
        node("MatMul", "s w2", "y"),
    ]
    constants = weights(w=(1, 64, 10), r=(1, 64, 16), b=(1, 128), w2=(16, 5)) | {"one": np.array([1], np.int64)}
    return write_onnx(path, nodes, {"x": (length, 1, 10)}, {"y": (length, 1, 5)}, constants)


def with_operator(path: Path, kind: str, domain: str = "") -> Path:
    """A convolution and then this operator."""
    nodes = [node("Conv", "image w", "a"), node(kind, "a", "out", domain=domain)]
    domains = [domain] if domain else []
    return write_onnx(path, nodes, {"image": (1, 3, 12, 12)}, {"out": (1, 8)}, weights(w=(8, 3, 3, 3)), domains=domains)


def quantized(path: Path) -> Path:
    """A convolution of an input that is quantized and dequantized, as tools write it that quantize ONNX."""
    nodes = [
        node("QuantizeLinear", "image scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "d"),
        node("Conv", "d w", "out"),
    ]
    constants = weights(w=(8, 3, 3, 3)) | {"scale": np.array(0.02, np.float32), "zero": np.array(3, np.uint8)}
    return write_onnx(path, nodes, {"image": (1, 3, 12, 12)}, {"out": (1, 8, 10, 10)}, constants)


def fixed_inside(path: Path) -> Path:
    """Leaves height and width open, but works with 20x20 pixels, or as many in another shape, alone."""
    nodes = [
        node("Conv", "image w1", "a", pads=[1, 1, 1, 1]),
        node("Flatten", "a", "b"),
        node("Gemm", "b w2", "out", transB=1),
    ]
    constants = weights(w1=(2, 3, 3, 3), w2=(5, 2 * 20 * 20))
    return write_onnx(path, nodes, {"image": (1, 3, "h", "w")}, {"out": (1, 5)}, constants)


def run_onnx(path: Path, **inputs: NDArray[Any]) -> list[Array]:
    """All outputs, without the axes of one element."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [np.squeeze(output) for output in session.run(None, inputs)]
