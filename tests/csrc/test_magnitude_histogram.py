"""The histogram behind `BlobStatistics.histogram`: exact up to 2^18 values of small blobs, in fine bins beyond.

Of large blobs only an evenly spread part is taken, so values that must all count come in smaller pieces.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from blobs import Floats, collected, fingerprint, finite_floats, magnitude_fingerprint, merged, observe
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyncnnq import _core
from pyncnnq._core import BlobStatistics

KEPT = 2**18
# Of a large blob so many values, or up to twice as many, are taken.
SOURCE = (REPOSITORY / "csrc" / "core" / "blob_statistics.cpp").read_text()
PART = 1 << int(re.findall(r"kHistogramValues = size_t\{1\} << (\d+);", SOURCE)[0])
F32 = np.float32


def relu_like(size: int, scale: float, seed: int) -> Floats:
    """Of many magnitudes, half of them zero."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(size) * scale * rng.choice([1.0, 1e-2, 1e-5], size)
    return np.where(rng.random(size) < 0.5, 0, values).astype(np.float32)


def many(size: int, scale: float = 1.0, seed: int = 0) -> Floats:
    """No zeros among them."""
    values = np.abs(np.random.default_rng(seed).standard_normal(size)).astype(np.float32) + F32(1e-3)
    return values * F32(scale)


def in_pieces(*arrays: Floats) -> list[Floats]:
    """As blobs small enough for their values to be kept."""
    size = 2**15 - 1
    return [array[i : i + size] for array in arrays for i in range(0, array.size, size)]


def ncnn_histogram(values: Floats, bins: int) -> NDArray[np.float64]:
    """ncnn2table's: the bin is the integer part of |x| / absmax * bins in float32; zeros are not counted."""
    magnitudes = np.abs(values[values != 0])
    with np.errstate(under="ignore"):
        places = (magnitudes / magnitudes.max() * F32(bins)).astype(np.int64)
    return np.bincount(np.minimum(places, bins - 1), minlength=bins).astype(float)


@pytest.mark.parametrize("bins", [1, 7, 128, 2048])
@pytest.mark.parametrize("count", [1, 5, 4097, KEPT])
def test_few_values_have_ncnns_histogram(count: int, bins: int) -> None:
    values = many(count, seed=bins)
    np.testing.assert_array_equal(collected(in_pieces(values)).histogram(bins), ncnn_histogram(values, bins))


@given(st.lists(finite_floats.filter(lambda x: x != 0), min_size=1, max_size=60), st.sampled_from([1, 3, 128, 2048]))
def test_any_few_values_have_ncnns_histogram(values: list[float], bins: int) -> None:
    array = np.array(values, np.float32)
    np.testing.assert_array_equal(collected([array]).histogram(bins), ncnn_histogram(array, bins))


def test_zeros_do_not_count_against_the_limit() -> None:
    values = np.concatenate([many(KEPT), np.zeros(KEPT, np.float32)])
    np.testing.assert_array_equal(collected(in_pieces(values)).histogram(2048), ncnn_histogram(values, 2048))


def assert_interpolated(statistics: BlobStatistics, values: Floats, bins: int) -> None:
    """Up to each edge the count may be wrong by the values in the one fine bin that the edge cuts, and by no more."""
    magnitudes = np.sort(np.abs(values[values != 0]).astype(np.float64))
    absmax = magnitudes[-1]
    histogram = statistics.histogram(bins)
    assert (histogram >= 0).all()
    assert histogram.sum() == pytest.approx(magnitudes.size, rel=1e-12)
    edges = absmax * np.arange(1, bins) / bins
    # Fine bins are 1/8192 of their octave; the lowest are 1/8192 of the lowest of `OCTAVES` octaves.
    width = np.maximum(edges, absmax * 2.0 ** (1 - _core.OCTAVES)) / _core.BINS_PER_OCTAVE
    cumulated = np.cumsum(histogram)[:-1]
    slack = 1e-9 * magnitudes.size
    assert (cumulated >= np.searchsorted(magnitudes, edges - width) - slack).all()
    assert (cumulated <= np.searchsorted(magnitudes, edges + width) + slack).all()


@pytest.mark.parametrize("bins", [1, 128, 2048])
@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e30, 1.37])
def test_many_values_are_interpolated(scale: float, bins: int) -> None:
    values = np.concatenate([relu_like(700_000, scale, 1), many(100, scale)])
    statistics = collected(in_pieces(values))
    assert_interpolated(statistics, values, bins)


def test_one_value_beyond_the_limit_is_still_close() -> None:
    """The step from values to bins: nothing is lost and little moves."""
    values = many(KEPT + 1)
    statistics = collected(in_pieces(values))
    assert_interpolated(statistics, values, 2048)
    assert np.abs(np.cumsum(statistics.histogram(2048)) - np.cumsum(ncnn_histogram(values, 2048))).max() < KEPT / 1000


@pytest.mark.parametrize("octaves", [1, 2, 4, 5, 6, 7, 13, 31, 60, 200])
def test_a_range_that_grows_by_octaves(octaves: int) -> None:
    """Up, down, and in two parts merged: the same bits, and right."""
    small = many(KEPT + 5, 2.0**-80)
    large = many(KEPT // 2, 2.0 ** (octaves - 80), seed=1)
    up, down = collected(in_pieces(small, large)), collected(in_pieces(large, small))
    assert magnitude_fingerprint(up) == magnitude_fingerprint(down)
    for order in ([0], [1]):
        parts = [collected(in_pieces(small)), collected(in_pieces(large))]
        assert magnitude_fingerprint(merged(parts, order)) == magnitude_fingerprint(up)
    assert_interpolated(up, np.concatenate([small, large]), 2048)


def test_a_range_that_grows_octave_by_octave() -> None:
    """Growing step by step ends as growing at once."""
    parts = [many(KEPT // 8, 2.0**step, seed=step + 20) for step in range(-20, 21, 2)]
    stepwise, at_once = collected(parts), collected([parts[-1], *parts[:-1]])
    assert fingerprint(stepwise) == fingerprint(at_once)
    assert_interpolated(stepwise, np.concatenate(parts), 2048)


@pytest.mark.parametrize("smallest", [1e-45, 1e-40, 1e-38, 1e-30])
def test_many_tiny_values(smallest: float) -> None:
    values = np.random.default_rng(0).integers(1, 1000, KEPT + 100).astype(np.float32) * F32(smallest)
    statistics = collected(in_pieces(values))
    assert statistics.absmax == values.max()
    assert statistics.histogram(2048).sum() == pytest.approx(values.size, rel=1e-12)
    # Together with ordinary ones they are all in the lowest bin.
    assert observe(statistics, np.ones(50, np.float32))
    histogram = statistics.histogram(2048)
    assert (histogram[0], histogram[-1]) == (pytest.approx(values.size), pytest.approx(50))


PARTS = [
    in_pieces(relu_like(90_000, 3.0, 1)),
    in_pieces(many(150_000, 0.01, 2)),
    in_pieces(many(KEPT + 1, 1.0, 3)),
    [many(60_001, 1e-8, 4), np.zeros(100, np.float32)],
    [many(3, 5e4, 5), many(2 * PART, 1e-3, 6)],
    [many(6 * PART, 40.0, 7)],
    [np.full(1000, 2.0, np.float32)],
]
"""Some few enough to be kept as values, some not, some blobs large enough to be binned at once or in part."""


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(range(len(PARTS))),
    st.integers(1, len(PARTS)),
    st.lists(st.integers(0, 100), min_size=len(PARTS), max_size=len(PARTS)),
    st.lists(st.integers(0, 5), min_size=len(PARTS), max_size=len(PARTS)),
)
def test_neither_order_nor_merging_changes_a_bit(
    order: list[int], used: int, merges: list[int], groups: list[int]
) -> None:
    chosen = sorted(order[:used])
    expected = fingerprint(collected(blob for part in chosen for blob in PARTS[part]))
    grouped: dict[int, list[Floats]] = {}
    for part, group in zip(order[:used], groups, strict=False):
        grouped.setdefault(group, []).extend(PARTS[part])
    assert fingerprint(merged([collected(blobs) for blobs in grouped.values()], merges)) == expected


@settings(deadline=None)
@given(
    st.lists(st.lists(finite_floats, min_size=1, max_size=30), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_no_floats_break_order_independence(rows: list[list[float]], random: object) -> None:
    blobs = [np.array(row, np.float32) for row in rows]
    shuffled = list(blobs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert observed_alike(blobs, shuffled)


def observed_alike(one: list[Floats], other: list[Floats]) -> bool:
    return fingerprint(collected(one)) == fingerprint(collected(other))


@pytest.mark.parametrize("split", [1, 4096, 100_000, KEPT - 1, KEPT, KEPT + 1])
def test_parts_around_the_limit(split: int) -> None:
    values = many(KEPT + 100, seed=8)
    pieces = in_pieces(values[:split]), in_pieces(values[split:])
    first, second = map(collected, pieces)
    whole = magnitude_fingerprint(collected(in_pieces(values)))
    assert magnitude_fingerprint(merged([first, second], [0])) == whole
    assert magnitude_fingerprint(merged([first, second], [1])) == whole
    assert magnitude_fingerprint(collected(pieces[0] + pieces[1])) == whole


def test_merging_leaves_the_other_as_it_was() -> None:
    for size, other_size in itertools.product([1000, KEPT + 1], repeat=2):
        one, other = collected(in_pieces(many(size, 8.0))), collected(in_pieces(many(other_size, 0.5, 1)))
        before = fingerprint(other)
        one.merge(other)
        assert fingerprint(other) == before


def test_all_values_of_blobs_below_the_size_count() -> None:
    for size in (PART, 2 * PART - 1):
        assert collected([many(size)]).histogram(64).sum() == pytest.approx(size, rel=1e-12)


@pytest.mark.parametrize(
    ("channels", "height", "width"),
    [(1, 512, 512), (3, 320, 320), (3, 640, 640), (64, 56, 56), (24, 100, 77), (4000, 7, 7)],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_part_of_a_large_blob_is_evenly_spread(channels: int, height: int, width: int, axis: int) -> None:
    """A gradient over channels, rows or columns: each value must be met about as often as it occurs."""
    shape = (channels, height, width)
    steps = np.indices(shape)[axis].astype(np.float32) + F32(0.5)
    statistics = collected([steps])
    taken = statistics.histogram(shape[axis])
    assert min(0.9 * PART, steps.size) <= taken.sum() <= 2.2 * PART
    expected = np.arange(1, shape[axis] + 1) / shape[axis]
    assert np.abs(np.cumsum(taken) / taken.sum() - expected).max() < 0.05
    # What can be had exactly is of all values.
    assert statistics.count == steps.size
    assert (statistics.min, statistics.max) == (0.5, shape[axis] - 0.5)
    np.testing.assert_allclose(statistics.channel_means(), steps.astype(float).mean((1, 2)), rtol=1e-12)


@pytest.mark.parametrize("bins", [0])
def test_no_bins_is_an_error(bins: int) -> None:
    with pytest.raises(ValueError, match="bins must be positive"):
        collected([many(10)]).histogram(bins)


def test_nothing_has_an_empty_histogram() -> None:
    for statistics in (BlobStatistics(), collected([np.zeros(9, np.float32)])):
        np.testing.assert_array_equal(statistics.histogram(4), np.zeros(4))


@pytest.mark.parametrize(
    "layout",
    [
        (3, 4, 2, 1, 2**61 + 1, 2, 1),
        (3, 2**62, 2, 2, 4, 8, 1),
        (1, 17, 1, 1, 1, 17, 1),
        (3, 2, 2, 1, 3, 8, 1),
        (2, 4, 2**62 + 1, 1, 1, 4, 1),
    ],
)
def test_a_layout_beyond_its_buffer_is_refused(layout: tuple[int, ...]) -> None:
    """Sizes whose product wraps around among them."""
    with pytest.raises(ValueError, match="smaller than its layout"):
        BlobStatistics().observe(np.zeros(16, np.float32), *layout)
