"""The kernels of csrc/kernels/impl/statistics.hpp against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_data import F32, NOT_FINITE, OCTAVES, SIZES, Floats, below, magnitude_bits, values
from numpy.typing import NDArray

from pyncnnq import _core


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
    """Return bins by their definition in csrc/kernels/kernels.hpp, in float64 (in which all of this is exact)."""
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
