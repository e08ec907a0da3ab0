"""Thresholds against the definitions of their methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from blobs import collected, finite_floats
from hypothesis import given, settings
from hypothesis import strategies as st
from kl_definition import Histogram, divergences
from numpy.typing import NDArray

import pyncnnq
from pyncnnq._core import BlobStatistics, absmax_rows, kl_threshold_bin
from pyncnnq.calibration.calibrate import check_choices
from pyncnnq.calibration.methods import METHODS, Observation


def threshold_of(method: str, statistics: BlobStatistics, samples: int) -> np.float32:
    return METHODS[method].threshold(Observation(statistics, samples, readers=()))


def half_normal(bins: int, seed: int = 0) -> Histogram:
    values = np.abs(np.random.default_rng(seed).standard_normal(20_000))
    return np.histogram(values, bins, (0, values.max()))[0].astype(float)


def long_tail(bins: int, seed: int = 0) -> Histogram:
    values = np.random.default_rng(seed).exponential(1, 20_000) ** 2
    return np.histogram(values, bins, (0, values.max()))[0].astype(float)


def sparse(bins: int, seed: int = 0) -> Histogram:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(bins) < 0.03, rng.integers(1, 1000, bins), 0).astype(float) + np.eye(bins)[-1]


def spiky(bins: int, seed: int = 0) -> Histogram:
    histogram = half_normal(bins, seed)
    histogram[np.random.default_rng(seed).integers(bins, size=3)] += 5000
    return histogram


def uniform(bins: int, seed: int = 0) -> Histogram:
    return np.random.default_rng(seed).random(bins)


def assert_least(histogram: Histogram, levels: int) -> None:
    """Ours is the first least one; two that differ by rounding alone are both right."""
    found = kl_threshold_bin(histogram, levels)
    expected = divergences(histogram, levels)
    assert found in expected
    least = min(expected.values())
    assert expected[found] <= least + 1e-11
    distinct = [threshold for threshold, value in expected.items() if value <= least + 1e-9]
    if len(distinct) == 1:
        assert found == distinct[0]


@pytest.mark.parametrize("make", [half_normal, long_tail, sparse, spiky, uniform])
@pytest.mark.parametrize(("bins", "levels"), [(300, 128), (257, 16), (64, 16), (129, 128), (40, 32)])
def test_kl_is_the_least_divergence(make: object, bins: int, levels: int) -> None:
    for seed in range(3):
        assert_least(make(bins, seed), levels)  # type: ignore[operator]


@pytest.mark.parametrize("make", [half_normal, long_tail, sparse, spiky])
def test_kl_at_full_size(make: object) -> None:
    assert_least(make(2048), 128)  # type: ignore[operator]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 0.5, 1000.0, 1e6]), min_size=20, max_size=60),
    st.sampled_from([16, 32]),
)
def test_kl_of_any_histogram(counts: list[float], levels: int) -> None:
    assert_least(np.array([*counts, *[0.0] * levels, 1.0]), levels)


def test_kl_does_not_depend_on_the_number_of_samples() -> None:
    histogram = long_tail(2048)
    assert kl_threshold_bin(histogram, 128) == kl_threshold_bin(histogram * 1024, 128)


def test_kl_of_a_real_blob(shared: object) -> None:
    """From the photographs to the threshold: ncnn2table's, but for the place inside its bin."""
    folder = shared / "golden/chain"  # type: ignore[operator]
    images = [np.load(path) for path in sorted((folder / "inputs").iterdir())]
    statistics = collected(image.astype(np.float32) for image in images)
    values = np.abs(np.concatenate([image.ravel() for image in images]))
    histogram = np.bincount(
        np.minimum((values[values > 0] / values.max() * 2048).astype(int), 2047), minlength=2048
    ).astype(float)
    expected = divergences(histogram, 128)
    best = min(expected, key=lambda threshold: expected[threshold])
    assert threshold_of("kl", statistics, len(images)) == pytest.approx((best + 0.5) * values.max() / 2048, rel=1e-6)
    row = next(line for line in (folder / "kl.table").read_text().splitlines() if line.startswith("convrelu_0 "))
    assert 127 / threshold_of("kl", statistics, len(images)) == pytest.approx(float(row.split()[1]), rel=1e-6)


@pytest.mark.parametrize(
    ("histogram", "levels", "message"),
    [
        ([1.0] * 128, 128, "more bins than levels"),
        ([], 16, "more bins than levels"),
        ([1.0] * 9, 0, "power of two"),
        ([1.0] * 9, 8, "power of two"),
        ([1.0] * 99, 24, "power of two"),
        ([1.0] * 999, 512, "power of two"),
        ([0.0] * 200, 128, "empty"),
        ([1.0, -1.0, *[0.0] * 20], 16, "negative or NaN"),
        ([1.0, np.nan, *[0.0] * 20], 16, "negative or NaN"),
        ([1.0, np.inf, *[0.0] * 20], 16, "finite"),
        ([1.7e308] * 201, 16, "finite"),
        ([1.0] * 4097, 16, "at most 4096"),
    ],
)
def test_what_is_no_histogram(histogram: Sequence[float], levels: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kl_threshold_bin(np.array(histogram), levels)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"aciq"}))
@given(st.lists(finite_floats.filter(lambda x: abs(x) > 1e-30), min_size=1, max_size=50))
def test_a_threshold_is_within_what_was_seen(method: str, values: list[float]) -> None:
    """Also at 3e38, where a product with the number of bins overflows."""
    absmax = float(np.abs(np.float32(values)).max())
    threshold = threshold_of(method, collected([np.array(values, np.float32)]), 1)
    assert threshold.dtype == np.float32
    assert 0 < float(threshold) <= absmax * (1 + 1 / 4096)


def test_minmax_clips_nothing() -> None:
    for values in ([1.0, -3.5, 2.0], [3.4e38], [1e-45], [-0.25, 0.0]):
        assert threshold_of("minmax", collected([np.array(values, np.float32)]), 1) == np.float32(max(map(abs, values)))


def test_kl_cuts_off_an_outlier_and_minmax_does_not() -> None:
    values = np.append(np.random.default_rng(0).standard_normal(100_000), 100).astype(np.float32)
    statistics = collected([values])
    assert threshold_of("kl", statistics, 1) < 20
    assert threshold_of("minmax", statistics, 1) == 100


@pytest.mark.parametrize("name", ["KL", "", "percentil"])
def test_unknown_method_lists_the_known(name: str) -> None:
    with pytest.raises(pyncnnq.PyncnnqError, match="kl, minmax"):
        check_choices(name, "ncnn")


def test_absmax_of_rows() -> None:
    rng = np.random.default_rng(0)
    for rows, columns in [(1, 1), (3, 5), (7, 16), (5, 33), (2, 5000)]:
        weights = rng.standard_normal((rows, columns)).astype(np.float32)
        np.testing.assert_array_equal(absmax_rows(weights), np.abs(weights).max(1))
    np.testing.assert_array_equal(absmax_rows(np.empty((2, 0), np.float32)), [0, 0])
    assert absmax_rows(np.empty((0, 4), np.float32)).shape == (0,)
    with pytest.raises(ValueError, match="two dimensions"):
        absmax_rows(np.ones(4, np.float32))


def squared_error(values: NDArray[np.float64], threshold: float) -> float:
    """Of quantization to int8, on the values themselves."""
    steps = np.abs(values) * 127 / threshold
    return float(((steps - np.minimum(np.floor(steps + 0.5), 127)) ** 2).sum() * (threshold / 127) ** 2)


@pytest.mark.parametrize("kind", ["normal", "relu", "laplace", "long tail", "clipped"])
def test_mse_is_near_the_least_error_of_a_search_on_the_values(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.standard_normal(200_000),
        "relu": np.maximum(rng.standard_normal(200_000), 0),
        "laplace": rng.laplace(size=200_000),
        "long tail": rng.standard_t(4, 200_000),
        "clipped": np.clip(3 * rng.standard_normal(200_000), 0, 6),
    }[kind]
    found = float(threshold_of("mse", collected(values.astype(np.float32).reshape(20, -1)), 20))
    absmax = float(np.abs(values).max())
    least = min(squared_error(values, absmax * share) for share in np.geomspace(0.02, 1, 400))
    assert squared_error(values, found) <= 1.02 * least


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.999])
def test_percentile_of_all_values_zeros_among_them(zeros: float) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(200_000) < zeros, 0, rng.standard_normal(200_000)).astype(np.float32)
    expected = np.percentile(np.abs(values), 99.99)
    assert float(threshold_of("percentile", collected(values.reshape(20, -1)), 20)) == pytest.approx(expected, rel=0.02)


def test_percentile_where_nothing_may_be_clipped() -> None:
    """Fewer than 10000 values: even the largest is more than one in ten thousand."""
    values = np.linspace(-3, 2, 500, dtype=np.float32)
    assert threshold_of("percentile", collected([values]), 1) == 3


def normal_clip(absmax: float, count: int, bits: int) -> float:
    """Banner et al.: so many standard deviations; of `count` normal values the largest is about sqrt(2 ln count) of
    them."""
    deviations = {8: 3.92403714, 6: 3.28691474}[bits]
    standard_deviation = absmax * 0.35 * (1 + (np.pi * np.log(4)) ** 0.5) / (2 * np.log(count)) ** 0.5
    return float(deviations * standard_deviation)


@given(st.lists(finite_floats.filter(lambda x: abs(x) > 1e-30), min_size=1, max_size=50), st.integers(1, 3))
def test_aciq_guesses_from_the_largest_and_the_number_of_values_of_a_sample(values: list[float], samples: int) -> None:
    """Also at 3e38, where float32 does not hold what it would give, and for a single value, of which nothing can be
    guessed."""
    sample = np.array(values, np.float32)
    absmax = float(np.abs(sample).max())
    threshold = threshold_of("aciq", collected([sample] * samples), samples)
    assert threshold.dtype == np.float32
    expected = min(normal_clip(absmax, len(values), 8), 3.4028234663852886e38) if len(values) > 1 else absmax
    assert float(threshold) == pytest.approx(expected, rel=1e-6)


def test_aciq_clips_much_of_many_values() -> None:
    values = np.append(np.random.default_rng(0).standard_normal(1_000_000), 10).astype(np.float32)
    assert 0.7 < threshold_of("aciq", collected([values]), 1) / 10 < 0.9
