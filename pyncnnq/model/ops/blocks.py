"""Block quantization of matrices: rows of 4, 6 or 8-bit numbers, with a scale for each block of a row (ncnn's
src/layer/gemm.cpp, multiheadattention.cpp)."""

from __future__ import annotations

from typing import NamedTuple

from pyncnnq.model.ops.base import Expected, raw


class Blocks(NamedTuple):
    """A block quantization.

    Attributes:
        bits: of a number.
        size: of a block, in numbers.
        has_input_scales: whether each input has a factor of its own.
    """

    bits: int
    size: int
    has_input_scales: bool

    def packed(self, name: str, rows: int, columns: int) -> Expected:
        """Return the array of the numbers, in bytes."""
        return Expected(name, rows * ((columns * self.bits + 7) // 8), "packed")

    def scales(self, name: str, rows: int, columns: int) -> Expected:
        """Return the array of the blocks' scales."""
        return raw(name, rows * -(-columns // self.size))


def blocks_of(term: int) -> Blocks | None:
    """Return the block quantization that a quantize term asks for; None: int8 or float.

    Raises:
        ValueError: a term that ncnn does not have.
    """
    bits, form, size = term // 100, term // 10 % 10, term % 10
    if bits in (4, 6, 8) and form in (0, 1) and size in (0, 1, 2):
        return Blocks(bits, 32 << size, form == 1)
    if term in (4, 5, 6) or term >= 400:
        raise ValueError(f"18={term} is a quantization that ncnn does not have")
    return None
