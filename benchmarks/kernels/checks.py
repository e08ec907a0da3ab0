"""What each kernel must give, by NumPy: a figure is worth nothing if the result is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq import _core

Floats = NDArray[np.float32]


def check(kernels: _core.Kernels, kernel: str, x: Floats) -> None:
    """Compare a kernel's result on (part of) the data that it is timed on.

    Raises:
        AssertionError: they differ.
    """
    x = x[: 1 << 18]
    integers = (x * 1000).astype(np.int32)
    expected: Any
    found: Any
    match kernel:
        case "absmax_bits_f32":
            found, expected = kernels.absmax_bits_f32(x), int(np.abs(x).max().view(np.uint32))
        case "range_f32":
            found, expected = kernels.range_f32(x)[1:], (x.min(), x.max())
        case "summarize_f32":
            summary = kernels.summarize_f32(x)
            found, expected = (
                (summary["min"], summary["max"], summary["zeros"]),
                (x.min(), x.max(), np.count_nonzero(x == 0)),
            )
            np.testing.assert_allclose(summary["lane_sums"].sum(), x.sum(dtype=np.float64), rtol=1e-9, atol=1e-6)
        case "histogram":
            part = x[:65535]
            octave = max(int(np.abs(part).max().view(np.uint32)) >> 23, _core.LOWEST_OCTAVE)
            found = kernels.count_bins_u16(kernels.bin_magnitudes_f32(part, octave))
            edges = [lower_edge(index, octave) for index in range(_core.BINS + 1)]
            expected = np.histogram(np.abs(part[part != 0]).astype(np.float64), edges)[0]
        case "quantize_f32_s8":
            found, expected = kernels.quantize_f32_s8(x, 31.7), rounded(x * np.float32(31.7))
        case "dequantize_s8_f32":
            q = (integers % 251 - 125).astype(np.int8)
            found, expected = (
                kernels.dequantize_s8_f32(q, 0.03, 0.5),
                q.astype(np.float32) * np.float32(0.03) + np.float32(0.5),
            )
        case "dequantize_s32_f32":
            found, expected = (
                kernels.dequantize_s32_f32(integers, 0.03, 0.5),
                integers.astype(np.float32) * np.float32(0.03) + np.float32(0.5),
            )
        case "requantize_s32_s8":
            value = np.maximum(integers.astype(np.float32) * np.float32(1e-3) + np.float32(0.5), 0)
            found, expected = kernels.requantize_s32_s8(integers, 1e-3, 20, 0.5, 1), rounded(value * np.float32(20))
        case "quantization_errors_f32":
            scales = np.array([20, 80], np.float32)
            found = kernels.quantization_errors_f32(x, scales)
            scaled = np.abs(x) * scales[:, None]
            level = np.minimum(np.floor(scaled.astype(np.float64) + 0.5), 127).astype(np.float32)
            expected = ((scaled - level).astype(np.float64) ** 2).sum(axis=1)
            np.testing.assert_allclose(found, expected, rtol=1e-9)
            return
        case _:
            raise ValueError(f"no check for {kernel}")
    np.testing.assert_array_equal(found, expected, err_msg=f"{kernel} on {kernels.target}")


def rounded(value: Floats) -> NDArray[np.int8]:
    """Halves away from zero."""
    exact = value.astype(np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact).clip(-127, 127).astype(np.int8)


def lower_edge(index: int, octave: int) -> float:
    """Of a bin as csrc/kernels.hpp defines them."""
    own, place = divmod(index, _core.BINS_PER_OCTAVE)
    lowest = octave - 127 - _core.OCTAVES + 1
    if own == 0:
        return float(place * 2.0**lowest / _core.BINS_PER_OCTAVE)
    return float((1 + place / _core.BINS_PER_OCTAVE) * 2.0 ** (lowest + own - 1))
