"""Figures and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq.compare.figures import mean_figure, paired_difference


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
