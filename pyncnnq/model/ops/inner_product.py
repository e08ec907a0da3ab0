"""InnerProduct: every output takes all elements (ncnn's src/layer/innerproduct.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, layer_types
from pyncnnq.model.ops.fields import Flag, Int
from pyncnnq.model.ops.linear import Calibrated
from pyncnnq.model.ops.shape import Misfit, Shape, spell


@layer_types("InnerProduct")
class InnerProduct(Calibrated):
    """A matrix times a vector, or times each row of a matrix."""

    __slots__ = ()

    bias_term = Flag(1)
    weight_data_size = Int(2)

    flattens = True

    def weights(self) -> Iterator[Expected]:
        yield from super().weights()
        # Unlike a convolution's, its term never brings a top scale, not even above 100.
        if self.is_int8:
            yield from self.int8_scales(self.num_output)

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        # Of a matrix it is a matrix again when the rows fit, else a vector.
        return None if inputs[0] in (None, 2) else 1

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        shape = inputs[0]
        is_matrix = len(shape) == 2 and shape[1] == self.input_channels()
        return [(shape[0], self.num_output) if is_matrix else (self.num_output,)]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        shape, taken = inputs[0], self.input_channels()
        size = math.prod(shape)
        if size == taken or (len(shape) == 2 and shape[1] == taken):
            return None
        return Misfit(f"takes {taken} input channels, but finds {size} in its input ({spell(shape)})", size - taken)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return self.weight_data_size * math.prod(tops[0][:-1])
