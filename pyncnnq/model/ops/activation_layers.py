"""Activations that stand as layers of their own (ncnn's src/layer/relu.cpp, clip.cpp, ...)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pyncnnq.model.ops.activation import Activation, Kind
from pyncnnq.model.ops.base import Expected, Keeping, layer_types, raw
from pyncnnq.model.ops.fields import Float, Int

FLT_MAX = 3.4028234663852886e38
"""The bound of a Clip that has none."""


_PLAIN: dict[str, Kind] = {
    "CELU": "celu",
    "ELU": "elu",
    "GELU": "gelu",
    "Mish": "mish",
    "SELU": "selu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Swish": "swish",
    "TanH": "tanh",
}
"""Activations of whose parameters, if there are any, nothing is asked."""


@layer_types(*_PLAIN)
class ActivationOp(Keeping):
    """A layer that is an activation."""

    __slots__ = ()

    def as_activation(self) -> Activation:
        return Activation(_PLAIN[self.layer.type])


@layer_types("ReLU")
class ReLU(ActivationOp):
    """max(x, 0), or slope * x where that is negative."""

    __slots__ = ()

    slope = Float(0)

    def as_activation(self) -> Activation:
        return Activation("leaky_relu", (self.slope,)) if self.slope else Activation("relu")


@layer_types("PReLU")
class PReLU(ActivationOp):
    """A ReLU with a slope for each channel, or one for all."""

    __slots__ = ()

    num_slope = Int(0)

    def weights(self) -> Iterator[Expected]:
        yield raw("slope_data", self.num_slope)

    def as_activation(self) -> Activation:
        slopes = self.layer.weights.get("slope_data")
        if self.num_slope == 1 and slopes is not None:
            return Activation("leaky_relu", (float(slopes.float32()[0]),))
        return Activation("prelu")


@layer_types("Clip")
class Clip(ActivationOp):
    """Each value, or the bound that it is beyond."""

    __slots__ = ()

    min = Float(0, -FLT_MAX)
    max = Float(1, FLT_MAX)

    def as_activation(self) -> Activation:
        return Activation("clip", (self.min, self.max))


class _Ramp(ActivationOp):
    """alpha * x + beta, clipped to 0 and 1."""

    __slots__ = ()

    alpha = Float(0, 0.2)
    beta = Float(1, 0.5)

    kind: ClassVar[Kind]

    def as_activation(self) -> Activation:
        return Activation(self.kind, (self.alpha, self.beta))


@layer_types("HardSigmoid")
class HardSigmoid(_Ramp):
    """The ramp itself."""

    __slots__ = ()

    kind = "hard_sigmoid"


@layer_types("HardSwish")
class HardSwish(_Ramp):
    """x times the ramp."""

    __slots__ = ()

    kind = "hard_swish"
