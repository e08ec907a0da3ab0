"""Layers that give the values of a blob other sizes (ncnn's src/layer/reshape.cpp, flatten.cpp, squeeze.cpp,
expanddims.cpp)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyncnnq.model.ops.arranging import Arranging
from pyncnnq.model.ops.base import layer_types
from pyncnnq.model.ops.expressions import blobs_in, count_sizes, evaluate
from pyncnnq.model.ops.fields import UNSET, Flag, Int, IntArray, Str
from pyncnnq.model.ops.shape import AXES, Misfit, Shape, sizes_of, spell

NO_BATCH = 233
"""What stands for no batch axis."""


@layer_types("Flatten")
class Flatten(Arranging):
    """All values as a vector."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 1

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return [(math.prod(inputs[0]),)]


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
    input_batch_axis = Int(12, NO_BATCH)
    output_batch_axis = Int(13, NO_BATCH)

    @property
    def least_bottoms(self) -> int:
        return max(1, blobs_in(self.shape_expr))

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        if self.shape_expr:
            return count_sizes(self.shape_expr)
        if len(self.layer.bottoms) != 1:  # sizes may come from other blobs
            return None
        sizes = ((4, self.d), (3, self.c), (2, self.h), (1, self.w))
        return next((dims for dims, size in sizes if size != UNSET), None)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = self._given(inputs)
        return [] if shape is None else [shape]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        shape, given = inputs[0], self._given(inputs)
        if given is None or math.prod(given) == math.prod(shape):
            return None
        words = f"makes {spell(given)} numbers of {spell(shape)}"
        return Misfit(words, math.prod(shape) - math.prod(given))

    def _given(self, inputs: Sequence[Shape]) -> Shape | None:
        """Return the sizes that the layer gives to its first input; None where they are not known."""
        if (self.input_batch_axis, self.output_batch_axis) != (NO_BATCH, NO_BATCH):
            return None
        sizes = evaluate(self.shape_expr, inputs) if self.shape_expr else self._stated(len(inputs))
        if sizes is None or not 1 <= len(sizes) <= 4:
            return None
        shape = inputs[0]
        own = sizes_of(shape)
        names = ("w", "h", "d", "c") if len(sizes) == 4 else ("w", "h", "c")
        lengths = {name: own[name] if size == 0 else size for name, size in zip(names, sizes, strict=False)}
        rest = [name for name, length in lengths.items() if length == -1]
        if len(rest) > 1:
            return None
        for name in rest:
            lengths[name] = math.prod(shape) // -math.prod(lengths.values())
        given = tuple(reversed(lengths.values()))
        # Of a matrix with as many rows, ncnn keeps the columns, whatever the layer says.
        return shape if len(shape) == len(given) == 2 and shape[0] == given[0] else given

    def _stated(self, bottoms: int) -> list[int] | None:
        """Return the sizes in the layer's line; with another blob they may come from there."""
        sizes = [self.w, self.h] if self.c == UNSET else [self.w, self.h, self.c]
        if self.d != UNSET:
            sizes.insert(2, self.d)
        while sizes and sizes[-1] == UNSET:
            sizes.pop()
        return sizes if bottoms == 1 and UNSET not in sizes else None


@layer_types("Squeeze")
class Squeeze(Arranging):
    """Axes of length 1 left out."""

    __slots__ = ()

    w = Flag(0)
    h = Flag(1)
    c = Flag(2)
    d = Flag(11)
    axes = IntArray(3)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 1 if inputs[0] == 1 else None  # of other blobs it depends on their sizes

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        flags = {"w": self.w, "h": self.h, "d": self.d, "c": self.c}
        named = {axis for axis, name in enumerate(AXES[len(shape)]) if flags[name]}
        left_out = {axis % len(shape) for axis in self.axes} if self.axes else named
        kept = tuple(length for axis, length in enumerate(shape) if length != 1 or axis not in left_out)
        return [kept or (1,)]


@layer_types("ExpandDims")
class ExpandDims(Arranging):
    """Axes of length 1 put in."""

    __slots__ = ()

    axes = IntArray(3)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        first, axes = inputs[0], len(self.axes)
        return first + axes if first and axes and first + axes <= 4 else None

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = list(inputs[0])
        dims = len(shape) + len(self.axes)
        new = {axis % dims for axis in self.axes}
        if dims > 4 or len(new) != len(self.axes):
            return ()
        for axis in sorted(new):
            shape.insert(axis, 1)
        return [tuple(shape)]
