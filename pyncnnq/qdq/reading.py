"""From an ONNX model with QuantizeLinear and DequantizeLinear to the float model that it rounds, and what it rounds
where.

Pairs around activations go: what read the rounded tensor reads the tensor itself.  Weights and biases become the
numbers that their integers stand for.  A pair whose zero point is the lowest integer cuts off what is negative;
exporters leave a ReLU or a Clip out where such a pair does its work, so it becomes a Clip unless nothing negative can
come.

Some exporters run layers that only move values on the integers, between the two of a pair; there they move the floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pyncnnq.conversion.onnx_structure import finite, opset
from pyncnnq.errors import ModelError
from pyncnnq.qdq.constants import Constants, attribute, clipped
from pyncnnq.qdq.loading import load_qdq
from pyncnnq.qdq.quantizers import ActivationQuantizer, QdqLayer, QuantizedWeight

_MOVES = """
Concat DepthToSpace Expand Flatten Gather Identity MaxPool Reshape Slice SpaceToDepth Split Squeeze Tile Transpose
Unsqueeze
"""
"""They give values of their first input (Concat: of all) and no others."""
_KEEPS_STEPS = f"{_MOVES} Dropout Pad Relu"
"""What is a multiple of a step before is one after."""
_KEEPS_SIGN = (
    f"{_KEEPS_STEPS} Add AveragePool GlobalAveragePool GlobalMaxPool Mul ReduceMax ReduceMean ReduceSum Resize"
)
"""Of what is not negative they make nothing negative."""
_NEVER_NEGATIVE = "Abs Exp HardSigmoid Relu Sigmoid Softmax Softplus Sqrt"
_READS_ALL = ("Add", "Concat", "Mul")  # the others have parameters behind their first input
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass(frozen=True)
class QdqModel:
    """What an ONNX file with QuantizeLinear and DequantizeLinear says.

    Attributes:
        model: the float model.
        layers: in the model's order.
        notes: a line for each thing that was taken otherwise than it is in the file.
    """

    model: onnx.ModelProto
    layers: list[QdqLayer]
    notes: list[str]


def read_qdq(path: Path) -> QdqModel:
    """Read a quantized ONNX model.

    Raises:
        ModelError: see `load_qdq`; quantization that is not to 8 bits, or not with one step for each
            tensor or channel.
    """
    model, notes = load_qdq(path)
    return _Reader(path, model).read(notes)


@dataclass(frozen=True)
class _Codes:
    """A tensor of integers that is not constant: what QuantizeLinear makes of the tensor of that name."""

    tensor: str
    quantizer: ActivationQuantizer
    zero_point: int


class _Reader:
    """Goes through the nodes of a model in their order.

    Tensors go by their names in the quantized model, but in `_never_negative`, `_ranges` and `_highest` by those in the
    float model.
    """

    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        self._model = model
        self._inputs = {one.name for one in model.graph.input}
        self._constants = Constants(path, model)
        self._codes: dict[str, _Codes] = {}
        self._weights: dict[str, QuantizedWeight] = {}
        self._quantizers: dict[str, ActivationQuantizer] = {}  # of float tensors that are rounded
        self._renamed: dict[str, str] = {}  # what the float model has in their place
        self._never_negative: set[str] = set()
        self._ranges: dict[tuple[str, ActivationQuantizer], str] = {}  # Clips that were put in
        self._highest: dict[str, float] = {}  # and where they end
        self._nodes: list[onnx.NodeProto] = []
        self._layers: list[QdqLayer] = []

    def read(self, notes: list[str]) -> QdqModel:
        for node in self._model.graph.node:
            if node.op_type == "QuantizeLinear":
                self._quantize(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
            elif node.op_type == "Constant":
                self._constants[node.output[0]] = self._constants.value(node)
            elif node.op_type in ("Clip", "Identity", "Transpose") and node.input[0] in self._constants:
                self._fold(node)
            elif any(name in self._codes for name in node.input):
                self._run_on_integers(node)
            else:
                self._keep(node)
        return QdqModel(self._float_model(), self._layers, notes)

    def _quantize(self, node: onnx.NodeProto) -> None:
        name = node.input[0]
        step, zero_point = self._constants.parameters(node)
        kind = zero_point.dtype.name
        if kind not in _INTEGERS:
            raise self._constants.fault(node, f"quantizes to {kind}; ncnn has 8 bits only: quantize to int8 or uint8")
        lowest, highest = _INTEGERS[kind]
        if name in self._constants:
            steps, zero_points = self._constants.along_axis(node, step, zero_point, self._constants[name])
            if not finite(self._constants[name]):
                raise self._constants.fault(node, "has weights that are no finite numbers")
            values = self._constants[name].astype(np.float32)
            with np.errstate(over="ignore"):  # beyond what any integer holds, where all is clipped
                integers = np.rint(np.divide(values, steps, out=np.zeros_like(values), where=steps > 0)) + zero_points
            self._constants[node.output[0]] = np.clip(integers, lowest, highest).astype(zero_point.dtype)
            return
        if step.size != 1:
            raise self._constants.fault(
                node, f"has {step.size} scales for an activation; ncnn has one: quantize activations per tensor"
            )
        if not step.item() > 0:
            raise self._constants.fault(node, f"has the scale {step.item()}; expected a positive number")
        zero = int(zero_point.item())
        quantizer = ActivationQuantizer(float(step.item()), lowest - zero, highest - zero)
        self._codes[node.output[0]] = _Codes(self._renamed.get(name, name), quantizer, zero)

    def _dequantize(self, node: onnx.NodeProto) -> None:
        name, output = node.input[0], node.output[0]
        step, zero_point = self._constants.parameters(node)
        if name in self._constants:
            values = self._constants[name]
            if values.dtype.name not in (*_INTEGERS, "int32"):
                raise self._constants.fault(
                    node, f"has weights of type {values.dtype.name}; ncnn has int8 only: quantize weights to 8 bits"
                )
            steps, zero_points = self._constants.along_axis(node, step, zero_point, values)
            if zero_point.dtype != values.dtype:
                raise self._constants.fault(
                    node, f"has weights of {values.dtype.name}, and zero points of {zero_point.dtype.name}"
                )
            self._weights[output] = QuantizedWeight(values.astype(np.int32) - zero_points, steps)
            with np.errstate(over="ignore"):
                self._constants[output] = self._weights[output].values
            if not finite(self._constants[output]):
                raise self._constants.fault(node, "has scales of which its integers are beyond float32")
        elif name in self._codes:
            codes = self._codes[name]
            if step.size != 1 or (step.item(), int(zero_point.item())) != (codes.quantizer.step, codes.zero_point):
                raise self._constants.fault(
                    node,
                    "has another scale or zero point than the QuantizeLinear before it; such models cannot be imported",
                )
            self._quantizers[output] = codes.quantizer
            self._renamed[output] = self._restore_range(codes)
        else:
            raise self._constants.fault(
                node, f"reads {name!r}, which no QuantizeLinear writes; quantize the model in the QDQ format"
            )

    def _restore_range(self, codes: _Codes) -> str:
        """Return the name of the float tensor that DequantizeLinear gives but for rounding: a new tensor where a ReLU
        has been left out."""
        name, quantizer = codes.tensor, codes.quantizer
        # Of a model's input, such as an image, nothing has been left out.
        if not quantizer.cuts_negatives or name in self._never_negative or name in self._inputs:
            return name
        key = name, quantizer
        if key not in self._ranges:
            self._ranges[key] = f"{name}_range{len(self._ranges)}"
            self._highest[self._ranges[key]] = quantizer.highest * quantizer.step
            self._add(self._clip(name, self._ranges[key], quantizer.highest * quantizer.step))
        return self._ranges[key]

    def _clip(self, name: str, output: str, highest: float) -> onnx.NodeProto:
        """Return a Clip from 0 to `highest`."""
        if opset(self._constants.path, self._model) < 11:
            return helper.make_node("Clip", [name], [output], name=output, min=0.0, max=highest)
        bounds = {f"{output}_min": 0.0, f"{output}_max": highest}
        self._constants |= {bound: np.array(value, np.float32) for bound, value in bounds.items()}
        return helper.make_node("Clip", [name, *bounds], [output], name=output)

    def _fold(self, node: onnx.NodeProto) -> None:
        """Compute one of the nodes that exporters put between a weight, its quantizer and its layer."""
        name, output, axes = node.input[0], node.output[0], attribute(node, "perm", None)
        values = self._constants[name]
        if node.op_type == "Clip":
            if values.dtype.kind not in "iuf":
                raise self._constants.fault(node, f"clips {values.dtype.name}; expected numbers")
            self._constants[output] = clipped(values, *self._constants.bounds(node))
            return
        turns = node.op_type == "Transpose"
        if turns and axes is not None and sorted(axes) != list(range(values.ndim)):
            raise self._constants.fault(node, f"has the axes {axes} of a constant of shape {list(values.shape)}")
        self._constants[output] = values.transpose(axes) if turns else values
        if name in self._weights:
            self._weights[output] = self._weights[name].transposed(axes) if turns else self._weights[name]

    def _run_on_integers(self, node: onnx.NodeProto) -> None:
        """Let a node between QuantizeLinear and DequantizeLinear take the floats instead."""
        data = list(node.input) if node.op_type == "Concat" else [node.input[0]]
        codes = [self._codes.get(name) for name in data]
        first = codes[0]
        if first is not None and node.op_type == "Clip":
            self._codes[node.output[0]] = replace(first, quantizer=self._narrowed(node, first))
            return
        if (
            first is None
            or node.op_type not in _MOVES.split()
            or any(
                one is None or (one.quantizer, one.zero_point) != (first.quantizer, first.zero_point) for one in codes
            )
        ):
            raise self._constants.fault(
                node, "runs on integers; quantize the model in the QDQ format, where all operators run on floats"
            )
        tensors = [self._restore_range(one) for one in codes if one is not None]
        self._add(self._copy(node, [*tensors, *node.input[len(data) :]]))
        for output in node.output:
            self._codes[output] = replace(first, tensor=output)

    def _narrowed(self, node: onnx.NodeProto, codes: _Codes) -> ActivationQuantizer:
        """Return the quantizer after a Clip of integers, as which torch writes ranges such as 7 bits."""
        if any(name and name not in self._constants for name in node.input[1:]):
            raise self._constants.fault(
                node, "clips integers by bounds that are not constants; such models cannot be imported"
            )
        low, high = self._constants.bounds(node)
        old = codes.quantizer
        lowest = old.lowest if low is None else max(old.lowest, low - codes.zero_point)
        highest = old.highest if high is None else min(old.highest, high - codes.zero_point)
        if not lowest < highest:
            raise self._constants.fault(node, f"clips integers to {low} to {high}, which leaves none to choose from")
        return replace(old, lowest=int(lowest), highest=int(highest))

    def _keep(self, node: onnx.NodeProto) -> None:
        """Take over a node on floats, and see what it tells of its outputs."""
        if self._does_nothing(node):
            self._renamed[node.output[0]] = self._renamed.get(node.input[0], node.input[0])
        else:
            self._add(self._copy(node, node.input))
        if node.op_type in _LAYERS:
            self._add_layer(node)
        elif node.op_type in _KEEPS_STEPS.split() and self._constants.pads_with_zeros(node):
            quantizers = {
                self._quantizers.get(name) for name in (node.input if node.op_type == "Concat" else node.input[:1])
            }
            quantizer = quantizers.pop()
            if not quantizers and quantizer is not None:
                self._quantizers |= dict.fromkeys(node.output, quantizer)

    def _does_nothing(self, node: onnx.NodeProto) -> bool:
        """Whether it is a ReLU or a Clip, kept although the pair before it does its work."""
        name = self._renamed.get(node.input[0], "") if node.input else ""
        if node.op_type == "Clip" and name in self._highest:
            low, high = self._constants.bounds(node)
            return low is not None and low <= 0 and high is not None and high >= self._highest[name] * (1 - 1e-6)
        return node.op_type == "Relu" and name in self._highest

    def _add_layer(self, node: onnx.NodeProto) -> None:
        weight = self._weights.get(node.input[1])
        if weight is not None and (weight.integers.ndim < 2 or not weight.integers.size):
            raise self._constants.fault(
                node, f"has weights of shape {list(weight.integers.shape)}; expected outputs and inputs"
            )
        quantizer = self._quantizers.get(node.input[0])
        if weight is None and quantizer is None:
            return
        if weight is not None:
            outputs_last = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))
            if outputs_last:
                weight = weight.transposed()
            elif node.op_type == "ConvTranspose":
                weight = weight.transposed([1, 0, *range(2, weight.integers.ndim)])
            weight = weight.rows()
        self._layers.append(QdqLayer(node.name or node.output[0], node.op_type, weight, quantizer))

    def _copy(self, node: onnx.NodeProto, inputs: Sequence[str]) -> onnx.NodeProto:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(self._renamed.get(name, name) for name in inputs)
        return copy

    def _add(self, node: onnx.NodeProto) -> None:
        self._nodes.append(node)
        data = node.input if node.op_type in _READS_ALL else node.input[:1]
        overshoots = node.op_type == "Resize" and attribute(node, "mode", b"nearest") == b"cubic"
        keeps = node.op_type in _KEEPS_SIGN.split() and not overshoots and self._constants.pads_with_zeros(node)
        keeps = keeps and all(map(self._is_never_negative, data))
        lowest = self._constants.bounds(node)[0] if node.op_type == "Clip" else None
        if keeps or node.op_type in _NEVER_NEGATIVE.split() or (lowest is not None and lowest >= 0):
            self._never_negative.update(node.output)

    def _is_never_negative(self, name: str) -> bool:
        if name in self._never_negative:
            return True
        values = self._constants.get(name)
        return values is not None and values.dtype.kind in "iuf" and bool((values >= 0).all())

    def _float_model(self) -> onnx.ModelProto:
        """Return the nodes that the outputs need, and their constants."""
        graph = self._model.graph
        nodes = list(self._nodes)
        made = {name for node in nodes for name in node.output}
        for output in graph.output:
            if output.name in self._codes:
                raise ModelError(
                    f"{self._constants.path}: output {output.name!r} is of integers; let a DequantizeLinear follow it"
                )
            if output.name not in made and output.name in self._renamed:
                nodes.append(
                    helper.make_node("Identity", [self._renamed[output.name]], [output.name], name=output.name)
                )
        needed = {output.name for output in graph.output}
        kept = []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items() if name in needed]
        inputs = [one for one in graph.input if one.name not in self._constants]
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.CopyFrom(helper.make_graph(kept[::-1], "graph", inputs, graph.output, constants))
        return model
