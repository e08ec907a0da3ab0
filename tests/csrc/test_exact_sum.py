"""The exact sums behind `BlobStatistics.channel_means`: each element of a 1-D blob has a channel of its own."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest
from blobs import collected, finite_floats, merged, observe
from hypothesis import example, given
from hypothesis import strategies as st

from pyncnnq._core import BlobStatistics

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = 2.0**-149


def exact_mean(values: list[float]) -> float:
    """The sum without any rounding, rounded once to the nearest double, then divided."""
    return float(sum(map(Fraction, values), Fraction(0))) / len(values)


def vectors(values: list[float]) -> list[np.ndarray]:
    return [np.array([value], np.float32) for value in values]


@given(st.lists(finite_floats, min_size=1, max_size=40), st.randoms(use_true_random=False))
@example([LARGEST, SMALLEST, -LARGEST], None)
@example([LARGEST] * 30 + [-SMALLEST], None)
@example([-SMALLEST], None)
@example([1.0, 2.0**-53, SMALLEST], None)  # just over half way between two doubles
@example([-1.0, SMALLEST], None)
def test_mean_is_of_the_exact_sum_in_any_order(values: list[float], random: object) -> None:
    expected = exact_mean(values)
    orders = [values, values[::-1], sorted(values)]
    if random is not None:
        shuffled = list(values)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        orders.append(shuffled)
    for order in orders:
        (mean,) = collected(vectors(order)).channel_means()
        assert mean == expected


@given(
    st.lists(st.lists(finite_floats, min_size=1, max_size=6), min_size=1, max_size=8),
    st.lists(st.integers(0, 100), min_size=8, max_size=8),
)
def test_mean_is_the_same_in_any_grouping(groups: list[list[float]], order: list[int]) -> None:
    (mean,) = merged([collected(vectors(group)) for group in groups], order).channel_means()
    assert mean == exact_mean([value for group in groups for value in group])


@pytest.mark.parametrize("exponent", range(-149, 128, 3))
def test_every_bit_position_carries(exponent: int) -> None:
    """Sums that carry over the edges of the limbs, up and, for the negative, down."""
    value = 2.0**exponent
    for sign in (1, -1):
        values = [sign * value] * 5 + [-sign * SMALLEST]
        (mean,) = collected(vectors(values)).channel_means()
        assert mean == exact_mean(values)


def test_sums_of_planes_are_exact_where_a_double_is() -> None:
    rng = np.random.default_rng(0)
    blobs = [rng.integers(-(2**20), 2**20, (4, 5, 7)).astype(np.float32) / 64 for _ in range(9)]
    means = collected(blobs).channel_means()
    np.testing.assert_array_equal(
        means, np.concatenate([blob.reshape(4, -1) for blob in blobs], axis=1).astype(float).sum(1) / 315
    )


def test_merging_after_a_pickle_goes_on_exactly() -> None:
    statistics = collected(vectors([LARGEST, 3.0]))
    statistics = pickle.loads(pickle.dumps(statistics))
    assert observe(statistics, np.array([-LARGEST], np.float32))
    assert statistics.channel_means() == [1.0]


def test_nothing_has_no_means() -> None:
    assert BlobStatistics().channel_means().size == 0
