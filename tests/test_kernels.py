"""Every kernel of csrc/kernels.def: the scalar one against NumPy, every other target against the scalar one, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyncnnq import _core

Floats = NDArray[np.float32]
F32 = np.float32

# Around each vector width, the block of 16 lanes, and the stretches of 1024 and 4096 that the code walks in.
SIZES = (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 65, 100, 1023, 1024, 1025, 1039, 4095, 4096, 4097, 4113, 9001)

SMALL = [0.0, -0.0, 1e-45, -1e-45, 1.17549435e-38, -1.17549421e-38]
TIES = [0.5, -0.5, np.nextafter(F32(0.5), F32(0)), 1.5, -2.5, 126.5, -126.5, 127.5, -127.5, np.nextafter(F32(127.5), F32(0))]
LARGE = [128.0, -129.0, 1e20, -1e20, 3.4e38, -3.4e38, 8388607.5, 2**31]
SPECIAL = np.array([*SMALL, *TIES, 1.0, -1.0, *LARGE], np.float32)
NOT_FINITE = np.array([np.inf, -np.inf, np.nan, -np.nan], np.float32)
SCALES = (1.0, 127 / 3.7, 1e-3, 1e30, -2.0)
OCTAVES = (254, 135, 127, 100, _core.LOWEST_OCTAVE)
"""Bins end at the end of such an octave, named by the exponent field of its floats."""

KERNELS: dict[str, Callable[[_core.Kernels, Floats], list[Any]]] = {
    "summarize_f32": lambda kernels, x: list(kernels.summarize_f32(x).values()),
    "absmax_bits_f32": lambda kernels, x: [kernels.absmax_bits_f32(x)],
    "bin_magnitudes_f32": lambda kernels, x: [kernels.bin_magnitudes_f32(below(x, octave), octave) for octave in OCTAVES],
    "quantize_f32_s8": lambda kernels, x: [kernels.quantize_f32_s8(x, scale) for scale in SCALES],
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


@pytest.mark.parametrize("kernel", ["absmax_bits_f32", "quantize_f32_s8"])
def test_target_with_infinities_and_nans(kernels: _core.Kernels, kernel: str) -> None:
    for size in (1, 4, 16, 33, 50):
        for seed in range(8):
            x = values(size, seed)
            x[np.random.default_rng(seed).integers(size, size=3)] = NOT_FINITE[np.random.default_rng(seed).integers(4, size=3)]
            assert bits(KERNELS[kernel](kernels, x)) == bits(KERNELS[kernel](_core.kernels("scalar"), x))


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
def test_summary(kernels: _core.Kernels, size: int) -> None:
    x = values(size)
    summary = kernels.summarize_f32(x)
    assert summary["absmax_bits"] == (int(magnitude_bits(x).max()) if size else 0)
    assert summary["min"] == (x.min() if size else np.inf)
    assert summary["max"] == (x.max() if size else -np.inf)
    assert summary["zeros"] == np.count_nonzero(x == 0)
    for lane in range(_core.LANES):
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
            assert kernels.summarize_f32(x)["absmax_bits"] >= 0x7F800000


def bins_of(x: Floats, octave: int) -> NDArray[np.int64]:
    """The definition of the bins in csrc/kernels.hpp, in float64 (in which all of this is exact)."""
    magnitudes = np.abs(x[x != 0]).astype(np.float64)
    lowest = octave - 127 - _core.OCTAVES + 1  # the exponent of the lowest octave with bins of its own
    exponents = np.frexp(magnitudes)[1] - 1
    equal = np.floor(magnitudes * 2.0**-lowest * _core.BINS_PER_OCTAVE)
    own = (exponents - lowest + 1) * _core.BINS_PER_OCTAVE + np.floor((magnitudes * 2.0**-exponents - 1) * _core.BINS_PER_OCTAVE)
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


@pytest.mark.parametrize(("x", "octave"), [(2.0, 127), (np.inf, 254), (np.nan, 254), (1e-40, _core.LOWEST_OCTAVE - 1), (1.0, 255)])
def test_binning_refuses_what_has_no_bin(kernels: _core.Kernels, x: float, octave: int) -> None:
    with pytest.raises(ValueError, match="octave"):
        kernels.bin_magnitudes_f32(np.array([x], np.float32), octave)


def rounded_half_away(x: Floats, scale: float) -> NDArray[np.int8]:
    """The definition, in double precision on the float32 product (in which adding 0.5 is exact up to 127.5)."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = (x * F32(scale)).astype(np.float64)
    magnitude = np.where(np.isnan(product), 127.0, np.minimum(np.abs(product), 127.0))
    return np.copysign(np.floor(magnitude + 0.5), product).clip(-127, 127).astype(np.int8)


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("scale", SCALES)
def test_quantize(kernels: _core.Kernels, size: int, scale: float) -> None:
    x = values(size)
    np.testing.assert_array_equal(kernels.quantize_f32_s8(x, scale), rounded_half_away(x, scale))


def test_quantize_every_tie_and_its_neighbours(kernels: _core.Kernels) -> None:
    ties = np.arange(-130, 130, dtype=np.float32) + F32(0.5)
    x = np.concatenate([ties, np.nextafter(ties, F32(np.inf)), np.nextafter(ties, F32(-np.inf))])
    np.testing.assert_array_equal(kernels.quantize_f32_s8(x, 1.0), rounded_half_away(x, 1.0))


ROUNDED = {1e-45: 0, 0.49999997: 0, 0.5: 1, 1.5: 2, 126.49999: 126, 126.5: 127, 127.5: 127, 128: 127, 1e20: 127, np.inf: 127}


@pytest.mark.parametrize(("x", "q"), [*ROUNDED.items(), *((-x, -q) for x, q in ROUNDED.items()), (np.nan, 127), (-np.nan, -127)])
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
