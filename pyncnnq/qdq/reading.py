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
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, inliner, numpy_helper

from pyncnnq.errors import ModelError
from pyncnnq.qdq.quantizers import ActivationQuantizer, Floats, QdqLayer, QuantizedWeight

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
_DYNAMIC = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass(frozen=True)
class QdqModel:
    """What an ONNX file with QuantizeLinear and DequantizeLinear says.

    Attributes:
        model: the float model.
        layers: in the model's order.
    """

    model: onnx.ModelProto
    layers: list[QdqLayer]


def read_qdq(path: Path) -> QdqModel:
    """Read a quantized ONNX model.

    Raises:
        ModelError: a file that is missing or no ONNX model, or one without QuantizeLinear and DequantizeLinear;
            quantization that is not static, or not to 8 bits with one step for each tensor or channel.
    """
    model = _load(path)
    operators = {node.op_type for node in model.graph.node}
    if dynamic := sorted(operators.intersection(_DYNAMIC)):
        raise ModelError(
            f"{path}: is quantized dynamically ({', '.join(dynamic)}): it has no scales of activations; "
            "quantize it statically, "
            "such as with onnxruntime's quantize_static"
        )
    if integer := sorted(one for one in operators if one.startswith("QLinear") or one in ("QGemm", "QAttention")):
        raise ModelError(
            f"{path}: is in the QOperator format ({', '.join(integer)}); quantize it in the QDQ format "
            "(QuantFormat.QDQ)"
        )
    if not operators.intersection(("QuantizeLinear", "DequantizeLinear")):
        raise ModelError(
            f"{path}: has no QuantizeLinear and no DequantizeLinear: it is not quantized; give a QDQ model"
        )
    for node in model.graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ModelError(
                f"{path}: {_title(node)}: models with branches or loops cannot be imported; simplify the model first"
            )
    return _Reader(path, model).read()


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror or error}") from error
    except Exception as error:  # onnx lets those of protobuf through, which are of no common type
        raise ModelError(
            f"{path}: is not an ONNX model: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    if not model.graph.node:
        raise ModelError(f"{path}: is not an ONNX model: it has no nodes")
    return inliner.inline_local_functions(model) if model.functions else model


def _title(node: onnx.NodeProto) -> str:
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


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
        self._path = path
        self._model = model
        self._inputs = {one.name for one in model.graph.input}
        self._constants = {
            one.name: numpy_helper.to_array(one, base_dir=str(path.parent)) for one in model.graph.initializer
        }
        self._codes: dict[str, _Codes] = {}
        self._weights: dict[str, QuantizedWeight] = {}
        self._quantizers: dict[str, ActivationQuantizer] = {}  # of float tensors that are rounded
        self._renamed: dict[str, str] = {}  # what the float model has in their place
        self._never_negative: set[str] = set()
        self._ranges: dict[tuple[str, ActivationQuantizer], str] = {}  # Clips that were put in
        self._highest: dict[str, float] = {}  # and where they end
        self._nodes: list[onnx.NodeProto] = []
        self._layers: list[QdqLayer] = []

    def read(self) -> QdqModel:
        for node in self._model.graph.node:
            if node.op_type == "QuantizeLinear":
                self._quantize(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
            elif node.op_type == "Constant":
                self._constants[node.output[0]] = self._value(node)
            elif node.op_type in ("Clip", "Identity", "Transpose") and node.input[0] in self._constants:
                self._fold(node)
            elif any(name in self._codes for name in node.input):
                self._run_on_integers(node)
            else:
                self._keep(node)
        return QdqModel(self._float_model(), self._layers)

    def _quantize(self, node: onnx.NodeProto) -> None:
        name = node.input[0]
        step, zero_point = self._parameters(node)
        kind = zero_point.dtype.name
        if kind not in _INTEGERS:
            raise self._error(node, f"quantizes to {kind}; ncnn has 8 bits only: quantize to int8 or uint8")
        lowest, highest = _INTEGERS[kind]
        if name in self._constants:
            steps, zero_points = self._along_axis(node, step, zero_point, self._constants[name])
            values = self._constants[name].astype(np.float32)
            integers = np.rint(np.divide(values, steps, out=np.zeros_like(values), where=steps > 0)) + zero_points
            self._constants[node.output[0]] = np.clip(integers, lowest, highest).astype(zero_point.dtype)
            return
        if step.size != 1:
            raise self._error(
                node, f"has {step.size} scales for an activation; ncnn has one: quantize activations per tensor"
            )
        if not step.item() > 0:
            raise self._error(node, f"has the scale {step.item()}; expected a positive number")
        zero = int(zero_point.item())
        quantizer = ActivationQuantizer(float(step.item()), lowest - zero, highest - zero)
        self._codes[node.output[0]] = _Codes(self._renamed.get(name, name), quantizer, zero)

    def _dequantize(self, node: onnx.NodeProto) -> None:
        name, output = node.input[0], node.output[0]
        step, zero_point = self._parameters(node)
        if name in self._constants:
            values = self._constants[name]
            if values.dtype.name not in (*_INTEGERS, "int32"):
                raise self._error(
                    node, f"has weights of type {values.dtype.name}; ncnn has int8 only: quantize weights to 8 bits"
                )
            steps, zero_points = self._along_axis(node, step, zero_point, values)
            self._weights[output] = QuantizedWeight(values.astype(np.int32) - zero_points, steps)
            self._constants[output] = self._weights[output].values
        elif name in self._codes:
            codes = self._codes[name]
            if step.size != 1 or (step.item(), int(zero_point.item())) != (codes.quantizer.step, codes.zero_point):
                raise self._error(
                    node,
                    "has another scale or zero point than the QuantizeLinear before it; such models cannot be imported",
                )
            self._quantizers[output] = codes.quantizer
            self._renamed[output] = self._restore_range(codes)
        else:
            raise self._error(
                node, f"reads {name!r}, which no QuantizeLinear writes; quantize the model in the QDQ format"
            )

    def _restore_range(self, codes: _Codes) -> str:
        """The name of the float tensor that DequantizeLinear gives, were it not for rounding: a new one where a ReLU
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
        """A Clip from 0."""
        opset = next(one.version for one in self._model.opset_import if one.domain in ("", "ai.onnx"))
        if opset < 11:
            return helper.make_node("Clip", [name], [output], name=output, min=0.0, max=highest)
        bounds = {f"{output}_min": 0.0, f"{output}_max": highest}
        self._constants |= {bound: np.array(value, np.float32) for bound, value in bounds.items()}
        return helper.make_node("Clip", [name, *bounds], [output], name=output)

    def _fold(self, node: onnx.NodeProto) -> None:
        """Compute one of the nodes that exporters put between a weight, its quantizer and its layer."""
        name, output, axes = node.input[0], node.output[0], _attribute(node, "perm", None)
        values = self._constants[name]
        if node.op_type == "Clip":
            low, high = self._bounds(node)
            values = np.maximum(values, values.dtype.type(low)) if low is not None else values
            self._constants[output] = np.minimum(values, values.dtype.type(high)) if high is not None else values
            return
        turns = node.op_type == "Transpose"
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
            raise self._error(
                node, "runs on integers; quantize the model in the QDQ format, where all operators run on floats"
            )
        tensors = [self._restore_range(one) for one in codes if one is not None]
        self._add(self._copy(node, [*tensors, *node.input[len(data) :]]))
        for output in node.output:
            self._codes[output] = replace(first, tensor=output)

    def _narrowed(self, node: onnx.NodeProto, codes: _Codes) -> ActivationQuantizer:
        """That of a Clip of integers, as which torch writes ranges such as 7 bits."""
        if any(name and name not in self._constants for name in node.input[1:]):
            raise self._error(node, "clips integers by bounds that are not constants; such models cannot be imported")
        low, high = self._bounds(node)
        old = codes.quantizer
        lowest = old.lowest if low is None else max(old.lowest, int(low) - codes.zero_point)
        highest = old.highest if high is None else min(old.highest, int(high) - codes.zero_point)
        return replace(old, lowest=lowest, highest=highest)

    def _keep(self, node: onnx.NodeProto) -> None:
        """Take over a node on floats, and see what it tells of its outputs."""
        if self._does_nothing(node):
            self._renamed[node.output[0]] = self._renamed.get(node.input[0], node.input[0])
        else:
            self._add(self._copy(node, node.input))
        if node.op_type in _LAYERS:
            self._add_layer(node)
        elif node.op_type in _KEEPS_STEPS.split() and self._pads_with_zeros(node):
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
            low, high = self._bounds(node)
            return low is not None and low <= 0 and high is not None and high >= self._highest[name] * (1 - 1e-6)
        return node.op_type == "Relu" and name in self._highest

    def _bounds(self, node: onnx.NodeProto) -> tuple[float | None, float | None]:
        """Of a Clip; None for one that is not there or not constant."""
        found = []
        for place, name in ((1, "min"), (2, "max")):
            bound = self._constants.get(node.input[place]) if len(node.input) > place else _attribute(node, name, None)
            found.append(None if bound is None else float(bound))
        return found[0], found[1]

    def _add_layer(self, node: onnx.NodeProto) -> None:
        weight = self._weights.get(node.input[1])
        quantizer = self._quantizers.get(node.input[0])
        if weight is None and quantizer is None:
            return
        if weight is not None:
            outputs_last = node.op_type == "MatMul" or (node.op_type == "Gemm" and not _attribute(node, "transB", 0))
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
        overshoots = node.op_type == "Resize" and _attribute(node, "mode", b"nearest") == b"cubic"
        keeps = node.op_type in _KEEPS_SIGN.split() and not overshoots and self._pads_with_zeros(node)
        keeps = keeps and all(map(self._is_never_negative, data))
        lowest = self._bounds(node)[0] if node.op_type == "Clip" else None
        if keeps or node.op_type in _NEVER_NEGATIVE.split() or (lowest is not None and lowest >= 0):
            self._never_negative.update(node.output)

    def _is_never_negative(self, name: str) -> bool:
        return name in self._never_negative or (name in self._constants and bool((self._constants[name] >= 0).all()))

    def _pads_with_zeros(self, node: onnx.NodeProto) -> bool:
        """Whether a Pad adds zeros, or what is there already; any other node adds nothing."""
        if node.op_type != "Pad" or _attribute(node, "mode", b"constant") != b"constant":
            return True
        value = (
            self._constants.get(node.input[2])
            if len(node.input) > 2 and node.input[2]
            else _attribute(node, "value", 0.0)
        )
        return value is not None and not np.any(value)

    def _parameters(self, node: onnx.NodeProto) -> tuple[Floats, NDArray[Any]]:
        """Scale and zero point, of the same shape."""
        if _attribute(node, "block_size", 0):
            raise self._error(
                node, "is quantized in blocks; ncnn has one scale for each tensor or channel: quantize per channel"
            )
        given = [self._constants.get(name) for name in node.input[1:3] if name]
        step = given[0] if given else None
        if step is None or (len(given) > 1 and given[1] is None):
            raise self._error(node, "computes its scale or zero point while running; quantize the model statically")
        if step.ndim > 1 or not np.isfinite(step).all() or (step < 0).any():
            raise self._error(
                node, "has scales that are no list of positive numbers; quantize per tensor or per channel"
            )
        zero_point = given[1] if len(given) > 1 else None
        if zero_point is None:
            zero_point = np.zeros(step.shape, self._default_type(node))
        return step.astype(np.float32), zero_point

    def _default_type(self, node: onnx.NodeProto) -> np.dtype[Any]:
        """That of a zero point which is not given."""
        kind = _attribute(node, "output_dtype", 0)
        if node.op_type == "QuantizeLinear":
            return np.dtype(helper.tensor_dtype_to_np_dtype(kind)) if kind else np.dtype(np.uint8)
        values = self._constants.get(node.input[0])
        return np.dtype(np.int8) if values is None else values.dtype

    def _along_axis(
        self, node: onnx.NodeProto, step: Floats, zero_point: NDArray[Any], values: NDArray[Any]
    ) -> tuple[Floats, NDArray[np.int32]]:
        """Scales and zero points with as many axes as the values."""
        shape = [1] * values.ndim
        if step.size > 1:
            axis = _attribute(node, "axis", 1)
            if not -values.ndim <= axis < values.ndim or step.size != values.shape[axis]:
                raise self._error(
                    node, f"has {step.size} scales along axis {axis} of weights of shape {list(values.shape)}"
                )
            shape[axis] = step.size
        return step.reshape(shape), zero_point.astype(np.int32).reshape(shape)

    def _value(self, node: onnx.NodeProto) -> NDArray[Any]:
        """Of a Constant."""
        (attribute,) = node.attribute
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value, base_dir=str(self._path.parent))
        if attribute.name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        raise self._error(node, f"holds {attribute.name}, which cannot be imported")

    def _float_model(self) -> onnx.ModelProto:
        """The nodes that the outputs need, and the constants that these need."""
        graph = self._model.graph
        nodes = list(self._nodes)
        made = {name for node in nodes for name in node.output}
        for output in graph.output:
            if output.name in self._codes:
                raise ModelError(
                    f"{self._path}: output {output.name!r} is of integers; let a DequantizeLinear follow it"
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
        model.graph.CopyFrom(helper.make_graph(kept[::-1], graph.name or "graph", inputs, graph.output, constants))
        return model

    def _error(self, node: onnx.NodeProto, problem: str) -> ModelError:
        return ModelError(f"{self._path}: {_title(node)}: {problem}")
