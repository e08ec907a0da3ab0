"""Every kernel of csrc/kernels.def: the scalar one against NumPy, every other target against the scalar one, bit for
bit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from activations import ACTIVATIONS, activated
from conftest import REPOSITORY, TARGETS
from hypothesis import given
from hypothesis import strategies as st
from kl_definition import EPSILON, spread_over_levels
from numpy.typing import NDArray

from pyncnnq import _core

Floats = NDArray[np.float32]
F32 = np.float32

# Around each vector width, the block of 16 lanes, and the stretches of 1024 and 4096 that the code walks in.
SIZES = (
    0,
    1,
    3,
    4,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    47,
    63,
    65,
    100,
    1023,
    1024,
    1025,
    1039,
    4095,
    4096,
    4097,
    4113,
    9001,
)

SMALL = [0.0, -0.0, 1e-45, -1e-45, 1.17549435e-38, -1.17549421e-38]
TIES = [
    0.5,
    -0.5,
    np.nextafter(F32(0.5), F32(0)),
    1.5,
    -2.5,
    126.5,
    -126.5,
    127.5,
    -127.5,
    np.nextafter(F32(127.5), F32(0)),
]
LARGE = [128.0, -129.0, 1e20, -1e20, 3.4e38, -3.4e38, 8388607.5, 2**31]
SPECIAL = np.array([*SMALL, *TIES, 1.0, -1.0, *LARGE], np.float32)
NOT_FINITE = np.array([np.inf, -np.inf, np.nan, -np.nan], np.float32)
SCALES = (1.0, 127 / 3.7, 1e-3, 1e30, 3e38, -2.0)
ERROR_SCALES = np.array([0.5, 30, 127, 1e4], np.float32)
OCTAVES = (254, 135, 127, 100, _core.LOWEST_OCTAVE)
"""Bins end at the end of such an octave, named by the exponent field of its floats."""

KERNELS: dict[str, Callable[[_core.Kernels, Floats], list[Any]]] = {
    "summarize_f32": lambda kernels, x: list(kernels.summarize_f32(x).values()),
    "absmax_bits_f32": lambda kernels, x: [kernels.absmax_bits_f32(x)],
    "range_f32": lambda kernels, x: list(kernels.range_f32(x)),
    "bin_magnitudes_f32": lambda kernels, x: [
        kernels.bin_magnitudes_f32(below(x, octave), octave) for octave in OCTAVES
    ],
    "count_bins_u16": lambda kernels, x: [kernels.count_bins_u16(some_bins(x))],
    "quantize_f32_s8": lambda kernels, x: [kernels.quantize_f32_s8(x, scale) for scale in SCALES],
    "dequantize_s8_f32": lambda kernels, x: [
        kernels.dequantize_s8_f32(x.view(np.int8), scale, 0.3) for scale in SCALES
    ],
    "dequantize_s32_f32": lambda kernels, x: [
        kernels.dequantize_s32_f32(x.view(np.int32), scale, 0.3) for scale in SCALES
    ],
    "requantize_s32_s8": lambda kernels, x: [
        kernels.requantize_s32_s8(x.view(np.int32) >> shift, 1e-3, 13, 0.7, number, parameters)
        for number, parameters in ACTIVATIONS
        for shift in (0, 15)
    ],
    "quantization_errors_f32": lambda kernels, x: [kernels.quantization_errors_f32(moderate(x), ERROR_SCALES)],
    "weighted_quantization_errors_f32": lambda kernels, x: [
        kernels.quantization_errors_f32(moderate(x), ERROR_SCALES, some_weights(x))
    ],
    "quantization_errors_and_dots_f32": lambda kernels, x: list(
        kernels.quantization_errors_and_dots_f32(moderate(x), np.rint(some_weights(x)), ERROR_SCALES)
    ),
    "kl_cross_entropies": lambda kernels, x: [
        kernels.kl_cross_entropies(some_mass(x), 64, levels) for levels in (16, 64)
    ],
    "gemm_s8_s32": lambda kernels, x: [
        kernels.gemm_s8_s32(*some_matrices(x, m, n)) for m, n in ((1, 1), (2, 3), (5, 4), (9, 6))
    ],
}


def values(size: int, seed: int = 0) -> Floats:
    """Random values of many magnitudes, a third of them zero or special; at an odd address."""
    rng = np.random.default_rng([size, seed])
    x = (rng.standard_normal(size) * 10.0 ** rng.uniform(-6, 4, size)).astype(np.float32)
    x[rng.random(size) < 0.2] = 0
    where = rng.random(size) < 0.15
    x[where] = rng.choice(SPECIAL, int(where.sum()))
    return unaligned(x)


def unaligned(x: Floats, offset: int = 1) -> Floats:
    """The same values, `offset` floats behind an address that every vector width is aligned to."""
    room = np.empty(x.size + 16 + offset, np.float32)
    start = (-room.ctypes.data % 64) // 4 + offset
    view = room[start : start + x.size]
    view[:] = x
    assert x.size == 0 or view.ctypes.data % 64 == 4 * offset
    return view


def below(x: Floats, octave: int) -> Floats:
    """The values with zeros for those beyond the end of the octave."""
    return unaligned(np.where(magnitude_bits(x) >> 23 <= octave, x, F32(0)))


def some_bins(x: Floats) -> NDArray[np.uint16]:
    """As many bins as there are bytes of x, most of them in stretches of the same."""
    bins = x.view(np.uint16) % np.uint16(_core.BINS)
    bins[5 : bins.size // 2] = bins[:1]
    return bins


def moderate(x: Floats) -> Floats:
    """The values without those whose errors would overflow."""
    return unaligned(np.clip(x, -1e6, 1e6))


def some_weights(x: Floats) -> NDArray[np.float64]:
    return np.arange(x.size) % 7 + 0.3


def some_mass(x: Floats) -> NDArray[np.int32]:
    """A cumulative distribution over 200 bins, with bins that are empty."""
    weights = np.resize(np.append(np.log1p(np.abs(moderate(x)).astype(np.float64)), 1.0), 200) * (
        np.arange(200) % 3 != 0
    )
    return np.round(np.append(0, weights.cumsum() / weights.sum()) * _core.MASS_UNITS).astype(np.int32)


def some_matrices(x: Floats, m: int, n: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """(m, k) and (n, k) bytes, k up to 300 by the size of x."""
    k = min(x.size, 300)
    data = np.resize(np.append(x.view(np.int8), np.int8([-128, 127, -127])), (m + n) * k)
    return data[: m * k].reshape(m, k), data[m * k :].reshape(n, k)


def bits(results: list[Any]) -> list[bytes]:
    """Results as bytes: NaN equals NaN, and -0 is not +0."""
    return [np.asarray(result).tobytes() for result in results]


def magnitude_bits(x: Floats) -> NDArray[np.uint32]:
    return x.view(np.uint32) & np.uint32(0x7FFFFFFF)


def test_every_kernel_is_in_this_file() -> None:
    source = (REPOSITORY / "csrc" / "kernels.def").read_text()
    names = re.findall(r"^PYNCNNQ_KERNEL\(\w+, (\w+),", source, re.MULTILINE)
    assert names, "csrc/kernels.def lists no kernel"
    assert sorted(names) == sorted(KERNELS)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("kernel", KERNELS)
def test_target_gives_the_bits_of_scalar(kernels: _core.Kernels, kernel: str, size: int) -> None:
    x = values(size)
    assert bits(KERNELS[kernel](kernels, x)) == bits(KERNELS[kernel](_core.kernels("scalar"), x))


@pytest.mark.parametrize("kernel", KERNELS)
def test_target_at_every_misalignment(kernels: _core.Kernels, kernel: str) -> None:
    x = values(77)
    expected = bits(KERNELS[kernel](_core.kernels("scalar"), x))
    for offset in range(16):
        assert bits(KERNELS[kernel](kernels, unaligned(x, offset))) == expected, offset


@pytest.mark.parametrize("kernel", ["absmax_bits_f32", "range_f32", "quantize_f32_s8"])
def test_target_with_infinities_and_nans(kernels: _core.Kernels, kernel: str) -> None:
    for size in (1, 4, 16, 33, 50):
        for seed in range(8):
            x = values(size, seed)
            x[np.random.default_rng(seed).integers(size, size=3)] = NOT_FINITE[
                np.random.default_rng(seed).integers(4, size=3)
            ]
            assert bits(KERNELS[kernel](kernels, x)) == bits(KERNELS[kernel](_core.kernels("scalar"), x))


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
def test_summary(kernels: _core.Kernels, size: int) -> None:
    x = values(size)
    summary = kernels.summarize_f32(x)
    assert summary["min"] == (x.min() if size else np.inf)
    assert summary["max"] == (x.max() if size else -np.inf)
    assert summary["zeros"] == np.count_nonzero(x == 0)
    for lane in range(_core.LANES):
        assert summary["lane_absmax_bits"][lane] == magnitude_bits(x[lane :: _core.LANES]).max(initial=0)
        # cumsum adds one by one in order; sum would pair.
        steps = np.cumsum(x[lane :: _core.LANES].astype(np.float64))
        assert summary["lane_sums"][lane] == (steps[-1] if steps.size else 0.0)


@pytest.mark.parametrize("size", [1, 8, 17, 40])
def test_smallest_and_largest_zero_is_plus_zero(kernels: _core.Kernels, size: int) -> None:
    summary = kernels.summarize_f32(np.full(size, -0.0, np.float32))
    assert not np.signbit([summary["min"], summary["max"]]).any()
    assert summary["zeros"] == size


@pytest.mark.parametrize("bad", NOT_FINITE, ids=["inf", "-inf", "nan", "-nan"])
def test_absmax_shows_what_is_not_finite(kernels: _core.Kernels, bad: np.float32) -> None:
    for size in (1, 4, 16, 17, 48, 61):
        for place in {0, size // 2, size - 1}:
            x = np.ones(size, np.float32)
            x[place] = bad
            assert kernels.absmax_bits_f32(x) >= 0x7F800000
            assert kernels.summarize_f32(x)["lane_absmax_bits"][place % _core.LANES] >= 0x7F800000


def bins_of(x: Floats, octave: int) -> NDArray[np.int64]:
    """The definition of the bins in csrc/kernels.hpp, in float64 (in which all of this is exact)."""
    magnitudes = np.abs(x[x != 0]).astype(np.float64)
    lowest = octave - 127 - _core.OCTAVES + 1  # the exponent of the lowest octave with bins of its own
    exponents = np.frexp(magnitudes)[1] - 1
    equal = np.floor(magnitudes * 2.0**-lowest * _core.BINS_PER_OCTAVE)
    own = (exponents - lowest + 1) * _core.BINS_PER_OCTAVE + np.floor(
        (magnitudes * 2.0**-exponents - 1) * _core.BINS_PER_OCTAVE
    )
    return np.where(exponents < lowest, equal, own).astype(np.int64)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("octave", OCTAVES, ids="octave{}".format)
def test_bins(kernels: _core.Kernels, size: int, octave: int) -> None:
    x = below(values(size), octave)
    np.testing.assert_array_equal(kernels.bin_magnitudes_f32(x, octave), bins_of(x, octave))


@pytest.mark.parametrize("size", [1, 16, 40])
def test_bins_at_their_edges(kernels: _core.Kernels, size: int) -> None:
    octave = 127
    lowest = F32(2.0 ** (1 - _core.OCTAVES))
    edges = np.array([lowest, lowest / _core.BINS_PER_OCTAVE, 1, 1 + 1 / _core.BINS_PER_OCTAVE, 2], np.float32)
    for edge in edges:
        for value in (edge, np.nextafter(edge, F32(0)), np.nextafter(edge, F32(9))):
            if value < 2:
                x = np.full(size, value, np.float32)
                np.testing.assert_array_equal(kernels.bin_magnitudes_f32(x, octave), bins_of(x, octave))


def test_a_single_value_among_zeros(kernels: _core.Kernels) -> None:
    """After ReLU most are zero: whole vectors of them, and single values in every lane."""
    for lane in range(16):
        x = np.zeros(48, np.float32)
        x[16 + lane] = -1.5
        np.testing.assert_array_equal(kernels.bin_magnitudes_f32(x, 127), bins_of(x, 127))


@pytest.mark.parametrize(
    ("x", "octave"), [(2.0, 127), (np.inf, 254), (np.nan, 254), (1e-40, _core.LOWEST_OCTAVE - 1), (1.0, 255)]
)
def test_binning_refuses_what_has_no_bin(kernels: _core.Kernels, x: float, octave: int) -> None:
    with pytest.raises(ValueError, match="octave"):
        kernels.bin_magnitudes_f32(np.array([x], np.float32), octave)


def rounded_half_away(x: Floats, scale: float) -> NDArray[np.int8]:
    """The definition, in double precision on the float32 product (in which adding 0.5 is exact up to 127.5)."""
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


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
def test_range(kernels: _core.Kernels, size: int) -> None:
    x = values(size)
    absmax_bits, least, most = kernels.range_f32(x)
    assert absmax_bits == kernels.absmax_bits_f32(x)
    assert (least, most) == ((x.min(), x.max()) if size else (np.inf, -np.inf))
    assert not np.signbit(kernels.range_f32(np.full(size + 1, -0.0, np.float32))[1:]).any()


@pytest.mark.parametrize("size", [1, 16, 64, 150])
def test_range_with_what_is_not_finite(kernels: _core.Kernels, size: int) -> None:
    for place in {0, size // 2, size - 1}:
        x = np.linspace(-3, 2, size, dtype=np.float32)
        x[place] = np.nan
        assert kernels.range_f32(x)[0] > 0x7F800000
        assert np.isnan(kernels.range_f32(x)[1:]).all()
        x[place] = -np.inf
        assert kernels.range_f32(x) == (0x7F800000, -np.inf, x.max())


@pytest.mark.parametrize("make", ["spread", "one", "two by turns", "stretches", "mostly one"])
def test_counts(kernels: _core.Kernels, make: str) -> None:
    """65535, the most that are allowed, may all fall into one bin."""
    places = np.arange(65535)
    rng = np.random.default_rng(0)
    bins = {
        "spread": rng.integers(_core.BINS, size=65535),
        "one": np.full(65535, _core.BINS - 1),
        "two by turns": places % 2 * 7,
        "stretches": places // 50 % _core.BINS,
        "mostly one": np.where(rng.random(65535) < 0.9, 77, rng.integers(_core.BINS, size=65535)),
    }[make].astype(np.uint16)
    for part in (bins, bins[:100], bins[:15], bins[:0]):
        np.testing.assert_array_equal(kernels.count_bins_u16(part), np.bincount(part, minlength=_core.BINS))


@pytest.mark.parametrize(
    "bins", [np.zeros(65536, np.uint16), np.array([_core.BINS], np.uint16)], ids=["many", "beyond"]
)
def test_counting_refuses_what_would_overflow(kernels: _core.Kernels, bins: NDArray[np.uint16]) -> None:
    with pytest.raises(ValueError, match=r"at once|beyond"):
        kernels.count_bins_u16(bins)


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
            found = kernels.requantize_s32_s8(sums, float(F32(7e-4)), float(F32(12.3)), float(bias), number, parameters)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("scale", "bias"), [(-1, 0), (0, 0), (3e38, 0), (np.inf, 0), (np.nan, 0), (1, np.inf)])
def test_requantize_takes_no_other_scale(kernels: _core.Kernels, scale: float, bias: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        kernels.requantize_s32_s8(np.zeros(3, np.int32), 1, scale, bias)


def test_requantize_takes_no_other_activation(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="0, 1, 2, 3 or 6"):
        kernels.requantize_s32_s8(np.zeros(3, np.int32), 1, 1, 0, 4)


def errors_of(x: Floats, scale: np.float32) -> NDArray[np.float64]:
    """Of each value, in steps: the definition, in float32."""
    scaled = np.abs(x) * scale
    level = np.minimum(np.floor(scaled.astype(np.float64) + 0.5), 127).astype(np.float32)
    return (scaled - level).astype(np.float64)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
def test_quantization_errors(kernels: _core.Kernels, size: int) -> None:
    x = moderate(values(size))
    weights = some_weights(x)
    expected = [float((errors_of(x, scale) ** 2).sum()) for scale in ERROR_SCALES]
    weighted = [float((weights * errors_of(x, scale) ** 2).sum()) for scale in ERROR_SCALES]
    # The values are as exact as here; only the order of the sum is another.
    np.testing.assert_allclose(kernels.quantization_errors_f32(x, ERROR_SCALES), expected, rtol=1e-12)
    np.testing.assert_allclose(kernels.quantization_errors_f32(x, ERROR_SCALES, weights), weighted, rtol=1e-12)


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
    for errors in (
        kernels.quantization_errors_f32,
        lambda x, s: kernels.quantization_errors_and_dots_f32(x, np.ones(3), s),
    ):
        with pytest.raises(ValueError, match="positive and finite"):
            errors(np.ones(3, np.float32), scales)


@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_quantize_wants_a_finite_scale(kernels: _core.Kernels, scale: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        kernels.quantize_f32_s8(np.ones(3, np.float32), scale)


def test_errors_want_a_weight_for_each_value(kernels: _core.Kernels) -> None:
    with pytest.raises(ValueError, match="one for each"):
        kernels.quantization_errors_f32(np.ones(3, np.float32), ERROR_SCALES, np.ones(2))
    with pytest.raises(ValueError, match="one for each"):
        kernels.quantization_errors_and_dots_f32(np.ones(3, np.float32), np.ones(2), ERROR_SCALES)


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


@pytest.mark.parametrize("levels", [16, 32, 128])
@pytest.mark.parametrize("threshold", [1, 2.3, 3])
def test_kl_cross_entropies(kernels: _core.Kernels, levels: int, threshold: float) -> None:
    """Against the definition: q is p spread evenly over each level, epsilon is added to both."""
    first = int(levels * threshold)
    histogram = np.random.default_rng(levels).exponential(1, first + 40) * (np.arange(first + 40) % 5 != 0)
    p = histogram / histogram.sum()
    mass = np.round(np.append(0, p.cumsum()) * _core.MASS_UNITS).astype(np.int32)
    found = kernels.kl_cross_entropies(mass, first, levels)
    for i in range(_core.LANES):
        quantized = spread_over_levels(p, first + i, levels)
        expected = ((p[: first + i] + EPSILON) * np.log(quantized + EPSILON)).sum()
        assert found[i] == pytest.approx(expected, abs=1.5e-6)


@pytest.mark.parametrize("kind", ["decaying", "one bin", "spikes", "even"])
def test_kl_cross_entropies_at_full_size(kernels: _core.Kernels, kind: str) -> None:
    """Far more exact than the search takes for granted."""
    rng = np.random.default_rng(0)
    places = np.arange(2048)
    histogram = {
        "decaying": np.exp(-places / 150.0) * rng.uniform(0.5, 1.5, 2048),
        "one bin": (places == 1000) + 1e-7,
        "spikes": (rng.random(2048) < 0.01) * rng.exponential(1, 2048) + (places == 0) * 3,
        "even": np.ones(2048),
    }[kind]
    p = histogram / histogram.sum()
    mass = np.round(np.append(0, p.cumsum()) * _core.MASS_UNITS).astype(np.int32)
    for first in (128, 200, 777, 1500, 2032):
        found = kernels.kl_cross_entropies(mass, first, 128)
        for i in range(0, _core.LANES, 5):
            if first + i < 2048:
                quantized = spread_over_levels(p, first + i, 128)
                expected = ((p[: first + i] + EPSILON) * np.log(quantized + EPSILON)).sum()
                assert found[i] == pytest.approx(expected, abs=1.5e-6)


def test_what_the_kl_search_takes_for_granted() -> None:
    assert 5 * 1.5e-6 < _core.KL_ERROR < 2e-5


@pytest.mark.parametrize(("threshold", "levels"), [(15, 16), (85, 16), (64, 8), (64, 17), (600, 512), (2**64 - 16, 16)])
def test_kl_cross_entropies_refuse_what_is_out_of_range(kernels: _core.Kernels, threshold: int, levels: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        kernels.kl_cross_entropies(np.zeros(101, np.int32), threshold, levels)


@pytest.mark.parametrize("mass", [np.arange(100)[::-1], np.arange(100) - 1])
def test_kl_cross_entropies_refuse_what_is_not_cumulative(kernels: _core.Kernels, mass: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="cumulative"):
        kernels.kl_cross_entropies(mass.astype(np.int32), 32, 16)


def test_targets_stand_best_first() -> None:
    assert _core.supported_targets() == [name for name in TARGETS if name in _core.supported_targets()]


def test_a_mutable_view_is_not_written(kernels: _core.Kernels) -> None:
    x = values(100)
    before = x.copy()
    for kernel in KERNELS.values():
        kernel(kernels, x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["sse9", "", "AVX2"])
def test_unknown_target_names_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is unknown .* valid here: .*scalar"):
        _core.kernels(name)


def test_every_target_of_this_cpu_was_tested(tested_targets: set[str]) -> None:
    """Last in the file: a parametrisation that lost a target would otherwise pass unseen."""
    assert tested_targets == set(_core.supported_targets())
