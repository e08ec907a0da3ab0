"""Arithmetic of blobs, element by element: with numbers, with other blobs, with a factor and an offset per channel
(ncnn's src/layer/binaryop.cpp, eltwise.cpp, scale.cpp, bias.cpp, dropout.cpp, ...)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, Keeping, Op, layer_types, raw
from pyncnnq.model.ops.fields import UNSET, Choice, Flag, Float, FloatArray, Int, Numbered
from pyncnnq.model.ops.shape import Misfit, Shape, spell


class Operation(Numbered):
    """What a BinaryOp computes of a and b; R: of b and a."""

    OTHER = -1
    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    MAX = 4
    MIN = 5
    POW = 6
    RSUB = 7
    RDIV = 8
    RPOW = 9
    ATAN2 = 10
    RATAN2 = 11


class _Broadcasting(Op):
    """A layer of several blobs whose output has the most dimensions of them."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        known = [dims for dims in inputs if dims is not None]
        return max(known) if len(known) == len(inputs) else None

    @property
    def is_addition(self) -> bool:
        """Whether the layer adds two blobs, which are not one and the same."""
        return False

    @property
    def is_multiplication(self) -> bool:
        """Whether the layer multiplies two blobs, which may be one and the same."""
        return False


@layer_types("BinaryOp")
class BinaryOp(_Broadcasting):
    """An operation of two blobs, or of a blob and a number."""

    __slots__ = ()

    op_type = Choice(0, Operation.ADD)
    with_scalar = Flag(1)
    b = Float(2)
    """The number, if there is no second blob."""

    @property
    def least_bottoms(self) -> int:
        return 1 if self.with_scalar else 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        if len(inputs) == 1:
            return inputs
        return [tuple(map(max, zip(*_expanded(*inputs), strict=True)))]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        if len(inputs) == 1:
            return None
        pairs = [pair for pair in zip(*_expanded(*inputs), strict=True) if 1 not in pair]
        if all(a == b for a, b in pairs):
            return None
        return Misfit(_combined(inputs), math.prod(b for _, b in pairs) - math.prod(a for a, _ in pairs))

    @property
    def is_addition(self) -> bool:
        return self.op_type == Operation.ADD and len(set(self.layer.bottoms)) == 2

    @property
    def is_multiplication(self) -> bool:
        return self.op_type == Operation.MUL and len(self.layer.bottoms) == 2


def _combined(inputs: Sequence[Shape]) -> str:
    return f"combines {' and '.join(map(spell, inputs))}"


def _expanded(a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Return two shapes with as many dimensions: axes of length 1 are put in at the end, but before a vector that does
    not fit the first axis."""
    return _expand(a, b), _expand(b, a)


def _expand(shape: Shape, other: Shape) -> Shape:
    ones = (1,) * max(0, len(other) - len(shape))
    return ones + shape if len(shape) == 1 and shape[0] != other[0] else shape + ones


class EltwiseOperation(Numbered):
    """What an Eltwise computes of all its blobs."""

    OTHER = -1
    PROD = 0
    SUM = 1
    MAX = 2


@layer_types("Eltwise")
class Eltwise(_Broadcasting):
    """An operation of two or more blobs of one shape."""

    __slots__ = ()

    op_type = Choice(0, EltwiseOperation.PROD)
    coeffs = FloatArray(1)
    """The factor of each blob in a sum; 1 if there are none."""

    @property
    def least_bottoms(self) -> int:
        return 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return inputs[:1]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        sizes = list(map(math.prod, inputs))
        return Misfit(_combined(inputs), sizes[-1] - sizes[0]) if len(set(sizes)) > 1 else None

    @property
    def is_addition(self) -> bool:
        plain = self.op_type == EltwiseOperation.SUM and all(factor == 1 for factor in self.coeffs)
        return plain and len(self.layer.bottoms) == len(set(self.layer.bottoms)) == 2


@layer_types("Scale")
class Scale(Keeping):
    """factor * x + offset, by channel."""

    __slots__ = ()

    scale_data_size = Int(0)
    bias_term = Flag(1)

    @property
    def least_bottoms(self) -> int:
        return 2 if self.scale_data_size == UNSET else 1

    def weights(self) -> Iterator[Expected]:
        size = self.scale_data_size
        if size == UNSET:  # the scale is an input blob; ncnn reads no bias either
            return
        yield raw("scale_data", size)
        if self.bias_term:
            yield raw("bias_data", size)


@layer_types("Bias")
class Bias(Keeping):
    """x + offset, by channel."""

    __slots__ = ()

    bias_data_size = Int(0)

    def weights(self) -> Iterator[Expected]:
        yield raw("bias_data", self.bias_data_size)


@layer_types("Dropout")
class Dropout(Keeping):
    """x times one number."""

    __slots__ = ()

    scale = Float(0, 1.0)


@layer_types("AbsVal")
class AbsVal(Keeping):
    """The magnitude of x."""

    __slots__ = ()

    @property
    def is_non_negative(self) -> bool:
        return True
