"""Sums over the inputs of a layer, and over the differences of blobs, against NumPy in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq._core import CONTRAST_UNITS, DIFFERENCE_UNITS, add_differences, add_input_moments, gather_inputs

Floats = NDArray[np.float32]
MOST = 2**20


def sums(groups: int, size: int) -> list[NDArray[np.int64]]:
    vectors, matrices = (groups, size), (groups, size, size)
    return [np.zeros(shape, np.int64) for shape in (matrices, vectors, vectors, matrices)]


def codes_of(x: Floats, scale: float, shift: float) -> NDArray[np.int64]:
    scaled = ((x - np.float32(shift)) * np.float32(scale)).astype(np.float64)
    codes: NDArray[np.int64] = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -127, 127).astype(np.int64)
    return codes


def differences_of(exact: Floats, codes: NDArray[np.int64], scale: float, shift: float) -> NDArray[np.int64]:
    steps = (exact - np.float32(shift)) * np.float32(scale) - codes.astype(np.float32)
    units: NDArray[np.int64] = np.clip(np.rint(steps * np.float32(DIFFERENCE_UNITS)), -MOST, MOST).astype(np.int64)
    return units


@pytest.mark.parametrize(
    ("groups", "size", "places"), [(1, 1, 1), (3, 9, 5), (1, 64, 70), (1, 65, 2049), (2, 130, 4100)]
)
def test_moments_are_exact(groups: int, size: int, places: int) -> None:
    """Sizes on both sides of the blocks that the core works in, and a few differences far too large."""
    rng = np.random.default_rng(size)
    rough = rng.normal(0.3, 1, (groups, size, places)).astype(np.float32)
    exact = (rough + rng.normal(0, 0.02, rough.shape)).astype(np.float32)
    wild = rng.random(rough.shape) < 0.01
    exact[wild] = rng.normal(0, 3e4, int(wild.sum()))
    exact.flat[:1] = 1e30
    scale, shift = 41.5, 0.25
    found = sums(groups, size)
    for first, last in ((0, places // 2), (places // 2, places)):  # in two parts, which are added
        parts = (np.ascontiguousarray(x[:, :, first:last]) for x in (rough, exact))
        add_input_moments(*parts, last - first, scale, shift, *found)
    codes = codes_of(rough, scale, shift)
    differences = differences_of(exact, codes, scale, shift)
    assert differences.max() == MOST
    np.testing.assert_array_equal(found[0], np.einsum("gin,gjn->gij", codes, codes))
    np.testing.assert_array_equal(found[1], codes.sum(axis=2))
    np.testing.assert_array_equal(found[2], differences.sum(axis=2))
    np.testing.assert_array_equal(found[3], np.einsum("gin,gjn->gij", differences, codes))


def test_places_beyond_those_in_use_do_not_count_and_the_float_branch_may_lack() -> None:
    rough = np.full((2, 3, 10), np.nan, np.float32)
    rough[:, :, :4] = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 10
    products, codes, differences, _ = sums(2, 3)
    add_input_moments(rough, None, 4, 2.0, 0.0, products, codes, None, None)
    expected = codes_of(rough[:, :, :4], 2.0, 0.0)
    np.testing.assert_array_equal(products, np.einsum("gin,gjn->gij", expected, expected))
    np.testing.assert_array_equal(codes, expected.sum(axis=2))
    assert not differences.any()


def test_what_outputs_see_is_gathered_channel_by_channel() -> None:
    rng = np.random.default_rng(0)
    gapped = rng.normal(0, 1, (4, 15)).astype(np.float32)[:, :12]  # channels of an ncnn.Mat lie apart
    places = rng.integers(-1, 12, (3, 5))
    columns = np.full((2, 6, 9), 7, np.float32)
    gather_inputs(gapped, places, -2.5, columns, 3)
    seen = np.where(places < 0, np.float32(-2.5), gapped[:, places]).reshape(2, 6, 5)
    np.testing.assert_array_equal(columns[:, :, 3:8], seen)
    assert (columns[:, :, [0, 1, 2, 8]] == 7).all()


def test_differences_of_blobs_are_exact() -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(0, 2, (5, 33)).astype(np.float32)[:, :31]
    rough = (exact + rng.normal(0, 0.1, exact.shape)).astype(np.float32)
    exact[0, :3] = 1e30, -1e30, np.nan
    rough[1, 4] = np.nan
    counts, found = np.full(5, 10), np.full(5, 100)
    add_differences(exact, rough, -1.0, 1.5, counts, found)
    inside = (exact > -1) & (exact < 1.5)
    units = np.rint((exact.astype(np.float64) - rough.astype(np.float64)) * CONTRAST_UNITS)
    units[np.isnan(units)] = -(2.0**20) * CONTRAST_UNITS
    expected = np.where(inside, np.clip(units, -(2.0**20) * CONTRAST_UNITS, None), 0).astype(np.int64)
    np.testing.assert_array_equal(counts - 10, inside.sum(axis=1))
    np.testing.assert_array_equal(found - 100, expected.sum(axis=1))


def test_arrays_that_do_not_fit_are_refused() -> None:
    x, (products, codes, differences, crosses) = np.zeros((1, 2, 3), np.float32), sums(1, 2)
    with pytest.raises(ValueError, match="as there is room for"):
        add_input_moments(x, None, 4, 1.0, 0.0, products, codes, None, None)
    with pytest.raises(ValueError, match="given together"):
        add_input_moments(x, x, 3, 1.0, 0.0, products, codes, differences, None)
    with pytest.raises(ValueError, match="crosses"):
        add_input_moments(x, x, 3, 1.0, 0.0, products, codes, differences, crosses[:, :1].copy())
    products.setflags(write=False)
    with pytest.raises(ValueError, match="writeable"):
        add_input_moments(x, None, 3, 1.0, 0.0, products, codes, None, None)
    with pytest.raises(ValueError, match="beyond the blob"):
        gather_inputs(x[0], np.full((1, 1), 3), 0.0, np.zeros((1, 2, 1), np.float32), 0)
    with pytest.raises(ValueError, match="room for all outputs"):
        gather_inputs(x[0], np.zeros((1, 2), np.int64), 0.0, np.zeros((1, 2, 2), np.float32), 1)
    with pytest.raises(ValueError, match="dense"):
        add_differences(x[0].T, x[0].T, 0.0, 1.0, np.zeros(3, np.int64), np.zeros(3, np.int64))
