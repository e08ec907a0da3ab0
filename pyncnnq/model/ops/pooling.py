"""Layers that make one value of many, or many of one: pooling, reduction, interpolation (ncnn's src/layer/pooling.cpp,
reduction.cpp, interp.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.model.ops.arranging import Moving, blobs_in
from pyncnnq.model.ops.base import Op, layer_types
from pyncnnq.model.ops.fields import Choice, Flag, Float, Int, IntArray, Numbered, Str


class PoolingType(Numbered):
    """What a pooling takes of the values under its kernel."""

    OTHER = -1
    MAX = 0
    AVERAGE = 1


class _Pooling(Op):
    """The largest value or the average under a kernel, or of a whole channel."""

    __slots__ = ()

    pooling_type = Choice(0, PoolingType.MAX)
    pad_left = Int(3)
    global_pooling = Flag(4)
    pad_mode = Int(5)
    avgpool_count_include_pad = Flag(6)
    adaptive_pooling = Flag(7)
    pad_right = Int(14, "pad_left")

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 1 if self.global_pooling else inputs[0]


@layer_types("Pooling")
class Pooling(_Pooling, Moving):
    """Over width and height."""

    __slots__ = ()

    pad_top = Int(13, "pad_left")
    pad_bottom = Int(15, "pad_top")

    @property
    def is_max(self) -> bool:
        """Whether the layer takes the largest values."""
        return self.pooling_type == PoolingType.MAX

    @property
    def averages_values_alone(self) -> bool:
        """Whether no zeros of a border go into the averages."""
        if self.global_pooling or self.adaptive_pooling:
            return True
        if self.avgpool_count_include_pad:  # of pad modes, 1 alone adds nothing at the far ends
            return self.pad_mode == 1 and not any((self.pad_left, self.pad_right, self.pad_top, self.pad_bottom))
        return self.pad_mode in (0, 1)  # the others count their border in any case


@layer_types("Pooling1D", "Pooling3D")
class OtherPooling(_Pooling):
    """Along the rows of a matrix, or over width, height and depth."""

    __slots__ = ()


class ReductionType(Numbered):
    """What a Reduction makes of the values along its axes."""

    OTHER = -1
    SUM = 0
    ASUM = 1
    SUMSQ = 2
    MEAN = 3
    MAX = 4
    MIN = 5
    PROD = 6


@layer_types("Reduction")
class Reduction(Op):
    """One value of all along some axes."""

    __slots__ = ()

    operation = Choice(0, ReductionType.SUM)
    reduce_all = Flag(1, True)
    coeff = Float(2, 1.0)
    axes = IntArray(3)
    keepdims = Flag(4)
    fixbug0 = Int(5)
    """1 in files of versions that count axes right; ncnn refuses axes without."""

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        first = inputs[0]
        if self.keepdims:
            return first
        if self.reduce_all:
            return 1
        if first is None or self.fixbug0 != 1:
            return None
        return max(1, first - len({axis % first for axis in self.axes}))


@layer_types("Interp")
class Interp(Op):
    """Resizing."""

    __slots__ = ()

    dynamic_target_size = Int(5)
    """1: to the size of a second blob."""
    size_expr = Str(9)
    """Sizes as expressions of the sizes of the blobs that the layer reads."""

    @property
    def least_bottoms(self) -> int:
        return max(2 if self.dynamic_target_size == 1 else 1, blobs_in(self.size_expr))

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return {1: 3, 2: 2, 3: 3}.get(inputs[0] or 0)
