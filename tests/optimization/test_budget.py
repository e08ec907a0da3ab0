"""Budgets: what they ask for, and how far models are from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyncnnq.compare.parts import Part
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.candidate import Candidate


def candidate(drop: float = 0.0, **sqnr: float) -> Candidate:
    return Candidate("auto", (), sqnr, drop, tuple(Part("prob", (name,), name != "softmax") for name in sqnr))


def test_each_output_has_to_reach_the_ratio() -> None:
    budget = Budget(min_sqnr=30)
    assert budget.is_met(candidate(a=30, b=math.inf))
    assert not budget.is_met(candidate(a=29.9, b=80))
    assert budget.shortfall(candidate(a=29.9, b=25)) == "output b reaches 25.00 dB, not 30"


def test_a_drop_is_met_up_to_and_including_it() -> None:
    budget = Budget(max_drop=2)
    assert budget.is_met(candidate(2.0, a=5))
    assert not budget.is_met(candidate(2.1, a=99))
    assert budget.shortfall(candidate(2.1, a=99)) == "the drop is 2.1, not at most 2"


def test_both_are_said_if_both_are_missed() -> None:
    missing = Budget(min_sqnr=30, max_drop=0).shortfall(candidate(1.0, a=20))
    assert missing == "output a reaches 20.00 dB, not 30 and the drop is 1, not at most 0"


def test_without_a_goal_a_budget_is_never_met() -> None:
    budget = Budget(max_float_layers=3)
    assert not budget.has_goal
    assert not budget.is_met(candidate(a=99))
    assert budget.shortfall(candidate(a=-99)) == ""


def test_outputs_beyond_the_goal_do_not_make_up_for_others() -> None:
    budget = Budget(min_sqnr=30)
    mean = -10 * np.log10((0.01 + 0.001) / 2)  # of the noises
    assert budget.score(candidate(a=20, b=90)) == budget.score(candidate(a=20, b=30)) == pytest.approx(mean)
    assert Budget(max_drop=1).score(candidate(a=20, b=90)) == pytest.approx(-10 * np.log10(0.01 / 2))


def test_saturated_outputs_count_only_for_a_ratio() -> None:
    """Each output must reach a ratio, but what a Softmax makes of few samples tells little else."""
    assert Budget(min_sqnr=40).score(candidate(logits=40, softmax=20)) == pytest.approx(-10 * np.log10(0.0101 / 2))
    assert Budget(max_drop=1).score(candidate(logits=40, softmax=20)) == pytest.approx(40)


def test_the_worst_part_counts_most_and_a_lost_one_hides_no_other() -> None:
    assert candidate(a=22, b=30).score > candidate(a=20, b=40).score
    lost = [candidate(a=-math.inf, b=ratio).score for ratio in (20, 30, 40)]
    assert lost == sorted(set(lost))
    assert lost[-1] < candidate(a=0, b=0).score


def test_a_drop_that_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(InputError, match="no task knows what that is, so nothing can drop"):
        Budget(max_drop=1).check(candidate(math.nan, a=40))
    Budget(min_sqnr=1).check(candidate(math.nan, a=40))


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_of_macs_is_between_0_and_1(share: float) -> None:
    with pytest.raises(PyncnnqError, match="max_float_macs: expected a share between 0 and 1"):
        Budget(max_float_macs=share)
