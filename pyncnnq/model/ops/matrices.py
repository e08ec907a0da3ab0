"""Products of matrices (ncnn's src/layer/gemm.cpp, matmul.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyncnnq.model.ops.base import Expected, Int8Op, Op, ScaledWeight, layer_types, raw, tagged
from pyncnnq.model.ops.blocks import blocks_of
from pyncnnq.model.ops.fields import Flag, Float, Int
from pyncnnq.model.ops.shape import Misfit, Shape, spell
from pyncnnq.model.weights import Weight


@layer_types("Gemm")
class Gemm(Int8Op):
    """alpha * A * B + beta * C, of shape M x N; A is M x K.  It has no rows in a calibration table."""

    __slots__ = ()

    alpha = Float(0, 1.0)
    beta = Float(1, 1.0)
    transpose_a = Flag(2)
    transpose_b = Flag(3)
    constant_a = Flag(4)
    constant_b = Flag(5)
    constant_c = Flag(6)
    m = Int(7)
    n = Int(8)
    k = Int(9)
    broadcast_c = Int(10)
    """What C is: -1: nothing, 0: a number, 1, 2: one for each of M, 3: M x N, 4: one for each of N."""
    output_n1m = Flag(11)
    output_transpose = Flag(14)
    int8_scale_term = Int(18)

    def weights(self) -> Iterator[Expected]:
        m, n, k = self.m, self.n, self.k
        blocks = blocks_of(self.int8_scale_term)
        if blocks and (self.constant_a or not self.constant_b or self.transpose_a or not self.transpose_b):
            raise ValueError("block quantization needs a constant, transposed B (5=1 3=1) and neither for A (4=0 2=0)")
        if self.constant_a:
            yield tagged("A_data", m * k)
        if self.constant_b:
            yield blocks.packed("B_data", n, k) if blocks else tagged("B_data", n * k)
        if self.constant_c and self.broadcast_c != -1:
            counts = {0: 1, 1: m, 2: m, 3: m * n, 4: n}
            if self.broadcast_c not in counts:
                raise ValueError(f"10={self.broadcast_c} is no broadcast type; ncnn has -1 to 4")
            yield tagged("C_data", counts[self.broadcast_c])
        if blocks:
            yield blocks.scales("B_data_quantize_scales", n, k)
            if blocks.has_input_scales:
                yield raw("B_data_input_scales", k)
        else:
            yield from self.scale_arrays()

    @property
    def least_bottoms(self) -> int:
        if self.constant_a and self.constant_b:
            return 0 if self.constant_c else 1
        return 2 - self.constant_a - self.constant_b

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        is_constant = self.constant_a or self.constant_b
        depth = self.k if is_constant else bottoms[0][-2 if self.transpose_a else -1]
        return math.prod(tops[0]) * depth

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        a, b = self._operands(inputs)
        if a is None or b is None:
            return ()
        rows, columns = (b[1], a[0]) if self.output_transpose else (a[0], b[1])
        return [(rows, 1, columns) if self.output_n1m else (rows, columns)]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        a, b = self._operands(inputs)
        if a is None or b is None or a[1] == b[0]:
            return None
        return Misfit(f"multiplies {spell(a)} by {spell(b)}", (a[1] - b[0]) * (-1 if self.constant_a else 1))

    def _operands(self, inputs: Sequence[Shape]) -> tuple[Shape | None, Shape | None]:
        """Return the shapes of A and B as they are multiplied, None for a blob that is no matrix."""
        waiting = iter(inputs)
        a = (self.m, self.k) if self.constant_a else _matrix(next(waiting), transposed=self.transpose_a)
        b = (self.k, self.n) if self.constant_b else _matrix(next(waiting), transposed=self.transpose_b)
        return a, b

    def int8_weights(self) -> list[ScaledWeight]:
        """A constant A has a scale for each of its M rows, a constant B one (ncnn's tools/quantize/ncnn2int8.cpp)."""
        a = [ScaledWeight.by_rows("A_data", self.m)] if self.constant_a else []
        b = [ScaledWeight.whole("B_data")] if self.constant_b else []
        return a + b

    def straighten(self) -> None:
        """Turn constant matrices, in place, so that what shares a scale lies together: A by rows, B transposed."""
        if self.constant_a and self.transpose_a:
            self._turn("A_data", self.m)
            self.transpose_a = False
        if self.constant_b and not self.transpose_b:
            self._turn("B_data", self.n)
            self.transpose_b = True

    def _turn(self, name: str, columns: int) -> None:
        weights = self.layer.weights
        weights[name] = Weight.tagged_float32(name, weights[name].float32().reshape(self.k, columns).T)


def _matrix(shape: Shape, *, transposed: bool) -> Shape | None:
    """Return the shape of a blob as a Gemm takes it: channels of one row are rows."""
    if len(shape) == 3 and shape[1] == 1:
        shape = shape[0], shape[2]
    if len(shape) > 2:
        return None
    rows, columns = shape if len(shape) == 2 else (1, shape[0])
    return (columns, rows) if transposed else (rows, columns)


@layer_types("MatMul")
class MatMul(Op):
    """The product of two blobs; ncnn has no int8 form of it."""

    __slots__ = ()

    transpose_b = Flag(0)

    @property
    def least_bottoms(self) -> int:
        return 2

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        dims = [one for one in inputs if one is not None and one > 1]  # of vectors it depends
        return max(dims) if len(dims) == len(inputs) else None

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        a, b = self._operands(inputs)
        batch = tuple(map(max, zip(a[:-2], b[:-2], strict=True)))
        rows, columns = () if len(inputs[0]) == 1 else a[-2:-1], () if len(inputs[1]) == 1 else b[-1:]
        return [(*batch, *rows, *columns) or (1,)]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        a, b = self._operands(inputs)
        fits = a[-1] == b[-2] and all(x == y or 1 in (x, y) for x, y in zip(a[:-2], b[:-2], strict=True))
        return None if fits else Misfit(f"multiplies {spell(a)} by {spell(b)}")

    def _operands(self, inputs: Sequence[Shape]) -> tuple[Shape, Shape]:
        """Return the shapes of the matrices that are multiplied, with as many axes before them."""
        a, b = inputs[:2]
        a = (1, *a) if len(a) == 1 else a
        if len(b) == 1:
            b = (*b, 1)
        elif self.transpose_b:
            b = (*b[:-2], b[-1], b[-2])
        dims = max(len(a), len(b))
        return (1,) * (dims - len(a)) + a, (1,) * (dims - len(b)) + b

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * bottoms[0][-1]
