"""From the QOperator format to QDQ: each operator on integers becomes DequantizeLinear, the operator on floats that it
stands for, and QuantizeLinear, with the scales and zero points that are among its inputs.

The operators are ONNX's QLinearConv and QLinearMatMul and those of ONNX Runtime's domain com.microsoft.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pyncnnq.conversion.onnx_structure import fault, opset
from pyncnnq.conversion.original import is_qoperator
from pyncnnq.qdq.constants import Constants, attribute


@dataclass(frozen=True)
class _Form:
    """Where an operator on integers has what.

    Attributes:
        floats: the operator on floats.
        data: the places of the tensors, each followed by its scale and its zero point.
        output: the place of the output's scale, which its zero point follows.
        bias: the place of integers of the step that is the product of the steps of the first two tensors; 0 for none.
        others: places of inputs that are handed on as they are, before all tensors.
    """

    floats: str
    data: tuple[int, ...]
    output: int
    bias: int = 0
    others: tuple[int, ...] = ()


_FORMS = {
    "QLinearConv": _Form("Conv", (0, 3), 6, bias=8),
    "QLinearMatMul": _Form("MatMul", (0, 3), 6),
    "QGemm": _Form("Gemm", (0, 3), 7, bias=6),
    "QLinearAdd": _Form("Add", (0, 3), 6),
    "QLinearMul": _Form("Mul", (0, 3), 6),
    "QLinearGlobalAveragePool": _Form("GlobalAveragePool", (0,), 3),
    "QLinearAveragePool": _Form("AveragePool", (0,), 3),
    "QLinearLeakyRelu": _Form("LeakyRelu", (0,), 3),
    "QLinearSigmoid": _Form("Sigmoid", (0,), 3),
    "QLinearSoftmax": _Form("Softmax", (0,), 3),
    "QLinearWhere": _Form("Where", (1, 4), 7, others=(0,)),
}
_CONCAT = "QLinearConcat"  # the output's scale comes first, then as many tensors as there are
_OWN = ("channels_last", "opset")
"""Attributes that the operators on floats do not have."""
_TYPES = dict.fromkeys((*_OWN, "transA", "transB"), onnx.AttributeProto.INT) | {"alpha": onnx.AttributeProto.FLOAT}


def to_qdq(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in the QDQ format that computes what a checked model does; the model itself, where it has no
    operators on integers.

    Raises:
        ModelError: an operator that is not known, or inputs that are missing or computed while running.
    """
    if not any(is_qoperator(node.op_type) for node in model.graph.node):
        return model
    return _Rewriter(path, model).rewritten()


class _Rewriter:
    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        self._path = path
        self._model = model
        self._opset = opset(path, model)
        self._constants = Constants(path, model)
        for node in model.graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = self._constants.value(node)
        self._names = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._names |= {one.name for one in (*model.graph.initializer, *model.graph.input)}
        self._nodes: list[onnx.NodeProto] = []
        self._added: list[onnx.TensorProto] = []

    def rewritten(self) -> onnx.ModelProto:
        for node in self._model.graph.node:
            if is_qoperator(node.op_type):
                self._rewrite(node)
            else:
                self._nodes.append(node)
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        del result.graph.node[:]
        result.graph.node.extend(self._nodes)
        result.graph.initializer.extend(self._added)
        return result

    def _rewrite(self, node: onnx.NodeProto) -> None:
        form = _FORMS.get(node.op_type)
        if node.op_type == _CONCAT:
            form = _Form("Concat", tuple(range(2, len(node.input), 3)), 0)
        if form is None:
            raise fault(
                self._path, node, "computes on integers what is not known here; leave it in float when quantizing"
            )
        self._check(node, form)
        inputs = [node.input[place] for place in form.others]
        inputs += [self._dequantized(node, place, self._axis(node, form, place)) for place in form.data]
        if form.bias and len(node.input) > form.bias and node.input[form.bias]:
            inputs.append(self._bias(node, form))
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute if one.name not in _OWN}
        if len(node.input) <= form.output or not node.input[form.output]:  # a QGemm that gives floats
            self._add(form.floats, inputs, node.output[0], node.name, **attributes)
            return
        floats = self._name(f"{node.output[0]}_float")
        self._add(form.floats, inputs, floats, node.name, **attributes)
        parameters = [name for name in node.input[form.output : form.output + 2] if name]
        self._add("QuantizeLinear", [floats, *parameters], node.output[0])

    def _check(self, node: onnx.NodeProto, form: _Form) -> None:
        """Refuse a node without inputs that it needs, or with attributes that the operator on floats has not."""
        places = [*form.others, *(place + more for place in form.data for more in (0, 1))]
        places += [form.output] if node.op_type != "QGemm" else []
        missing = [place for place in places if len(node.input) <= place or not node.input[place]]
        if missing or not form.data or len(node.output) != 1:
            raise fault(self._path, node, f"has {len(node.input)} inputs, and none at place {(missing or [2])[0]}")
        for one in node.attribute:
            if one.name in _TYPES and one.type != _TYPES[one.name]:
                raise fault(self._path, node, f"attribute {one.name!r}: is of another type than the operator's")
        if attribute(node, "channels_last", 0):
            raise fault(self._path, node, "has the channels last; ncnn has them first: quantize such a model")
        if form.floats == "Softmax" and (attribute(node, "opset", self._opset) < 13) != (self._opset < 13):
            raise fault(self._path, node, "is the Softmax of another opset than the model's; convert the model first")

    def _axis(self, node: onnx.NodeProto, form: _Form, place: int) -> int:
        """Return the axis along which a tensor may have several scales."""
        if form.floats == "Conv":
            return 0
        if form.floats == "Gemm" and place:
            return 0 if attribute(node, "transB", 0) else 1
        values = self._constants.get(node.input[place])
        return 1 if values is None else max(values.ndim - 1, 0)

    def _dequantized(self, node: onnx.NodeProto, place: int, axis: int) -> str:
        """Return the name of the floats that an input stands for."""
        output = self._name(f"{node.output[0]}_in{place}")
        parameters = [name for name in node.input[place + 1 : place + 3] if name]
        step = self._constants.get(parameters[0])
        along: dict[str, Any] = {"axis": axis} if step is not None and step.size > 1 else {}
        self._add("DequantizeLinear", [node.input[place], *parameters], output, **along)
        return output

    def _bias(self, node: onnx.NodeProto, form: _Form) -> str:
        """Return the name of a bias in floats."""
        first, second = (self._steps(node, place + 1) for place in form.data)
        bias = self._constants.get(node.input[form.bias])
        if bias is None or bias.dtype.kind not in "iu":
            raise fault(self._path, node, "has a bias that is no constant of integers")
        steps = first * second * attribute(node, "alpha", 1.0)
        if first.size != 1 or steps.size not in (1, bias.shape[-1] if bias.ndim else 1):
            raise fault(self._path, node, f"has {bias.size} biases, and {steps.size} scales")
        with np.errstate(over="ignore"):
            values = (bias * steps).astype(np.float32)
        if not np.isfinite(values).all():
            raise fault(self._path, node, "has scales of which its biases are beyond float32")
        name = self._name(f"{node.output[0]}_bias")
        self._added.append(numpy_helper.from_array(values, name))
        return name

    def _steps(self, node: onnx.NodeProto, place: int) -> NDArray[np.float64]:
        steps = self._constants.get(node.input[place])
        if steps is None or steps.dtype.kind != "f" or not steps.size or steps.ndim > 1:
            raise fault(self._path, node, "computes its scales while running; quantize the model statically")
        return steps.astype(np.float64).ravel()

    def _add(self, kind: str, inputs: Iterable[str], output: str, name: str = "", **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))

    def _name(self, wanted: str) -> str:
        name, number = wanted, 0
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name
