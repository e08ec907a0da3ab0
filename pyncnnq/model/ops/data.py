"""Where blobs come from: model inputs and constants (ncnn's src/layer/input.cpp, memorydata.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, Op, layer_types
from pyncnnq.model.ops.fields import Int
from pyncnnq.model.ops.shape import Shape
from pyncnnq.model.weights import Storage


class Sized(Op):
    """A layer whose line states the sizes of its output, 0 for axes that it does not have."""

    __slots__ = ()

    w = Int(0)
    h = Int(1)
    c = Int(2)
    d = Int(11)

    @property
    def least_bottoms(self) -> int:
        return 0

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        w, h, c, d = self.sizes
        return 4 if d else 3 if c else 2 if h else 1 if w else None

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Width, height, channels and depth, 0 for what is not stated."""
        return self.w, self.h, self.c, self.d

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        w, h, c, d = self.sizes
        lengths = ((w,), (h, w), (c, h, w), (c, d, h, w))
        dims = self.output_dims([None])
        return [lengths[dims - 1]] if dims else ()

    def state_shape(self, shape: Shape) -> None:
        """State the sizes of the output: 1 to 4 of them, in NumPy's order."""
        sizes = dict(zip("whdc" if len(shape) == 4 else "whc", reversed(shape), strict=False))
        for name in sorted(sizes, key="whcd".index):  # in the order of their keys
            setattr(self, name, sizes[name])


@layer_types("Input")
class Input(Sized):
    """Blobs that are filled from outside."""

    __slots__ = ()

    @property
    def least_tops(self) -> int:
        return 0

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        w, h, c, d = (max(size, 0) for size in (self.w, self.h, self.c, self.d))  # -233: not stated
        return w, h, c, d


_STORAGES: dict[int, Storage] = {0: "tagged", 1: "raw", 3: "packed", 4: "packed", 6: "packed", 8: "packed"}
"""How the elements are stored, by load type."""


@layer_types("MemoryData")
class MemoryData(Sized):
    """A constant."""

    __slots__ = ()

    load_type = Int(21, 1)

    def weights(self) -> Iterator[Expected]:
        sizes = [(self.w,), (self.w, self.h), (self.w, self.h, self.c), (self.w, self.h, self.d, self.c)]
        dims = self.output_dims([None])
        if dims is None:
            return
        if self.load_type not in _STORAGES:
            known = ", ".join(map(str, _STORAGES))
            raise ValueError(f"{MemoryData.load_type.key}={self.load_type} is no load type; ncnn has {known}")
        yield Expected("data", math.prod(sizes[dims - 1]), _STORAGES[self.load_type])
