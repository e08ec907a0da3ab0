"""Scales random weights so that the blobs of a network have values of about 1, as in a trained one.

Gates multiply blobs, and residual blocks add them: whatever the distribution of the weights, values of a deep network
then grow until rounding decides.  What is wanted is seen by running the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.ops import Linear
from pyncnnq.model.ops.arithmetic import BinaryOp, Operation
from pyncnnq.model.ops.matrices import Gemm

_PASSES = 4
_NEAR = 4.0
"""Values between 1 / _NEAR and _NEAR need no other weights."""

_BOUNDED = """
Clip HardSigmoid Sigmoid Softmax TanH Normalize BatchNorm LayerNorm RMSNorm InstanceNorm GroupNorm MVN
"""
"""Layers whose outputs have a size of their own."""


def balance(model: Model, measure: Callable[[Model], Mapping[str, float]]) -> Mapping[str, float]:
    """Scale the weights of convolutions and the like in place; return the size of each blob in the end.

    A layer further back is right only when those before it are: what a change does to the blobs behind it is guessed,
    and seen by the next pass.

    Args:
        model: a float model.
        measure: returns the root mean square of each blob.
    """
    scaled = {layer.name: layer for layer in model.layers if isinstance(layer.op, Linear | Gemm) and layer.weights}
    for _ in range(_PASSES):
        sizes = measure(model)
        if all(1 / _NEAR < sizes[layer.tops[0]] < _NEAR for layer in scaled.values()):
            return sizes
        changes: dict[str, float] = {}
        for layer in model.layers:
            change = _guess(layer, changes)
            if layer.name in scaled and 0 < sizes[layer.tops[0]] < math.inf:
                change = 1 / sizes[layer.tops[0]]
                _scale(layer, change / changes.get(layer.bottoms[0], 1.0))
            changes.update(dict.fromkeys(layer.tops, change))
    return measure(model)


def _guess(layer: Layer, changes: Mapping[str, float]) -> float:
    """Return by what the outputs of a layer become larger when its inputs do."""
    factors = [changes.get(bottom, 1.0) for bottom in layer.bottoms]
    if layer.type in _BOUNDED.split() or not factors:
        return 1.0
    if isinstance(layer.op, BinaryOp) and layer.op.op_type == Operation.MUL:
        return math.prod(factors)
    return factors[0]


def _scale(layer: Layer, factor: float) -> None:
    for name, weight in layer.weights.items():
        if weight.storage == "tagged" and weight.format == "float32":
            layer.weights[name] = Weight.tagged_float32(name, weight.float32() * factor)
