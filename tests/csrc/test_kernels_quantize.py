"""The kernels of csrc/kernels/impl/quantize.hpp against NumPy; test_kernels_ncnn.py holds them against ncnn."""

from __future__ import annotations

import numpy as np
import pytest
from activations import ACTIVATIONS, activated
from hypothesis import given
from hypothesis import strategies as st
from kernel_data import F32, SCALES, SIZES, Floats, values
from numpy.typing import NDArray

from pyncnnq import _core


def rounded_half_away(x: Floats, scale: float) -> NDArray[np.int8]:
    """Return codes by their definition, in double precision on the float32 product (exact up to 127.5 + 0.5)."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = (x * F32(scale)).astype(np.float64)
    product = np.where(np.isnan(product), np.copysign(127.0, product), product).clip(-127, 127)
    return np.copysign(np.floor(np.abs(product) + 0.5), product).clip(-127, 127).astype(np.int8)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("scale", SCALES)
def test_quantize(kernels: _core.Kernels, size: int, scale: float) -> None:
    x = values(size)
    np.testing.assert_array_equal(kernels.quantize_f32_s8(x, scale), rounded_half_away(x, scale))


def test_quantize_every_tie_and_its_neighbours(kernels: _core.Kernels) -> None:
    ties = np.arange(-130, 130, dtype=np.float32) + F32(0.5)
    x = np.concatenate([ties, np.nextafter(ties, F32(np.inf)), np.nextafter(ties, F32(-np.inf))])
    np.testing.assert_array_equal(kernels.quantize_f32_s8(x, 1.0), rounded_half_away(x, 1.0))


ROUNDED = {
    1e-45: 0,
    0.49999997: 0,
    0.5: 1,
    1.5: 2,
    126.49999: 126,
    126.5: 127,
    127.5: 127,
    128: 127,
    1e20: 127,
    np.inf: 127,
}


@pytest.mark.parametrize(
    ("x", "q"), [*ROUNDED.items(), *((-x, -q) for x, q in ROUNDED.items()), (np.nan, 127), (-np.nan, -127)]
)
def test_quantize_by_hand(kernels: _core.Kernels, x: float, q: int) -> None:
    np.testing.assert_array_equal(kernels.quantize_f32_s8(np.full(19, x, np.float32), 1.0), np.full(19, q))


@given(
    st.lists(st.floats(width=32, allow_nan=False), max_size=70),
    st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda scale: scale != 0),
)
def test_any_floats_quantize_alike_on_all_targets(x: list[float], scale: float) -> None:
    array = np.array(x, np.float32)
    expected = rounded_half_away(array, scale)
    for target in _core.supported_targets():
        np.testing.assert_array_equal(_core.kernels(target).quantize_f32_s8(array, scale), expected)


@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_quantize_wants_a_finite_scale(kernels: _core.Kernels, scale: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        kernels.quantize_f32_s8(np.ones(3, np.float32), scale)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("bias", [0.0, -1.7])
def test_dequantize(kernels: _core.Kernels, size: int, bias: float) -> None:
    x = values(size)
    for scale in (F32(0.037), F32(-1e3)):
        for q, kernel in ((x.view(np.int8), kernels.dequantize_s8_f32), (x.view(np.int32), kernels.dequantize_s32_f32)):
            expected = q.astype(np.float32) * scale + F32(bias)
            np.testing.assert_array_equal(kernel(q, float(scale), bias), expected)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize(("number", "parameters"), ACTIVATIONS)
def test_requantize(kernels: _core.Kernels, size: int, number: int, parameters: tuple[float, float]) -> None:
    for sums in (
        np.random.default_rng(size).integers(-20_000, 20_000, size, dtype=np.int32),
        values(size).view(np.int32),
    ):
        for bias in (F32(0), F32(0.37)):
            value = activated(sums.astype(np.float32) * F32(7e-4) + bias, number, parameters)
            expected = rounded_half_away(value, 12.3)
            codes = kernels.requantize_s32_s8(sums, float(F32(7e-4)), float(F32(12.3)), float(bias), number, parameters)
            np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize(("scale", "bias"), [(-1, 0), (0, 0), (3e38, 0), (np.inf, 0), (np.nan, 0), (1, np.inf)])
def test_requantize_takes_no_other_scale(kernels: _core.Kernels, scale: float, bias: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        kernels.requantize_s32_s8(np.zeros(3, np.int32), 1, scale, bias, 0, (0, 0))


def test_requantize_takes_no_other_activation(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="0, 1, 2, 3 or 6"):
        kernels.requantize_s32_s8(np.zeros(3, np.int32), 1, 1, 0, 4, (0, 0))


def test_hard_swish_takes_no_alpha_of_zero(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="alpha"):
        kernels.requantize_s32_s8(np.zeros(3, np.int32), 1, 1, 0, 6, (0, 0.5))
