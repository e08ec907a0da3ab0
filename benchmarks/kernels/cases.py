"""The kernels that run over one array: what they read and write, what they must give, and the same in NumPy.

A figure of a wrong result is worth nothing, so `check` compares every target with NumPy before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq import _core

Floats = NDArray[np.float32]
Work = Callable[[], object]
F32 = np.float32

SCALES = np.array([20, 25, 30, 40, 50, 60, 70, 80], np.float32)
"""The candidates of the kernels that try many scales, as in timer.cpp."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kernel.

    Attributes:
        read: bytes of an element.
        written: bytes of an element.
        check: raises AssertionError if the result for (part of) the data differs from NumPy's.
        numpy: makes the NumPy code for the data, given buffers where NumPy takes them.
    """

    read: int
    written: int
    check: Callable[[_core.Kernels, Floats], None]
    numpy: Callable[[Floats], Work] | None = None


def _summarize(kernels: _core.Kernels, x: Floats) -> None:
    summary = kernels.summarize_f32(x)
    assert (summary["min"], summary["max"], summary["zeros"]) == (x.min(), x.max(), np.count_nonzero(x == 0))
    np.testing.assert_allclose(summary["lane_sums"].sum(), x.sum(dtype=np.float64), rtol=1e-9, atol=1e-6)


def _absmax(kernels: _core.Kernels, x: Floats) -> None:
    assert kernels.absmax_bits_f32(x) == int(np.abs(x).max().view(np.uint32))


def _bins(kernels: _core.Kernels, x: Floats) -> None:
    octave = max(int(np.abs(x).max().view(np.uint32)) >> 23, _core.LOWEST_OCTAVE)
    edges = [_lower_edge(index, octave) for index in range(_core.BINS + 1)]
    magnitudes = np.abs(x[x != 0]).astype(np.float64)
    np.testing.assert_array_equal(
        kernels.bin_magnitudes_f32(x, octave), np.searchsorted(edges, magnitudes, "right") - 1
    )


def _counts(kernels: _core.Kernels, x: Floats) -> None:
    bins = x[:65535].view(np.uint32).astype(np.uint16) % np.uint16(_core.BINS)
    np.testing.assert_array_equal(kernels.count_bins_u16(bins), np.bincount(bins, minlength=_core.BINS))


def _histogram(kernels: _core.Kernels, x: Floats) -> None:
    _bins(kernels, x)
    _counts(kernels, x)


def _lower_edge(index: int, octave: int) -> float:
    """Return the edge of a bin by its definition in csrc/kernels/kernels.hpp."""
    own, place = divmod(index, _core.BINS_PER_OCTAVE)
    lowest = octave - 127 - _core.OCTAVES + 1
    if own == 0:
        return float(place * 2.0**lowest / _core.BINS_PER_OCTAVE)
    return float((1 + place / _core.BINS_PER_OCTAVE) * 2.0 ** (lowest + own - 1))


def _rounded(values: Floats) -> NDArray[np.int8]:
    """Round halves away from zero, to at most 127."""
    exact = values.astype(np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact).clip(-127, 127).astype(np.int8)


def _integers(x: Floats) -> NDArray[np.int32]:
    return (x * 1000).astype(np.int32)


def _quantize(kernels: _core.Kernels, x: Floats) -> None:
    np.testing.assert_array_equal(kernels.quantize_f32_s8(x, 31.7), _rounded(x * F32(31.7)))


def _dequantize_s8(kernels: _core.Kernels, x: Floats) -> None:
    q = (_integers(x) % 251 - 125).astype(np.int8)
    np.testing.assert_array_equal(kernels.dequantize_s8_f32(q, 0.03, 0.5), q.astype(np.float32) * F32(0.03) + F32(0.5))


def _dequantize_s32(kernels: _core.Kernels, x: Floats) -> None:
    q = _integers(x)
    np.testing.assert_array_equal(kernels.dequantize_s32_f32(q, 0.03, 0.5), q.astype(np.float32) * F32(0.03) + F32(0.5))


def _requantize(kernels: _core.Kernels, x: Floats) -> None:
    sums = _integers(x)
    codes = kernels.requantize_s32_s8(sums, 1e-3, 20, 0.5, 1, (0, 0))
    np.testing.assert_array_equal(
        codes, _rounded(np.maximum(sums.astype(np.float32) * F32(1e-3) + F32(0.5), 0) * F32(20))
    )


def _scaled_and_levels(x: Floats) -> tuple[Floats, Floats]:
    """Return |x| in steps of each scale and its level, shapes (scales, elements)."""
    scaled = np.abs(x) * SCALES[:, None]
    return scaled, np.minimum(np.floor(scaled.astype(np.float64) + 0.5), 127).astype(np.float32)


def _weighted_errors(kernels: _core.Kernels, x: Floats) -> None:
    weights = np.arange(x.size) % 7 + 0.5
    scaled, levels = _scaled_and_levels(x)
    expected = ((scaled - levels).astype(np.float64) ** 2) @ weights
    # The order of the sums differs.
    np.testing.assert_allclose(kernels.weighted_quantization_errors_f32(x, weights, SCALES), expected, rtol=1e-9)


def _errors_and_dots(kernels: _core.Kernels, x: Floats) -> None:
    factors = np.arange(x.size) % 1001 - 500.0
    scaled, levels = _scaled_and_levels(x)
    errors, dots = kernels.quantization_errors_and_dots_f32(x, factors, SCALES)
    np.testing.assert_allclose(errors, ((scaled - levels).astype(np.float64) ** 2).sum(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(dots, levels.astype(np.int64) @ factors.astype(np.int64))


def _stored(products: Callable[[], Floats], size: int) -> Work:
    """Round products, which may be overwritten, to int8."""
    q = np.empty(size, np.int8)

    def work() -> None:
        values = products()
        np.rint(values, out=values)
        np.clip(values, -127, 127, out=values)
        q[:] = values

    return work


def _numpy_quantize(x: Floats) -> Work:
    buffer = np.empty_like(x)
    return _stored(lambda: np.multiply(x, F32(31.7), out=buffer), x.size)


def _numpy_absmax(x: Floats) -> Work:
    buffer = np.empty_like(x)
    return lambda: np.abs(x, out=buffer).max()


def _numpy_histogram(x: Floats) -> Work:
    magnitudes = np.abs(x)
    top = float(magnitudes.max())
    return lambda: np.histogram(magnitudes, 2048, (0, top))


def _numpy_dequantize(x: Floats) -> Work:
    sums, buffer = x.view(np.int32), np.empty_like(x)
    return lambda: np.add(np.multiply(sums, F32(0.03), out=buffer), F32(0.5), out=buffer)


def _numpy_requantize(x: Floats) -> Work:
    sums, buffer = x.view(np.int32), np.empty_like(x)
    return _stored(lambda: np.maximum(np.multiply(sums, F32(1e-8), out=buffer) + F32(0.5), 0) * 20, x.size)


def _numpy_errors(x: Floats) -> Work:
    magnitudes, weights = np.abs(x), np.ones(x.size)
    scaled, levels = np.empty_like(x), np.empty_like(x)

    def work() -> None:
        for scale in SCALES:
            np.multiply(magnitudes, scale, out=scaled)
            np.minimum(np.rint(scaled, out=levels), F32(127), out=levels)
            np.square(np.subtract(scaled, levels, out=scaled), out=scaled)
            np.dot(scaled, weights)

    return work


CASES: dict[str, Case] = {
    "summarize_f32": Case(read=4, written=0, check=_summarize),
    "absmax_bits_f32": Case(read=4, written=0, check=_absmax, numpy=_numpy_absmax),
    "bin_magnitudes_f32": Case(read=4, written=2, check=_bins),
    "count_bins_u16": Case(read=2, written=0, check=_counts),
    "histogram": Case(read=4, written=0, check=_histogram, numpy=_numpy_histogram),
    "quantize_f32_s8": Case(read=4, written=1, check=_quantize, numpy=_numpy_quantize),
    "dequantize_s8_f32": Case(read=1, written=4, check=_dequantize_s8),
    "dequantize_s32_f32": Case(read=4, written=4, check=_dequantize_s32, numpy=_numpy_dequantize),
    "requantize_s32_s8": Case(read=4, written=1, check=_requantize, numpy=_numpy_requantize),
    "weighted_quantization_errors_f32": Case(read=12, written=0, check=_weighted_errors, numpy=_numpy_errors),
    "quantization_errors_and_dots_f32": Case(read=12, written=0, check=_errors_and_dots, numpy=_numpy_errors),
}
"""All but "histogram" are kernels; it is bin_magnitudes_f32 and count_bins_u16 as calibration runs them."""
