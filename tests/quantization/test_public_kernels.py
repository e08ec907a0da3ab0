"""The public int8 functions against NumPy and stock ncnn's layers, for arrays of any shape and layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from activations import ACTIVATIONS, activated
from int8_layers import far_from_ties, run_layer
from numpy.typing import NDArray

from pyncnnq.quantization.kernels import (
    Activation,
    dequantize_s8_f32,
    dequantize_s32_f32,
    quantize_f32_s8,
    requantize_s32_s8,
)

F32 = np.float32
SHAPES = [(), (0,), (7,), (3, 0, 2), (5, 63), (2, 3, 5, 7)]
NAMES: dict[int, tuple[Activation, int]] = {
    0: ("none", 0),
    1: ("relu", 0),
    2: ("leaky relu", 1),
    3: ("clip", 2),
    6: ("hard swish", 2),
}
"""By ncnn's number: the name of an activation, and how many parameters it takes."""


def rounded(x: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return int8 of scaled values: halves away from zero, at most 127."""
    exact = x.astype(np.float64)
    return np.copysign(np.floor(np.abs(exact) + 0.5), exact).clip(-127, 127).astype(np.int8)


def layouts(x: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the array in C order, in Fortran's, as every other element of a larger array, and at an odd address."""
    spread = np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x
    odd = np.frombuffer(np.empty(x.nbytes + 1, np.int8)[1:], x.dtype)[: x.size].reshape(x.shape)
    odd[...] = x
    return [x, x.copy(order="F"), spread, odd]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_quantize(shape: tuple[int, ...]) -> None:
    x = np.asarray(np.random.default_rng(0).normal(0, 3, shape), np.float32)
    for same in layouts(x):
        codes = quantize_f32_s8(same, scale=31.7)
        assert (codes.shape, codes.dtype) == (shape, np.int8)
        np.testing.assert_array_equal(codes, rounded(x * F32(31.7)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bias", [{}, {"bias": -1.5}], ids=["no bias", "bias"])
def test_dequantize(shape: tuple[int, ...], bias: dict[str, float]) -> None:
    sums = np.asarray(np.random.default_rng(0).integers(-(2**31), 2**31, shape), np.int32)
    for q, dequantize in ((sums.astype(np.int8), dequantize_s8_f32), (sums, dequantize_s32_f32)):
        for same in layouts(q):
            values = dequantize(same, scale=0.037, **bias)
            assert (values.shape, values.dtype) == (shape, np.float32)
            np.testing.assert_array_equal(values, q.astype(np.float32) * F32(0.037) + F32(bias.get("bias", 0)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("number", "parameters"), ACTIVATIONS)
def test_requantize(shape: tuple[int, ...], number: int, parameters: tuple[float, float]) -> None:
    sums = np.asarray(np.random.default_rng(0).integers(-100_000, 100_000, shape), np.int32)
    name, count = NAMES[number]
    expected = rounded(activated(sums.astype(np.float32) * F32(7e-5) + F32(0.3), number, parameters) * F32(12.3))
    for same in layouts(sums):
        codes = requantize_s32_s8(
            same, scale_in=7e-5, scale_out=12.3, bias=0.3, activation=name, parameters=parameters[:count]
        )
        assert (codes.shape, codes.dtype) == (shape, np.int8)
        np.testing.assert_array_equal(codes, expected)


def test_a_sum_goes_through_ncnns_layers_and_ours_alike(tmp_path: Path) -> None:
    """Requantize and Dequantize of the same sums, then Quantize of that: three layers of ncnn, three functions."""
    sums = np.random.default_rng(0).integers(-100_000, 100_000, (4, 9, 9), dtype=np.int32)
    scale, bias, scale_out = float(F32(3e-5)), float(F32(0.25)), float(F32(40))
    weights = [np.array([number], np.float32) for number in (scale, scale_out, bias)]
    theirs = run_layer(tmp_path, "Requantize", "0=1 1=1 2=1 3=1", weights, sums, packing=False)
    ours = requantize_s32_s8(sums, scale_in=scale, scale_out=scale_out, bias=bias, activation="relu")
    sure = far_from_ties((sums * np.float64(scale) + bias) * scale_out, 2e-4)
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(ours[sure], theirs[sure])

    values = dequantize_s32_f32(sums, scale=scale)
    np.testing.assert_array_equal(values, run_layer(tmp_path, "Dequantize", "0=1", weights[:1], sums, packing=False))

    theirs = run_layer(tmp_path, "Quantize", "0=1", [weights[1]], values, packing=False)
    sure = far_from_ties(values.astype(np.float64) * scale_out, 1e-4)
    np.testing.assert_array_equal(quantize_f32_s8(values, scale=scale_out)[sure], theirs[sure])


Call = Callable[[], object]
SUMS = np.zeros(3, np.int32)


def requantize(**changes: Any) -> Call:
    return lambda: requantize_s32_s8(SUMS, **{"scale_in": 1.0, "scale_out": 1.0, **changes})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize_f32_s8(np.ones(3, np.float32), scale=np.inf), "scale must be finite .* inf"),
        (lambda: quantize_f32_s8(np.ones(3, np.float32), scale=1e300), r"scale must be finite .* 1e\+300"),
        (lambda: quantize_f32_s8(np.ones(3, np.float32), scale=10**400), "scale must be finite"),
        (lambda: dequantize_s32_f32(SUMS, scale=np.nan), "scale must be finite .* nan"),
        (lambda: dequantize_s8_f32(SUMS.astype(np.int8), scale=1, bias=np.inf), "bias must be finite"),
        (requantize(scale_in=np.nan), "scale_in must be finite"),
        (requantize(scale_out=0), "scale_out must be positive .* found 0"),
        (requantize(scale_out=3e38), r"at most 2\^126, found 3e\+38"),
        (requantize(bias=np.nan), "bias must be finite"),
        (requantize(activation="gelu"), "must be one of 'none', 'relu', .* found 'gelu'"),
        (requantize(activation="clip", parameters=(1,)), "'clip' takes 2 parameters .* found 1"),
        (requantize(activation="clip", parameters=(0, np.inf)), "largest must be finite"),
        (requantize(activation="relu", parameters=(0, 6)), "takes 0 parameters"),
        (requantize(activation="hard swish", parameters=(0, 1)), "alpha .* must not be 0"),
    ],
)
def test_numbers_are_checked(call: Call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "wrong", [np.ones(3), np.ones(3, ">f4"), [1.0], None], ids=["float64", "big-endian", "list", "None"]
)
def test_types_are_checked(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be an array of float32, found"):
        quantize_f32_s8(wrong, scale=1)
    for function in (dequantize_s8_f32, dequantize_s32_f32):
        with pytest.raises(TypeError, match=r"q must be an array of int(8|32), found"):
            function(wrong, scale=1)
