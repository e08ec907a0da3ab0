"""Non-linear activations: by which name, with which parameters, and what they do to a value.

ncnn computes some of them as part of a convolution, inner product or deconvolution (its src/layer/fused_activation.h),
all of them as layers (pyncnnq/model/ops/activation_layers.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "none", "relu", "leaky_relu", "clip", "sigmoid", "mish", "hard_swish",
    "celu", "elu", "gelu", "hard_sigmoid", "prelu", "selu", "softplus", "swish", "tanh",
]  # fmt: skip

FUSED: tuple[Kind, ...] = ("none", "relu", "leaky_relu", "clip", "sigmoid", "mish", "hard_swish")
"""The activations that a layer with weights can apply, in the order of ncnn's `activation_type`."""

_PIECEWISE: tuple[Kind, ...] = ("none", "relu", "leaky_relu", "prelu", "clip")
_HOMOGENEOUS: tuple[Kind, ...] = ("none", "relu", "leaky_relu", "prelu")
_POSITIVE: tuple[Kind, ...] = ("relu", "sigmoid", "hard_sigmoid")

_SWISH_MINIMUM, _MISH_MINIMUM = -1.2785, -1.1924  # where the derivatives are 0
_FLAT = 4.0  # beyond this a sigmoid rises by less than a tenth of its slope at 0


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation.

    Attributes:
        kind: its name.
        parameters: leaky_relu: slope; clip: lower and upper bound; hard_swish, hard_sigmoid: alpha and beta; else none.
    """

    kind: Kind
    parameters: tuple[float, ...] = ()

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds that a clip or a ReLU keeps its result between; infinite ones for any other kind."""
        if self.kind == "clip" and len(self.parameters) == 2:
            return self.parameters[0], self.parameters[1]
        return 0.0 if self.kind == "relu" else -math.inf, math.inf

    @property
    def rises_between(self) -> tuple[float, float]:
        """The bounds that the argument has to lie between for a change of it to come through.

        A ReLU hides all changes of negative values, and a leaky ReLU nearly all.
        """
        match self.kind, self.parameters:
            case (("relu" | "leaky_relu" | "prelu"), _):
                return 0.0, math.inf
            case "clip", (lower, upper):
                return lower, upper
            case "hard_swish", (alpha, beta) if alpha > 0:  # x * (alpha * x + beta), where that is between 0 and x
                return -beta / (2 * alpha), math.inf
            case "hard_sigmoid", (alpha, beta) if alpha > 0:
                return -beta / alpha, (1 - beta) / alpha
            case "swish", _:
                return _SWISH_MINIMUM, math.inf
            case "mish", _:
                return _MISH_MINIMUM, math.inf
            case "sigmoid", _:
                return -_FLAT, _FLAT
        return -math.inf, math.inf

    @property
    def is_non_negative(self) -> bool:
        """Whether no result is below zero."""
        return self.kind in _POSITIVE or (self.kind == "clip" and self.bounds[0] >= 0)

    @property
    def rectifies(self) -> bool:
        """Whether negative values become 0 and positive values stay as they are, up to a bound."""
        return self.kind == "relu" or (self.kind == "clip" and self.bounds[0] == 0 and self.bounds[1] > 0)

    @property
    def is_homogeneous(self) -> bool:
        """Whether a positive factor of the argument becomes the same factor of the result."""
        return self.kind in _HOMOGENEOUS

    @property
    def is_nonlinear(self) -> bool:
        """Whether it is more than a ReLU, a leaky ReLU or a clip: no factor of a channel goes through it."""
        return self.kind not in _PIECEWISE

    @property
    def is_fusible(self) -> bool:
        """Whether a layer with weights can apply it (ncnn divides by the alpha of a hard_swish)."""
        return self.kind in FUSED and not (self.kind == "hard_swish" and self.parameters[:1] == (0.0,))


NONE = Activation("none")
RELU = Activation("relu")
