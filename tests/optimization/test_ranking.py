"""Ranking layers: models that are made up, whose quality is known for each choice of layers in float."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from pyncnnq.optimization.ranking import AT_ONCE, Step, curve, error_shares, int8_share, measured

GAINS = {f"layer{number}": 10.0 - number for number in range(10)}


class Models:
    """Each layer in float adds its gain to 20 dB."""

    def __init__(self) -> None:
        self.passes: list[int] = []

    def measure(self, choices: Sequence[Sequence[str]]) -> list[float]:
        self.passes.append(len(choices))
        return [20 + sum(GAINS[layer] for layer in choice) for choice in choices]


def test_a_few_models_are_measured_in_one_pass_and_in_order() -> None:
    models, told = Models(), list[tuple[int, int]]()
    choices = [[layer] for layer in [*GAINS, *GAINS]]
    qualities = list(measured(choices, models.measure, lambda done, everything: told.append((done, everything))))
    assert qualities == [20 + GAINS[layer] for (layer,) in choices]
    assert models.passes == [AT_ONCE, AT_ONCE, 20 - 2 * AT_ONCE]
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_shares_are_of_the_sum_of_all_errors_and_the_mean_over_outputs() -> None:
    shares = error_shares([[10.0, 20.0], [20.0, 20.0], [10.0, 10.0]])
    assert shares == pytest.approx([(10 / 21 + 1 / 12) / 2, (1 / 21 + 1 / 12) / 2, (10 / 21 + 10 / 12) / 2])
    assert sum(shares) == pytest.approx(1)
    assert error_shares([[math.inf], [-math.inf]]) == pytest.approx([0, 1])


def test_a_curve_has_more_and_more_layers_in_float_and_ends_with_all() -> None:
    macs = {**dict.fromkeys(GAINS, 1.0), "pool": 2.5}
    order = list(GAINS)
    steps = curve(order, Models().measure, lambda in_float: int8_share(macs, order, in_float))
    assert [step.in_float for step in steps] == [tuple(order[:count]) for count in (0, 1, 2, 3, 5, 8, 10)]
    assert [step.quality for step in steps] == [20, 30, 39, 47, 60, 72, 75]
    assert [step.int8_macs for step in steps] == pytest.approx(
        [(10 - count) / 12.5 for count in (0, 1, 2, 3, 5, 8, 10)]
    )


def test_a_curve_without_layers_is_the_int8_model() -> None:
    assert curve([], Models().measure, lambda _: 1.0) == [Step((), 1.0, 20.0)]


def test_layers_without_macs_have_no_share() -> None:
    assert int8_share({}, ["a"], []) == 0
    assert int8_share({"a": 3.0, "b": 1.0}, ["a", "b", "c"], ["b"]) == 0.75
