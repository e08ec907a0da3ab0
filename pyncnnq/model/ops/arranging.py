"""Layers that hand values on in another order or shape (ncnn's src/layer/reshape.cpp, concat.cpp, slice.cpp, ...)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations

from pyncnnq.model.ops.base import Expected, Keeping, Op, layer_types, raw
from pyncnnq.model.ops.expressions import blobs_in, evaluate
from pyncnnq.model.ops.fields import UNSET, Flag, Float, Int, IntArray, Str
from pyncnnq.model.ops.shape import AXES, Misfit, Shape, sizes_of, spell


class Moving(Op):
    """A layer whose outputs hold values of its inputs and nothing else."""

    __slots__ = ()

    @property
    def is_non_negative(self) -> bool | None:
        return None


class Arranging(Moving):
    """A layer that hands on all values, each at some place."""

    __slots__ = ()


@layer_types("Split")
class Split(Arranging, Keeping):
    """Copies of a blob, one for each reader."""

    __slots__ = ()


@layer_types("Slice")
class Slice(Arranging, Keeping):
    """Parts of a blob along an axis."""

    __slots__ = ()

    slices = IntArray(0)
    """The size of each output; UNSET: what is left is divided among the outputs without a size."""
    axis = Int(1)
    indices = IntArray(2)
    """Places to cut at, in place of sizes."""

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        axis = self.axis % len(shape)
        return [(*shape[:axis], part, *shape[axis + 1 :]) for part in self._parts(shape[axis])]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        shape = inputs[0]
        length = shape[self.axis % len(shape)]
        taken = sum(self._parts(length))
        if taken <= length:
            return None
        return Misfit(f"takes {taken} of the {length} of an axis ({spell(shape)})", length - taken)

    def _parts(self, length: int) -> list[int]:
        """Return the size of each output along the axis."""
        count = len(self.layer.tops)
        if self.indices:
            cuts = [0, *(cut % length if cut < 0 else cut for cut in self.indices[: count - 1]), length]
            return [end - start for start, end in pairwise(cuts)]
        parts: list[int] = []
        for size in self.slices[:count]:
            parts.append((length - sum(parts)) // (count - len(parts)) if size == UNSET else size)
        return parts


@layer_types("Concat")
class Concat(Arranging):
    """Blobs one after another along an axis."""

    __slots__ = ()

    axis = Int(0)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return next((dims for dims in inputs if dims), None)  # all have the same

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        first = inputs[0]
        if len({len(shape) for shape in inputs}) > 1:
            return ()
        axis = self.axis % len(first)
        return [(*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        if len({len(shape) for shape in inputs}) > 1:  # a matrix of one row may go with vectors
            return None
        axis = self.axis % len(inputs[0])
        across = [(*shape[:axis], *shape[axis + 1 :]) for shape in inputs]
        if len(set(across)) == 1:
            return None
        return Misfit(f"joins {' and '.join(map(spell, inputs))}", math.prod(across[-1]) - math.prod(across[0]))


@layer_types("ShuffleChannel")
class ShuffleChannel(Arranging, Keeping):
    """Channels of groups, interleaved."""

    __slots__ = ()

    group = Int(0, 1)
    reverse = Flag(1)


@layer_types("Permute")
class Permute(Arranging, Keeping):
    """The axes in another order."""

    __slots__ = ()

    order_type = Int(0)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        # ncnn numbers the orders as the permutations of NumPy's axes come one after another.
        return [list(permutations(inputs[0]))[self.order_type]]


@layer_types("Crop")
class Crop(Moving, Keeping):
    """A part of a blob: of stated sizes, or from starts to ends, or of the size of another blob."""

    __slots__ = ()

    woffset = Int(0)
    hoffset = Int(1)
    doffset = Int(13)
    coffset = Int(2)
    outw = Int(3)
    outh = Int(4)
    outd = Int(14)
    outc = Int(5)
    woffset2 = Int(6)
    hoffset2 = Int(7)
    doffset2 = Int(15)
    coffset2 = Int(8)
    starts = IntArray(9)
    ends = IntArray(10)
    axes = IntArray(11)
    starts_expr = Str(19)
    ends_expr = Str(20)
    axes_expr = Str(21)

    @property
    def least_bottoms(self) -> int:
        by_arrays = (self.starts and self.ends) or (self.starts_expr and self.ends_expr)
        sizes = (self.outw, self.outh, self.outd, self.outc)
        ends = (self.woffset2, self.hoffset2, self.doffset2, self.coffset2)
        named = max(map(blobs_in, (self.starts_expr, self.ends_expr, self.axes_expr)))
        return max(1 if by_arrays or any((*sizes, *ends)) else 2, named)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        if self.starts_expr or self.ends_expr or self.axes_expr:
            found = [evaluate(text, inputs) for text in (self.starts_expr, self.ends_expr, self.axes_expr)]
            return [] if None in found else [_between(shape, *(sizes or () for sizes in found))]
        if self.starts and self.ends:
            return [_between(shape, self.starts, self.ends, self.axes)]
        if len(inputs) > 1:
            other = sizes_of(inputs[1])
            keeps_channels = len(shape) > 2 and len(inputs[1]) != len(shape)
            return [tuple(shape[0] if keeps_channels and name == "c" else other[name] for name in AXES[len(shape)])]
        return [tuple(self._left(name, length) for name, length in zip(AXES[len(shape)], shape, strict=True))]

    def _left(self, name: str, length: int) -> int:
        size, *offsets = {
            "w": (self.outw, self.woffset, self.woffset2),
            "h": (self.outh, self.hoffset, self.hoffset2),
            "d": (self.outd, self.doffset, self.doffset2),
            "c": (self.outc, self.coffset, self.coffset2),
        }[name]
        left = length - sum(offsets)
        return left if size == UNSET else min(size, left)


def _between(shape: Shape, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> Shape:
    """Return the shape of a part from starts to ends along axes, as NumPy cuts; all of them where none are given."""
    lengths = list(shape)
    for start, end, axis in zip(starts, ends, axes or range(len(shape)), strict=False):
        length = lengths[axis]
        first, last = 0 if start == UNSET else start, length if end == UNSET else end
        lengths[axis] = min(length, last if last > 0 else length + last) - (first if first >= 0 else length + first)
    return tuple(lengths)


@layer_types("Tile")
class Tile(Op):
    """A blob several times along axes."""

    __slots__ = ()

    axis = Int(0)
    tiles = Int(1, 1)
    repeats = IntArray(2)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return max(inputs[0], len(self.repeats)) if inputs[0] else None

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        if not self.repeats:
            return [tuple(length * (self.tiles if axis == self.axis else 1) for axis, length in enumerate(shape))]
        if len(self.repeats) > len(shape):  # ncnn does not take the axes from the end, as NumPy does
            return ()
        repeats = (1,) * (len(shape) - len(self.repeats)) + self.repeats
        return [tuple(length * times for length, times in zip(shape, repeats, strict=True))]


@layer_types("PixelShuffle")
class PixelShuffle(Op):
    """Channels as neighbouring pixels."""

    __slots__ = ()

    upscale_factor = Int(0, 1)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        (channels, height, width), factor = inputs[0], self.upscale_factor
        return [(channels // factor**2, height * factor, width * factor)]


@layer_types("Reorg")
class Reorg(Op):
    """Neighbouring pixels as channels."""

    __slots__ = ()

    stride = Int(0, 1)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        (channels, height, width), stride = inputs[0], self.stride
        return [(channels * stride**2, height // stride, width // stride)]


class YoloV5Focus(Arranging):
    """The pixels of each square of 2x2 as channels: of ncnn's examples, not of ncnn (pyncnnq/model/yolov5_focus.py)."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        channels, height, width = inputs[0]
        return [(channels * 4, height // 2, width // 2)]


@layer_types("Padding")
class Padding(Keeping):
    """A border: of one number, of a number for each channel, or of values of the blob.

    A negative size means that another blob states it.
    """

    __slots__ = ()

    top = Int(0)
    bottom = Int(1)
    left = Int(2)
    right = Int(3)
    type = Int(4)
    """0: of numbers, 1: of the outermost values, 2: mirrored."""
    value = Float(5)
    per_channel_pad_data_size = Int(6)
    front = Int(7)
    behind = Int(8)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        borders = {"w": (self.left, self.right), "h": (self.top, self.bottom)}
        borders["d" if len(shape) == 4 else "c"] = self.front, self.behind
        if len(inputs) > 1 or min(map(min, borders.values())) < 0:
            return ()
        return [
            tuple(length + sum(borders.get(name, ())) for name, length in zip(AXES[len(shape)], shape, strict=True))
        ]

    def weights(self) -> Iterator[Expected]:
        if self.per_channel_pad_data_size:
            yield raw("per_channel_pad_data", self.per_channel_pad_data_size)
