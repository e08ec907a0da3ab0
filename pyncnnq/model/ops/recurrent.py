"""Layers over sequences: recurrent ones and the table of word vectors (ncnn's src/layer/rnn.cpp, lstm.cpp, gru.cpp,
embed.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pyncnnq.model.ops.base import Expected, Int8Op, ScaledWeight, layer_types, raw, tagged
from pyncnnq.model.ops.fields import Flag, Int
from pyncnnq.model.ops.shape import Misfit, Shape, spell

_BOTH_WAYS = 2


class Recurrent(Int8Op):
    """A layer that goes through a sequence, and reads what it wrote for the element before.

    Attributes:
        gates: the number of vectors that it computes for each element.
        biases: the number of bias vectors.
        input_biases, state_biases: for each gate, which of them is added to what the gate takes of the element, and of
            what the layer wrote before.
        tanh_gates: the gates whose activation is tanh; that of the others is a sigmoid.
    """

    __slots__ = ()

    num_output = Int(0)
    weight_data_size = Int(1)
    direction = Int(2)
    """0: forwards, 1: backwards, 2: both ways."""

    gates: ClassVar[int]
    biases: ClassVar[int]
    input_biases: ClassVar[tuple[int, ...]]
    state_biases: ClassVar[tuple[int, ...]]
    tanh_gates: ClassVar[tuple[int, ...]]

    @property
    def hidden(self) -> int:
        """The length of the vector that each gate computes."""
        return self.num_output

    @property
    def directions(self) -> int:
        return 2 if self.direction == _BOTH_WAYS else 1

    @property
    def rows(self) -> int:
        """The number of rows of both matrices, in all directions."""
        return self.hidden * self.gates * self.directions

    def goes_back(self, way: int) -> bool:
        """Return whether the layer goes from the last element to the first in a direction of it, numbered from 0."""
        return way == 1 or self.direction == 1

    @property
    def size(self) -> int:
        """The length of the elements."""
        return self.weight_data_size // self.rows

    def weights(self) -> Iterator[Expected]:
        outputs, hidden, directions, rows = self.num_output, self.hidden, self.directions, self.rows
        size = self.weight_data_size
        if rows <= 0 or size % rows:
            raise ValueError(f"1={size} weights do not divide into {rows} rows")
        yield tagged("weight_xc_data", size)
        yield tagged("bias_c_data", hidden * self.biases * directions)
        yield tagged("weight_hc_data", outputs * rows)
        if hidden != outputs:
            yield tagged("weight_hr_data", hidden * outputs * directions)
        yield from self.scale_arrays()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return [(inputs[0][0], self.num_output * self.directions)] if len(inputs[0]) == 2 else ()

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        shape, taken = inputs[0], self.size
        if len(shape) != 2 or shape[1] == taken:
            return None
        return Misfit(f"has weights for vectors of {taken} and gets those of {spell(shape)}", shape[1] - taken)

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        outputs, hidden = self.num_output, self.hidden
        projection = hidden * outputs * self.directions if hidden != outputs else 0
        return bottoms[0][0] * (self.weight_data_size + outputs * self.rows + projection)

    def scaled_weights(self) -> list[ScaledWeight]:
        return [ScaledWeight.by_rows(name, self.rows) for name in ("weight_xc_data", "weight_hc_data")]


@layer_types("RNN")
class RNN(Recurrent):
    """Without gates."""

    __slots__ = ()

    gates = 1
    biases = 1
    input_biases = state_biases = (0,)
    tanh_gates = (0,)
    table_order = 2


@layer_types("LSTM")
class LSTM(Recurrent):
    """With four gates, and a projection where the hidden size differs."""

    __slots__ = ()

    hidden_size = Int(3, "num_output")

    gates = 4
    biases = 4
    input_biases = state_biases = (0, 1, 2, 3)
    tanh_gates = (3,)
    table_order = 3

    @property
    def hidden(self) -> int:
        return self.hidden_size


@layer_types("GRU")
class GRU(Recurrent):
    """With three gates."""

    __slots__ = ()

    gates = 3
    biases = 4
    input_biases, state_biases = (0, 1, 2), (0, 1, 3)
    tanh_gates = (2,)
    new_gate: ClassVar[int] = 2
    """The gate that takes as much of what states give it as the first gate says."""
    table_order = 4


@layer_types("Embed")
class Embed(Int8Op):
    """The vector of each word."""

    __slots__ = ()

    num_output = Int(0)
    bias_term = Flag(2)
    weight_data_size = Int(3)
    int8_scale_term = Int(18)

    table_order = 0

    def weights(self) -> Iterator[Expected]:
        yield tagged("weight_data", self.weight_data_size)
        if self.bias_term:
            yield raw("bias_data", self.num_output)
        yield from self.scale_arrays()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return [(math.prod(inputs[0]), self.num_output)]

    def scaled_weights(self) -> list[ScaledWeight]:
        return [ScaledWeight.whole("weight_data")]
