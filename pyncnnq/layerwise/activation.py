"""Where a change of a layer's bias comes through the activation behind it, which is where errors of its outputs matter.

A ReLU cuts off negative values, whatever their errors are, and those would pull the mean error towards themselves; a
leaky ReLU nearly so. Other activations are taken to have an effect where they rise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyncnnq.model import Layer

_TYPES = {1: "ReLU", 2: "ReLU", 3: "Clip", 4: "Sigmoid", 5: "Mish", 6: "HardSwish"}
"""The layers that do what an activation_type does (src/layer/fused_activation.h)."""

_SWISH_MINIMUM, _MISH_MINIMUM = -1.2785, -1.1924  # where the derivatives are 0
_FLAT = 4.0
"""Beyond this a sigmoid rises by less than a tenth of what it does at 0."""

Bounds = tuple[float, float]


def without_activation(layer: Layer) -> Layer:
    """The layer itself if it has none."""
    if layer.params.get_int(9, 0) == 0:
        return layer
    linear = layer.copy()
    linear.params.set(9, 0)
    return linear


def rising(layer: Layer, readers: Sequence[Layer]) -> Bounds:
    """Between which bounds what a layer hands to its activation has to lie for errors of that to matter.

    Args:
        layer: a quantizable layer, with or without an activation.
        readers: of what it writes; if there is one alone, it may be an activation.
    """
    kind = layer.params.get_int(9, 0)
    if kind == 0:
        return _bounds(readers[0].type, _parameters(readers[0])) if len(readers) == 1 else (-math.inf, math.inf)
    return _bounds(_TYPES.get(kind, ""), layer.params.get_array(10))


def _parameters(layer: Layer) -> list[float]:
    defaults = {"Clip": (-math.inf, math.inf), "HardSwish": (0.2, 0.5), "HardSigmoid": (0.2, 0.5)}.get(layer.type, ())
    return [layer.params.get_float(key, default) for key, default in enumerate(defaults)]


def _bounds(activation: str, parameters: Sequence[float]) -> Bounds:
    match activation:
        case "ReLU" | "PReLU":
            return 0.0, math.inf
        case "Clip" if len(parameters) == 2:
            return float(parameters[0]), float(parameters[1])
        case "HardSwish" if (
            len(parameters) == 2 and parameters[0] > 0
        ):  # x * (alpha * x + beta), where that is between 0 and x
            return -parameters[1] / (2 * parameters[0]), math.inf
        case "HardSigmoid" if len(parameters) == 2 and parameters[0] > 0:
            return -parameters[1] / parameters[0], (1 - parameters[1]) / parameters[0]
        case "Swish":
            return _SWISH_MINIMUM, math.inf
        case "Mish":
            return _MISH_MINIMUM, math.inf
        case "Sigmoid":
            return -_FLAT, _FLAT
    return -math.inf, math.inf
