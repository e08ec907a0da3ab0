"""Which layers cost most, by a made-up judge of layers whose gains are known."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.evaluation.findings import LayerDiagnosis
from pyncnnq.evaluation.ranking import rank

GAINS = {"a": 1.0, "b": 0.01, "c": 4.0, "d": -2.0, "e": 2.0}
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


def judge(choices: Sequence[Sequence[str]]) -> list[float]:
    return [30 + sum(GAINS.get(name, 0) for name in names) for names in choices]


def test_layers_are_taken_by_what_they_gain_alone() -> None:
    gains, steps = rank([diagnosis(name) for name in GAINS], MACS, judge)
    assert {name: round(gain, 6) for name, gain in gains.items()} == GAINS
    # b gains too little, and d nothing.
    assert [step.in_float for step in steps] == [(), ("c",), ("c", "e"), ("c", "e", "a")]
    assert [step.sqnr for step in steps] == [30, 34, 36, 37]
    assert [step.int8_macs for step in steps] == [80, 50, 40, 30]


def test_of_many_layers_those_with_faults_and_then_the_worst_alone_are_tried() -> None:
    layers = [diagnosis(f"layer{number}", local_sqnr=number) for number in range(40)]
    layers.append(diagnosis("broken", local_sqnr=99, faults=("its scale does not fit",)))
    gains, steps = rank(layers, {}, judge)
    assert list(gains) == ["broken", *(f"layer{number}" for number in range(31))]
    assert [step.in_float for step in steps] == [()]
