"""Which layers cost most, by a made-up judge of layers whose shares are known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from pyncnnq.evaluation.findings import LayerDiagnosis
from pyncnnq.evaluation.ranking import rank

SHARES = {"a": 0.1, "b": 0.001, "c": 0.6, "d": 0.0, "e": 0.2}
MACS = {"a": 10, "b": 20, "c": 30, "d": 10, "e": 10, "float": 20}


class MadeUp:
    """Each layer in float raises 30 dB by ten times its share."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._shares = shares

    def shares(self, layers: Sequence[str]) -> list[float]:
        return [self._shares.get(name, 0.0) for name in layers]

    def judge(self, choices: Sequence[Collection[str]]) -> list[float]:
        return [30 + sum(10 * self._shares[name] for name in names) for names in choices]


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
        widest_channel=0,
        channels=3,
        faults=faults,
    )


def test_layers_are_taken_by_their_share_of_the_error() -> None:
    shares, steps = rank([diagnosis(name) for name in SHARES], MACS, MadeUp(SHARES))
    assert shares == SHARES
    # b and d make hardly any of the error.
    assert [step.in_float for step in steps] == [(), ("c",), ("c", "e"), ("c", "e", "a")]
    assert [step.quality for step in steps] == pytest.approx([30, 36, 38, 39])
    assert [step.int8_macs for step in steps] == pytest.approx([0.8, 0.5, 0.4, 0.3])


def test_of_many_layers_those_with_faults_and_then_the_worst_alone_are_tried() -> None:
    layers = [diagnosis(f"layer{number}", local_sqnr=number) for number in range(40)]
    layers.append(diagnosis("broken", local_sqnr=99, faults=("its scale does not fit",)))
    shares, steps = rank(layers, {}, MadeUp({}))
    assert list(shares) == ["broken", *(f"layer{number}" for number in range(31))]
    assert [step.in_float for step in steps] == [()]
