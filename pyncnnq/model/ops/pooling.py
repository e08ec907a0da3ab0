"""Layers that make one value of many, or many of one: pooling, reduction, interpolation (ncnn's src/layer/pooling.cpp,
reduction.cpp, interp.cpp)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyncnnq.model.ops.arranging import Moving
from pyncnnq.model.ops.base import Op, layer_types
from pyncnnq.model.ops.expressions import blobs_in, evaluate
from pyncnnq.model.ops.fields import UNSET, Choice, Flag, Float, Int, IntArray, Numbered, Str
from pyncnnq.model.ops.shape import Misfit, Shape, sizes_of, spell


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

    def _pooled(self, length: int, kernel: int, stride: int, before: int, after: int) -> int:
        """Return how many places the kernel has along an axis."""
        if self.pad_mode in (2, 3):  # as many as strides begin in it
            return (max(length, kernel + (length - 1) // stride * stride) - kernel) // stride + 1
        length += before + after
        if self.pad_mode == 0 and (rest := int(math.fmod(length - kernel, stride))):  # as C divides
            length += stride - rest
        return (length - kernel) // stride + 1


@layer_types("Pooling")
class Pooling(_Pooling, Moving):
    """Over width and height."""

    __slots__ = ()

    kernel_w = Int(1)
    kernel_h = Int(11, "kernel_w")
    stride_w = Int(2, 1)
    stride_h = Int(12, "stride_w")
    out_w = Int(8)
    out_h = Int(18, "out_w")
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

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        if len(inputs[0]) != 3 or len(self.layer.tops) != 1:
            return ()
        channels, height, width = inputs[0]
        if self.global_pooling:
            return [(channels,)]
        if self.adaptive_pooling:
            out_h, out_w = self.out_h, self.out_w
            return [(channels, height if out_h == UNSET else out_h, width if out_w == UNSET else out_w)]
        height = self._pooled(height, self.kernel_h, self.stride_h, self.pad_top, self.pad_bottom)
        return [(channels, height, self._pooled(width, self.kernel_w, self.stride_w, self.pad_left, self.pad_right))]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        if all(min(shape) > 0 for shape in self.output_shapes(inputs)):
            return None
        return Misfit(
            f"has a kernel of {self.kernel_w} x {self.kernel_h}, which does not fit in {spell(inputs[0])}", -1
        )


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

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        reduced = {axis % len(shape) for axis in self.axes}
        if self.reduce_all or len(shape) == 1:
            reduced = set(range(len(shape)))
        if self.keepdims:
            return [tuple(1 if axis in reduced else length for axis, length in enumerate(shape))]
        return [tuple(length for axis, length in enumerate(shape) if axis not in reduced) or (1,)]


@layer_types("Interp")
class Interp(Op):
    """Resizing."""

    __slots__ = ()

    height_scale = Float(1, 1.0)
    width_scale = Float(2, 1.0)
    output_height = Int(3)
    output_width = Int(4)
    dynamic_target_size = Int(5)
    """1: to the size of a second blob."""
    size_expr = Str(9)
    """Width and height as expressions of the sizes of the blobs that the layer reads."""

    @property
    def least_bottoms(self) -> int:
        return max(2 if self.dynamic_target_size == 1 else 1, blobs_in(self.size_expr))

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return {1: 3, 2: 2, 3: 3}.get(inputs[0] or 0)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        if len(shape) > 3 or (size := self._size(inputs)) is None:
            return ()
        width, height = size
        return [(shape[0], width) if len(shape) == 2 else (shape[0], height, width)]

    def _size(self, inputs: Sequence[Shape]) -> tuple[int, int] | None:
        """Return the width and height of the output."""
        if self.size_expr:
            sizes = evaluate(self.size_expr, inputs)
            if sizes is None or len(sizes) > 2:
                return None
            return sizes[0], sizes[1] if len(sizes) == 2 else sizes_of(inputs[0])["h"]
        if len(inputs) > 1:
            other = sizes_of(inputs[1])
            return other["w"], other["h"]
        if self.output_width and self.output_height:
            return self.output_width, self.output_height
        own = sizes_of(inputs[0] if len(inputs[0]) > 1 else (1, 1))
        width, height = (
            int(np.float32(length) * np.float32(scale))
            for length, scale in ((own["w"], self.width_scale), (own["h"], self.height_scale))
        )
        return width, height
