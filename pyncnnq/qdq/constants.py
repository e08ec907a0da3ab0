"""Constants of a quantized ONNX model, and what a node says with them and with its attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pyncnnq.conversion.onnx_structure import array_of, fault, title
from pyncnnq.errors import ModelError
from pyncnnq.qdq.quantizers import Floats

_LARGEST_STEP = float(np.finfo(np.float32).max) / 256
"""Of larger ones, 256 are infinite."""


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of an attribute of a node, or the default where the node does not give it."""
    return next((helper.get_attribute_value(given) for given in node.attribute if given.name == name), default)


def clipped(values: NDArray[Any], low: float | None, high: float | None) -> NDArray[Any]:
    """Return values between two bounds, of which either may be missing or beyond their type."""
    if values.dtype.kind in "iu":
        type_bounds = np.iinfo(values.dtype)
        low, high = (None if one is None else min(max(one, type_bounds.min), type_bounds.max) for one in (low, high))
    values = values if low is None else np.maximum(values, np.array(low).astype(values.dtype))
    return values if high is None else np.minimum(values, np.array(high).astype(values.dtype))


class Constants(dict[str, NDArray[Any]]):
    """The constant tensors of a model, by name.

    Attributes:
        path: the ONNX file, for messages.
    """

    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        super().__init__({one.name: array_of(path, one, f"constant {one.name!r}") for one in model.graph.initializer})
        self.path = path

    def bounds(self, node: onnx.NodeProto) -> tuple[float | None, float | None]:
        """Return the smallest and the largest value that a Clip lets through; None for a bound that is missing or not
        constant.

        Raises:
            ModelError: a bound is no number.
        """
        found: list[float | None] = []
        for place, name in ((1, "min"), (2, "max")):
            bound = self.get(node.input[place]) if len(node.input) > place else attribute(node, name, None)
            if bound is None:
                found.append(None)
                continue
            number = np.asarray(bound)
            if number.size != 1 or number.dtype.kind not in "iuf" or np.isnan(number).any():
                raise self.fault(node, f"has a {name} that is no number")
            found.append(float(number.item()))
        return found[0], found[1]

    def pads_with_zeros(self, node: onnx.NodeProto) -> bool:
        """Whether a Pad adds zeros, or what is there already; any other node adds nothing."""
        if node.op_type != "Pad" or attribute(node, "mode", b"constant") != b"constant":
            return True
        value = self.get(node.input[2]) if len(node.input) > 2 and node.input[2] else attribute(node, "value", 0.0)
        return value is not None and not np.any(value)

    def parameters(self, node: onnx.NodeProto) -> tuple[Floats, NDArray[Any]]:
        """Return the scale and the zero point of a QuantizeLinear or DequantizeLinear, of the same shape.

        Raises:
            ModelError: they are computed at run time, of blocks, or no positive numbers.
        """
        if attribute(node, "block_size", 0):
            raise self.fault(
                node, "is quantized in blocks; ncnn has one scale for each tensor or channel: quantize per channel"
            )
        given = [self.get(name) for name in node.input[1:3] if name]
        step = given[0] if given else None
        if step is None or (len(given) > 1 and given[1] is None):
            raise self.fault(node, "computes its scale or zero point while running; quantize the model statically")
        if step.ndim > 1 or not step.size or step.dtype.kind != "f" or not np.isfinite(step).all() or (step < 0).any():
            raise self.fault(
                node, "has scales that are no list of positive numbers; quantize per tensor or per channel"
            )
        if (step > _LARGEST_STEP).any():
            raise self.fault(node, f"has the scale {step.max():g}; expected at most {_LARGEST_STEP:g}")
        zero_point = given[1] if len(given) > 1 else None
        if zero_point is None:
            zero_point = np.zeros(step.shape, self._default_type(node))
        if zero_point.dtype.kind not in "iu":
            raise self.fault(
                node, f"quantizes to {zero_point.dtype.name}; ncnn has 8 bits only: quantize to int8 or uint8"
            )
        if zero_point.shape != step.shape and (zero_point.size, step.size) != (1, 1):
            raise self.fault(node, f"has {step.size} scales and {zero_point.size} zero points; expected as many")
        return step.astype(np.float32), zero_point

    def _default_type(self, node: onnx.NodeProto) -> np.dtype[Any]:
        """Return the type of a zero point that is not given."""
        kind = attribute(node, "output_dtype", 0)
        if node.op_type == "QuantizeLinear":
            try:
                return np.dtype(helper.tensor_dtype_to_np_dtype(kind)) if kind else np.dtype(np.uint8)
            except KeyError:
                raise self.fault(node, f"quantizes to the unknown type {kind}") from None
        values = self.get(node.input[0])
        return np.dtype(np.int8) if values is None else values.dtype

    def along_axis(
        self, node: onnx.NodeProto, step: Floats, zero_point: NDArray[Any], values: NDArray[Any]
    ) -> tuple[Floats, NDArray[np.int32]]:
        """Return scales and zero points with as many axes as the values.

        Raises:
            ModelError: the scales are not as many as the axis is long.
        """
        shape = [1] * values.ndim
        if step.size > 1:
            axis = attribute(node, "axis", 1)
            if not -values.ndim <= axis < values.ndim or step.size != values.shape[axis]:
                raise self.fault(
                    node, f"has {step.size} scales along axis {axis} of weights of shape {list(values.shape)}"
                )
            shape[axis] = step.size
        return step.reshape(shape), zero_point.astype(np.int32).reshape(shape)

    def value(self, node: onnx.NodeProto) -> NDArray[Any]:
        """Return the value of a Constant.

        Raises:
            ModelError: it is of no numbers.
        """
        if len(node.attribute) != 1:
            raise self.fault(node, f"holds {len(node.attribute)} values; expected one")
        (stored,) = node.attribute
        if stored.name == "value":
            return array_of(self.path, stored.t, title(node))
        if stored.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(stored), np.float32)
        if stored.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(stored), np.int64)
        raise self.fault(node, f"holds {stored.name}, which cannot be imported")

    def fault(self, node: onnx.NodeProto, problem: str) -> ModelError:
        """Return an error that names the file and the node."""
        return fault(self.path, node, problem)
