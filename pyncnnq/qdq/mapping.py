"""Which layer that pnnx made is which layer of the ONNX model: it gives them other names, and keeps their weights and
their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated
from pyncnnq.qdq.quantizers import Floats, QdqLayer, QuantizedWeight

_ROUNDING = 1e-5
"""How far, relative to the largest of an output, weights may be from what they were: they are multiplied in float32."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A layer of the ncnn model, and what it was.

    Attributes:
        layer: a Convolution, ConvolutionDepthWise or InnerProduct.
        source: the ONNX model's layer.
        steps: those of the weights in `layer`, shape (outputs, elements).
    """

    layer: Layer
    source: QdqLayer
    steps: Floats


def match(layers: Sequence[Layer], sources: Sequence[QdqLayer]) -> list[Pair]:
    """Find the layers by their weights; those with the same weights in their order.

    Weights may have been multiplied, output by output: pnnx folds a BatchNorm into the convolution before it.

    Args:
        layers: what pnnx made.
        sources: of the ONNX model; those without quantized weights are not found.

    Returns:
        In the order of `layers`; those without a counterpart are left out.
    """
    left = [(source, source.weight) for source in sources if source.weight is not None]
    pairs: dict[str, Pair] = {}
    for may_differ in (False, True):
        for layer in layers:
            if not layer.op.needs_activation_scale or layer.name in pairs:
                continue
            for source, weight in left:
                factors = _factors(layer, weight, may_differ=may_differ)
                if factors is not None:
                    pairs[layer.name] = Pair(layer, source, weight.steps * np.abs(factors))
                    left.remove((source, weight))
                    break
    return [pairs[layer.name] for layer in layers if layer.name in pairs]


def _factors(layer: Layer, weight: QuantizedWeight, *, may_differ: bool) -> Floats | None:
    """Return what each output's weights were multiplied by, shape (outputs, 1); None if the weights are others."""
    expected = weight.values
    found = layer.weights["weight_data"].float32()
    if found.size != expected.size or layer.as_op(Calibrated).num_output != len(expected):
        return None
    found = found.reshape(expected.shape)
    if np.array_equal(found, expected):
        return np.ones((len(expected), 1), np.float32)
    if not may_differ:
        return None
    largest = np.abs(expected).argmax(axis=1)[:, None]
    divisors = np.take_along_axis(expected, largest, axis=1)
    factors = np.divide(
        np.take_along_axis(found, largest, axis=1), divisors, out=np.ones_like(divisors), where=divisors != 0
    )
    fits = np.abs(found - expected * factors) <= _ROUNDING * np.abs(found).max(axis=1, keepdims=True)
    return factors if fits.all() else None
