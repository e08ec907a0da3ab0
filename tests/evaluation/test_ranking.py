"""Which layers cost most, by a made-up judge of layers whose gains are known."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import pytest

from pyncnnq.evaluation.findings import LayerDiagnosis
from pyncnnq.evaluation.ranking import Judge, rank

NOISE = {"a": 0.01, "b": 0.00001, "c": 0.06, "d": 0.0, "e": 0.02}
"""The power of each layer's noise, of that of the signal."""
MACS = {"a": 10, "b": 20, "c": 30, "d": 10, "e": 10, "float": 20}


def diagnosis(name: str, local_sqnr: float = 20.0, faults: tuple[str, ...] = ()) -> LayerDiagnosis:
    return LayerDiagnosis(
        name=name,
        type="Convolution",
        input="in",
        output=name,
        macs=MACS.get(name, 0),
        weight_bits=8,
        chained=False,
        misread_by=(),
        storage="as in float",
        scale=1.0,
        peak=127.0,
        saturation=0.0,
        local_sqnr=local_sqnr,
        sqnr=20.0,
        weights_sqnr=40.0,
        worst_row=None,
        range_ratio=1.0,
        wide_channels=0,
        channels=3,
        faults=faults,
    )


def judge_of(noise: Mapping[str, float], floor: float = 1e-9, chance: float = 0.0) -> Judge:
    """Return a judge of two outputs, of which the second has twice the noise; `chance` is by how much of itself the
    noise of a model is off, by a number drawn for the layers that are int8."""

    def power(in_float: Collection[str]) -> float:
        int8 = sorted(set(noise) - set(in_float))
        drawn = np.random.default_rng([ord(letter) for letter in "".join(int8)]).uniform(-1, 1)
        return floor + sum(noise[name] for name in int8) * (1 + chance * drawn)

    return lambda choices: [[-10 * math.log10(factor * power(names)) for factor in (1, 2)] for names in choices]


def test_layers_are_taken_by_their_share_of_the_error() -> None:
    gains, steps = rank([diagnosis(name) for name in NOISE], MACS, judge_of(NOISE))
    total = sum(NOISE.values())
    for name, gain in gains.items():
        assert gain == pytest.approx(10 * math.log10(total / (total - NOISE[name])), abs=1e-4)
    # b gains too little, and d nothing.
    assert [step.in_float for step in steps] == [(), ("c",), ("c", "e"), ("c", "e", "a")]
    mean = [-10 * math.log10(math.sqrt(2) * power) for power in (0.09001, 0.03001, 0.01001, 0.00001)]
    assert [step.sqnr for step in steps] == pytest.approx(mean, abs=1e-3)
    assert [step.int8_macs for step in steps] == [80, 50, 40, 30]


def test_chance_in_the_noise_of_models_does_not_hide_the_worst_layer() -> None:
    """As on four samples: all noise behind a changed layer is drawn anew."""
    noise = {chr(ord("a") + number): 0.01 for number in range(20)} | {"worst": 0.06}
    for chance in (0.1, 0.2, 0.3):
        judge = judge_of(noise, chance=chance)
        gains, _ = rank([diagnosis(name) for name in noise], {}, judge)
        assert max(gains, key=lambda name: gains[name]) == "worst"
        assert gains["worst"] > 0.5
        assert min(gains.values()) >= 0
    # What is gone when a layer alone is in float names others, and can be less than nothing.
    all_int8, *in_float = (outputs[0] for outputs in judge([[], *([name] for name in noise)]))
    direct = [ratio - all_int8 for ratio in in_float]
    assert min(direct) < 0
    assert np.argmax(direct) != len(noise) - 1


def test_weights_that_stay_as_int8_has_them_are_no_share_of_any_layer() -> None:
    gains, _ = rank([diagnosis(name) for name in NOISE], MACS, judge_of(NOISE, floor=0.09001))
    assert gains["c"] == pytest.approx(10 * math.log10(0.18002 / 0.12002), abs=1e-3)
    assert gains["d"] == 0


def test_of_many_layers_those_with_faults_and_then_the_worst_alone_are_tried() -> None:
    layers = [diagnosis(f"layer{number}", local_sqnr=number) for number in range(40)]
    layers.append(diagnosis("broken", local_sqnr=99, faults=("its scale does not fit",)))
    gains, steps = rank(layers, {}, judge_of({}))
    assert list(gains) == ["broken", *(f"layer{number}" for number in range(31))]
    assert [step.in_float for step in steps] == [()]
