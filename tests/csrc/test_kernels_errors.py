"""The kernels of csrc/kernels/impl/errors.hpp and gemm.hpp against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_data import ERROR_SCALES, SIZES, Floats, moderate, some_weights, values
from numpy.typing import NDArray

from pyncnnq import _core


def errors_of(x: Floats, scale: np.float32) -> NDArray[np.float64]:
    """Return the error of each value in steps, by its definition in float32."""
    scaled = np.abs(x) * scale
    level = np.minimum(np.floor(scaled.astype(np.float64) + 0.5), 127).astype(np.float32)
    return (scaled - level).astype(np.float64)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
def test_weighted_quantization_errors(kernels: _core.Kernels, size: int) -> None:
    x = moderate(values(size))
    weights = some_weights(x)
    expected = [float((weights * errors_of(x, scale) ** 2).sum()) for scale in ERROR_SCALES]
    # The values are as exact as here; only the order of the sum is another.
    np.testing.assert_allclose(kernels.weighted_quantization_errors_f32(x, weights, ERROR_SCALES), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [*SIZES, 5000], ids="n{}".format)
def test_quantization_errors_and_dots(kernels: _core.Kernels, size: int) -> None:
    x = moderate(values(size))
    factors = np.random.default_rng(1).integers(-(2**30), 2**30, size).astype(np.float64)
    errors, dots = kernels.quantization_errors_and_dots_f32(x, factors, ERROR_SCALES)
    np.testing.assert_allclose(errors, [float((errors_of(x, scale) ** 2).sum()) for scale in ERROR_SCALES], rtol=1e-12)
    for scale, dot in zip(ERROR_SCALES, dots, strict=True):
        levels = np.minimum(np.floor((np.abs(x) * scale).astype(np.float64) + 0.5), 127).astype(np.int64)
        assert dot == int(levels @ factors.astype(np.int64))


@pytest.mark.parametrize("scale", [0, -1, np.inf, np.nan])
def test_errors_want_positive_scales(kernels: _core.Kernels, scale: float) -> None:
    scales = np.array([1, scale], np.float32)
    for errors in (kernels.weighted_quantization_errors_f32, kernels.quantization_errors_and_dots_f32):
        with pytest.raises(ValueError, match="positive and finite"):
            errors(np.ones(3, np.float32), np.ones(3), scales)


def test_errors_want_a_weight_for_each_value(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="one for each"):
        kernels.weighted_quantization_errors_f32(np.ones(3, np.float32), np.ones(2), ERROR_SCALES)
    with pytest.raises(ValueError, match="one for each"):
        kernels.quantization_errors_and_dots_f32(np.ones(3, np.float32), np.ones(2), ERROR_SCALES)


@pytest.mark.parametrize(
    ("x", "number", "scale"),
    [(np.nan, 1, 1), (np.inf, 1, 1), (1, np.nan, 1), (1, -np.inf, 1), (3e38, 1, 3e38), (300, 1e308, 1)],
)
def test_errors_are_finite_or_refused(kernels: _core.Kernels, x: float, number: float, scale: float) -> None:
    """A NaN would have another sign on another target, and no scale would be the best."""
    arguments = np.full(3, x, np.float32), np.full(3, number, np.float64), np.full(2, scale, np.float32)
    with pytest.raises(ValueError, match=r"must be finite|beyond float64"):
        kernels.weighted_quantization_errors_f32(*arguments)
    if number != 1e308:  # dots may be as large
        with pytest.raises(ValueError, match=r"must be finite|beyond float64"):
            kernels.quantization_errors_and_dots_f32(*arguments)


@pytest.mark.parametrize("k", [0, 1, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 100, 128, 200, 577])
def test_gemm(kernels: _core.Kernels, k: int) -> None:
    rng = np.random.default_rng(k)
    for m, n in ((1, 1), (3, 5), (4, 4), (8, 9), (0, 3), (3, 0), (6, 2)):
        a, b = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-128, 128, (n, k), np.int8)
        np.testing.assert_array_equal(kernels.gemm_s8_s32(a, b), a.astype(np.int32) @ b.T.astype(np.int32))


@pytest.mark.parametrize(("left", "right"), [(-128, -128), (-128, 127), (127, 127)])
def test_gemm_of_the_largest_sums(kernels: _core.Kernels, left: int, right: int) -> None:
    """131072 products of -128 * -128 are 2^31: sums are modulo 2^32, as in ncnn."""
    k = 140_001
    found = kernels.gemm_s8_s32(np.full((5, k), left, np.int8), np.full((5, k), right, np.int8))
    np.testing.assert_array_equal(found, np.full((5, 5), left * right * k, np.int64).astype(np.int32))


def test_gemm_in_blocks(kernels: _core.Kernels) -> None:
    """So many rows that they are taken in several goes."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (5000, 77), np.int8), rng.integers(-128, 128, (6, 77), np.int8)
    np.testing.assert_array_equal(kernels.gemm_s8_s32(a, b), a.astype(np.int32) @ b.T.astype(np.int32))


def test_gemm_wants_rows_of_one_length(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="must be"):
        kernels.gemm_s8_s32(np.zeros((2, 3), np.int8), np.zeros((2, 4), np.int8))
