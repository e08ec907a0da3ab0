"""Activations that stand as layers of their own (ncnn's src/layer/relu.cpp, clip.cpp, ...)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pyncnnq.model.ops.activation import Activation, Kind
from pyncnnq.model.ops.base import Expected, Keeping, layer_types, raw
from pyncnnq.model.ops.fields import Flag, Float, Int

FLT_MAX = 3.4028234663852886e38
"""The bound of a Clip that has none."""


class ActivationOp(Keeping):
    """A layer that is an activation.

    Attributes:
        kind: the activation's name.
    """

    __slots__ = ()

    kind: ClassVar[Kind]

    def as_activation(self) -> Activation:
        return Activation(self.kind)


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

    kind = "prelu"

    def weights(self) -> Iterator[Expected]:
        yield raw("slope_data", self.num_slope)

    def as_activation(self) -> Activation:
        slopes = self.layer.weights.get("slope_data")
        if self.num_slope == 1 and slopes is not None:
            return Activation("leaky_relu", (float(slopes.float32()[0]),))
        return super().as_activation()


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


@layer_types("ELU")
class ELU(ActivationOp):
    """x, or alpha * (exp(x) - 1) where x is negative."""

    __slots__ = ()

    alpha = Float(0, 0.1)

    kind = "elu"


@layer_types("CELU")
class CELU(ActivationOp):
    """x, or alpha * (exp(x / alpha) - 1) where x is negative."""

    __slots__ = ()

    alpha = Float(0, 1.0)

    kind = "celu"


@layer_types("SELU")
class SELU(ActivationOp):
    """lambda times the ELU of alpha."""

    __slots__ = ()

    alpha = Float(0, 1.67326324)
    lambda_ = Float(1, 1.050700987)

    kind = "selu"


@layer_types("GELU")
class GELU(ActivationOp):
    """x times the normal distribution function of x."""

    __slots__ = ()

    fast_gelu = Flag(0)

    kind = "gelu"


@layer_types("Sigmoid")
class Sigmoid(ActivationOp):
    """1 / (1 + exp(-x))."""

    __slots__ = ()

    kind = "sigmoid"


@layer_types("Mish")
class Mish(ActivationOp):
    """x * tanh(log(1 + exp(x)))."""

    __slots__ = ()

    kind = "mish"


@layer_types("Swish")
class Swish(ActivationOp):
    """x / (1 + exp(-x))."""

    __slots__ = ()

    kind = "swish"


@layer_types("Softplus")
class Softplus(ActivationOp):
    """log(1 + exp(x))."""

    __slots__ = ()

    kind = "softplus"


@layer_types("TanH")
class TanH(ActivationOp):
    """The hyperbolic tangent."""

    __slots__ = ()

    kind = "tanh"
