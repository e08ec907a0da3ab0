"""Figures and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq.compare.figures import bootstrapped, mean_figure, mean_of_ratios, paired_difference, share


@pytest.mark.parametrize(("loss", "gain"), [(0.02, 0.02), (0.05, 0.01), (0.2, 0.1)])
def test_the_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says(loss: float, gain: float) -> None:
    rng = np.random.default_rng(3)
    rounds, hits = 400, 0
    for _ in range(rounds):
        kind = rng.random(150)
        before = (kind < loss) | (kind > 0.5)
        after = ((kind >= loss) & (kind < loss + gain)) | (kind > 0.5)
        interval = paired_difference(before.tolist(), after.tolist())
        hits += interval.low <= 100 * (gain - loss) <= interval.high
    assert hits / rounds >= 0.92


def test_the_interval_of_a_mean_is_that_of_normally_distributed_differences() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(3, 2, 50), rng.normal(2.5, 2, 50)
    figure = mean_figure("score", list(zip(before.tolist(), after.tolist(), strict=True)))
    change = after - before
    assert figure.values == pytest.approx((before.mean(), after.mean()))
    assert figure.change is not None
    assert figure.change.estimate == pytest.approx(change.mean())
    half = 1.96 * change.std(ddof=1) / np.sqrt(change.size)
    assert figure.change.high - figure.change.estimate == pytest.approx(half, rel=1e-3)
    assert figure.change.estimate - figure.change.low == pytest.approx(half, rel=1e-3)


def test_one_sample_tells_no_interval_of_a_mean() -> None:
    figure = mean_figure("score", [(1.0, 2.0)])
    assert figure.change is not None
    assert (figure.change.low, figure.change.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("alike", [False, True], ids=["independent", "alike-in-a-sample"])
@pytest.mark.parametrize("part", [0.7, 0.95])
def test_the_interval_of_a_share_holds_the_truth_as_often_as_it_says(part: float, alike: bool) -> None:
    rng = np.random.default_rng(5)
    rounds, inside = 400, 0
    for _ in range(rounds):
        counts = rng.integers(0, 6, 100)
        # Where things of a sample are alike, all of it is kept or lost.
        hits = counts * (rng.random(100) < part) if alike else rng.binomial(counts, part)
        interval = share("kept", hits.tolist(), counts.tolist()).interval
        assert interval is not None
        inside += interval[0] <= 100 * part <= interval[1]
    assert inside / rounds >= (0.89 if alike else 0.92)  # few samples tell of all-or-nothing that is rare


def test_a_share_of_all_things_is_not_sure() -> None:
    # Wilson's interval for 48 of 48, by hand: 1 / (1 + z^2 / n) with z = 1.96.
    figure = share("kept", [3, 45], [3, 45])
    assert figure.values == (None, 100)
    assert figure.interval == pytest.approx((100 / (1 + 1.959964**2 / 48), 100))


def test_the_interval_of_a_mean_over_things_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    rounds, inside = 400, 0
    for _ in range(rounds):
        counts = rng.integers(1, 6, 80)
        of_sample = rng.normal(0, 0.5, 80)  # things of a sample are alike
        sums = [float(rng.normal(2 + shift, 1, count).sum()) for shift, count in zip(of_sample, counts, strict=True)]
        figure = mean_of_ratios("drift", sums, counts.tolist())
        assert figure.interval is not None
        assert figure.values[1] == pytest.approx(sum(sums) / counts.sum())
        inside += figure.interval[0] <= 2 <= figure.interval[1]
    assert 0.92 <= inside / rounds <= 0.985


def test_one_sample_says_nothing_of_others() -> None:
    assert mean_of_ratios("drift", [3.0], [2]).interval is None
    assert bootstrapped(lambda chosen: float(chosen.sum()), 1) is None


def test_the_bootstrap_of_a_mean_is_near_the_interval_of_a_normal_distribution() -> None:
    values = np.random.default_rng(7).normal(3, 2, 60)
    found = bootstrapped(lambda chosen: float(values[chosen].mean()), 60)
    half = 1.96 * values.std(ddof=1) / 60**0.5
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.2 * half)
    assert bootstrapped(lambda chosen: float(values[chosen].mean()), 60) == found


def test_a_drop_is_a_change_or_what_is_missing_of_a_gated_share() -> None:
    assert share("kept", [1, 2], [2, 2], gated=True).drop == 25
    assert share("kept", [1, 2], [2, 2]).drop is None
    assert mean_figure("score", [(3, 2), (3, 3)]).drop == 0.5
