"""ONNX models made for a test, float ones and ones with QuantizeLinear and DequantizeLinear, and their runs in
onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from small_models import run_ncnn, sqnr

from pyncnnq import ImportedQdq, Model, import_qdq

Array = NDArray[np.float32]


class Network:
    """An ONNX graph that grows node by node; every method returns the name of the tensor that it adds."""

    def __init__(self, *shape: int, seed: int = 0, opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def conv(
        self,
        x: str,
        channels: int,
        outputs: int,
        kernel: int = 1,
        *,
        group: int = 1,
        weight: str = "",
        **attributes: Any,
    ) -> str:
        shape = (outputs, channels // group, kernel, kernel)
        if not weight:
            weight = self.constant(self.rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape))
        bias = self.constant(self.rng.normal(0, 0.1, outputs))
        return self.add(
            "Conv", x, weight, bias, group=group, pads=[kernel // 2] * 4, kernel_shape=[kernel, kernel], **attributes
        )

    def pair(self, x: str, step: float, zero_point: int = 0, kind: Any = np.uint8, **attributes: Any) -> str:
        """QuantizeLinear and DequantizeLinear."""
        parameters = self.constant(step), self.constant(zero_point, kind)
        return self.add(
            "DequantizeLinear", self.add("QuantizeLinear", x, *parameters, **attributes), *parameters, **attributes
        )

    def weight(self, integers: Any, steps: Any, zero_points: Any = 0, kind: Any = np.int8, axis: int = 0) -> str:
        """Integers and DequantizeLinear."""
        zero = self.constant(np.broadcast_to(zero_points, np.shape(steps)), kind)
        extra = {"axis": axis} if np.ndim(steps) else {}
        return self.add("DequantizeLinear", self.constant(integers, kind), self.constant(steps), zero, **extra)

    def integers(self, *shape: int, low: int = -127, high: int = 127) -> NDArray[np.int64]:
        """Bell-shaped, between these bounds."""
        return np.clip(np.rint(self.rng.normal((low + high) / 2, (high - low) / 8, shape)), low, high).astype(np.int64)

    def save(self, path: Path, *outputs: str) -> Path:
        graph_outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "test", self.inputs, graph_outputs, constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8), path)
        return path


def residual_network(path: Path) -> Path:
    """As a ResNet with its BatchNorms folded: blocks of two 3x3 convolutions, max pooling, a branch of 1x1, average
    pooling and a Gemm."""
    network = Network(1, 3, 32, 32)
    x = network.add("Relu", network.conv("x", 3, 16, 3))
    x = network.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 16
    for outputs, stride in ((16, 1), (16, 1), (32, 2), (32, 1)):
        y = network.add("Relu", network.conv(x, channels, outputs, 3, strides=[stride] * 2))
        y = network.conv(y, outputs, outputs, 3)
        branch = x if stride == 1 else network.conv(x, channels, outputs, 1, strides=[stride] * 2)
        x, channels = network.add("Relu", network.add("Add", y, branch)), outputs
    x = network.add("Flatten", network.add("GlobalAveragePool", x))
    weight = network.constant(network.rng.normal(0, 0.2, (10, 32)))
    return network.save(path, network.add("Gemm", x, weight, network.constant(np.zeros(10)), transB=1))


class _Samples(CalibrationDataReader):
    def __init__(self, name: str, samples: Sequence[Array]) -> None:
        self._left = iter(samples)
        self._name = name

    def get_next(self) -> dict[str, Array] | None:
        sample = next(self._left, None)
        return None if sample is None else {self._name: sample[None]}


def quantized(source: Path, target: Path, samples: Sequence[Array], **options: Any) -> Path:
    """What onnxruntime's quantize_static makes of a model in the QDQ format."""
    name = onnx.load(source, load_external_data=False).graph.input[0].name
    quantize_static(source, target, _Samples(name, samples), quant_format=QuantFormat.QDQ, **options)
    return target


def run_onnx(path: Path, samples: Sequence[Array]) -> list[Array]:
    """The first output of each sample.  Nothing is optimised: every node is computed in float as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [np.asarray(session.run(None, {name: sample[None]})[0])[0] for sample in samples]


def run_model(model: Model, folder: Path, samples: Sequence[Array]) -> list[Array]:
    """The output out0 of each sample in stock ncnn."""
    model.save(folder / "run.param", folder / "run.bin")
    return [run_ncnn(folder / "run.param", folder / "run.bin", {"in0": sample}, ["out0"])["out0"] for sample in samples]


def joined(outputs: Sequence[Array]) -> Array:
    return np.concatenate([output.ravel() for output in outputs])


@dataclass
class Imported:
    """An imported model beside its QDQ model; outputs of all samples in one row.

    Attributes:
        expected: of the QDQ model in onnxruntime.
        floats, int8: of the float and the int8 model in ncnn.
    """

    result: ImportedQdq
    expected: Array
    floats: Array
    int8: Array

    @classmethod
    def of(cls, path: Path, samples: Sequence[Array]) -> Imported:
        result = import_qdq(path)
        floats, int8 = (joined(run_model(model, path.parent, samples)) for model in (result.model, result.int8))
        return cls(result, joined(run_onnx(path, samples)), floats, int8)

    @property
    def decibels(self) -> float:
        """How near ncnn's int8 is to the QDQ model."""
        return sqnr(self.expected, self.int8)


def smooth_images(count: int, channels: int, size: int, seed: int = 5) -> list[Array]:
    """Of both signs, up to about 3."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 0.8, (count, channels, size // 4, size // 4)).repeat(4, axis=2).repeat(4, axis=3)
    return list((coarse + rng.normal(0, 0.3, (count, channels, size, size))).astype(np.float32))
