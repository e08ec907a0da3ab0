"""Layers that hand values on in another order or shape (ncnn's src/layer/reshape.cpp, concat.cpp, slice.cpp, ...)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, Keeping, Op, layer_types, raw
from pyncnnq.model.ops.fields import UNSET, Flag, Float, Int, IntArray, Str


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


@layer_types("Concat")
class Concat(Arranging):
    """Blobs one after another along an axis."""

    __slots__ = ()

    axis = Int(0)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return next((dims for dims in inputs if dims), None)  # all have the same


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


@layer_types("Flatten")
class Flatten(Arranging):
    """All values as a vector."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 1


@layer_types("Reshape")
class Reshape(Arranging):
    """Other sizes; -1: what is left, 0: the input's own."""

    __slots__ = ()

    w = Int(0, UNSET)
    h = Int(1, UNSET)
    c = Int(2, UNSET)
    d = Int(11, UNSET)
    permute = Flag(3)
    """Of old versions: the channels come last."""
    shape_expr = Str(6)
    """Sizes as expressions of the sizes of the blobs that the layer reads, such as `*(0w,2),0h,128`."""

    @property
    def least_bottoms(self) -> int:
        return max(1, blobs_in(self.shape_expr))

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        if self.shape_expr:
            return _expressions(self.shape_expr)
        if len(self.layer.bottoms) != 1:  # sizes may come from other blobs
            return None
        sizes = ((4, self.d), (3, self.c), (2, self.h), (1, self.w))
        return next((dims for dims, size in sizes if size != UNSET), None)


_ONE_OPERAND = """
abs neg sign square trunc ceil floor round acos acosh asin asinh atan atanh cos cosh erf exp log log10 reciprocal rsqrt
sin sinh sqrt tan tanh
"""
_TWO_OPERANDS = "+ - * // / max min atan2 fmod pow remainder logaddexp and or xor lshift rshift"
_OPERANDS = dict.fromkeys(_ONE_OPERAND.split(), 1) | dict.fromkeys(_TWO_OPERANDS.split(), 2)


_SIZE = re.compile("([0-9])[whdcn]")


def blobs_in(text: str) -> int:
    """Return how many blobs there must be for expressions that name their sizes, such as `0w` and `1h`."""
    numbers = (_SIZE.fullmatch(token) for token in re.split(r"[(),]", text))
    return max((int(number.group(1)) + 1 for number in numbers if number), default=0)


def _expressions(text: str) -> int | None:
    """Return how many sizes a list of expressions gives, from 1 to 4; None for a list that ncnn does not read.

    Operators stand before their operands, and brackets and commas only part them (ncnn's src/expression.cpp).
    """
    count = 0
    for token in reversed([token for token in re.split(r"[(),]", text) if token]):
        operands = _OPERANDS.get(token, 0)
        if count < operands:
            return None
        count += 1 - operands
    return count if 1 <= count <= 4 else None


@layer_types("Squeeze")
class Squeeze(Arranging):
    """Axes of length 1 left out."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 1 if inputs[0] == 1 else None  # of other blobs it depends on their sizes


@layer_types("ExpandDims")
class ExpandDims(Arranging):
    """Axes of length 1 put in."""

    __slots__ = ()

    axes = IntArray(3)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        first, axes = inputs[0], len(self.axes)
        return first + axes if first and axes and first + axes <= 4 else None


@layer_types("Crop")
class Crop(Moving, Keeping):
    """A part of a blob: by numbers, by expressions, or of the size of a second blob."""

    __slots__ = ()

    outw = Int(3)
    outh = Int(4)
    outc = Int(5)
    woffset2 = Int(6)
    hoffset2 = Int(7)
    coffset2 = Int(8)
    starts = IntArray(9)
    ends = IntArray(10)
    outd = Int(14)
    doffset2 = Int(15)
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


@layer_types("Tile")
class Tile(Op):
    """A blob several times along axes."""

    __slots__ = ()

    repeats = IntArray(2)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return max(inputs[0], len(self.repeats)) if inputs[0] else None


@layer_types("PixelShuffle", "Reorg")
class PixelShuffle(Op):
    """Channels as neighbouring pixels, or the other way round."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3


class YoloV5Focus(Arranging):
    """The pixels of each square of 2x2 as channels: of ncnn's examples, not of ncnn (pyncnnq/model/yolov5_focus.py)."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3


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

    def weights(self) -> Iterator[Expected]:
        if self.per_channel_pad_data_size:
            yield raw("per_channel_pad_data", self.per_channel_pad_data_size)
