"""Which layers are tried in float, on models that are made up: errors of layers add up, or hide each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyncnnq.compare.parts import Part
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.judge import Judge, Judged
from pyncnnq.optimization.mixed_precision import LeavingInFloat, MixedPrecision, leave_in_float
from pyncnnq.runtime.progress import silent


@dataclass(frozen=True)
class MadeUpDraft:
    spared: tuple[str, ...] = ()

    def with_float(self, *layers: str) -> MadeUpDraft:
        return MadeUpDraft((*self.spared, *layers))


class MadeUp:
    """A judge of models whose noise is the sum of that of their int8 layers; some hide as long as others are int8."""

    def __init__(self, noises: Mapping[str, float], hidden: Mapping[str, str] | None = None) -> None:
        self.noises, self.hidden = noises, hidden or {}
        self.tried: list[str] = []

    def judged(self, draft: MadeUpDraft) -> Judged:
        int8 = [layer for layer in self.noises if layer not in draft.spared]
        power = math.fsum(self.noises[layer] for layer in int8 if self.hidden.get(layer) not in int8) + 1e-9
        candidate = Candidate("auto", (), {"out": -10 * math.log10(power)}, math.nan, (Part("out", ("out",)),))
        summary = SimpleNamespace(quantized=[SimpleNamespace(name=layer) for layer in int8])
        made = SimpleNamespace(int8=SimpleNamespace(summary=summary))
        return Judged(cast(Any, draft), cast(Any, made), candidate)

    def of(self, draft: MadeUpDraft) -> Judged:
        return self.judged(draft)

    def by_ratios(self) -> MadeUp:
        return self

    def run_some(self, drafts: Sequence[MadeUpDraft]) -> Iterator[Judged]:
        self.tried += [draft.spared[-1] for draft in drafts]
        return map(self.judged, drafts)

    def alone(self, draft: MadeUpDraft) -> SimpleNamespace:  # noqa: ARG002
        def ratios(trials: Sequence[str], update: object) -> list[dict[str, float]]:  # noqa: ARG001
            return [{"out": -10 * math.log10(self.noises[layer])} for layer in trials]

        return SimpleNamespace(trial=lambda layer: layer, ratios=ratios)

    def leave(self, **budget: Any) -> MixedPrecision:
        macs = dict.fromkeys(self.noises, 1.0)
        return leave_in_float(self.judged(MadeUpDraft()), macs, cast(Judge, self), Budget(**budget))


def test_the_loudest_go_first_and_the_quiet_ones_are_not_tried() -> None:
    """110 layers, 100 of which have a millionth of the noise each."""
    loud = {f"loud{number}": 0.01 / 2**number for number in range(10)}
    judge = MadeUp({**{f"quiet{number}": 1e-8 for number in range(100)}, **loud})
    found = judge.leave(max_float_layers=8)
    assert found.in_float == tuple(loud)[:8]
    assert set(judge.tried) <= set(loud)
    assert len(judge.tried) <= 8 * 4


def test_it_ends_where_no_layer_gains_enough() -> None:
    judge = MadeUp({f"layer{number}": 1e-4 for number in range(100)})  # 0.04 dB each
    assert judge.leave(max_float_macs=0.5).in_float == ()
    assert not judge.tried


def test_what_a_layer_gains_when_it_is_tried_counts_and_not_its_share() -> None:
    """`shy` has the largest share, and no error as long as `mask` is int8."""
    judge = MadeUp({"shy": 0.05, "mask": 0.01, "other": 0.004, "third": 0.001}, {"shy": "mask"})
    assert judge.leave(max_float_layers=2).in_float == ("other", "third")


def test_what_gained_nothing_is_tried_again_beside_others_in_float() -> None:
    judge = MadeUp({"mask": 0.01, "shy": 0.007}, {"shy": "mask"})
    assert judge.leave(max_float_layers=2).in_float == ("mask", "shy")


@pytest.mark.parametrize(("drop", "expected"), [(math.nan, ("small",)), (1.9, ("small",)), (2.1, ("small", "large"))])
def test_more_work_is_done_in_float_where_users_lose_much(drop: float, expected: tuple[str, ...]) -> None:
    """At 23 dB no part is bad; the large layer does 5 % of the work, and gains much."""
    judge = MadeUp({"small": 2e-3, "large": 2e-3, "rest": 1e-3})

    def of_all(draft: MadeUpDraft) -> Judged:
        judged = judge.judged(draft)
        return replace(judged, candidate=replace(judged.candidate, drop=drop))

    work = {"small": 1.0, "large": 5.0, "rest": 94.0}
    final = SimpleNamespace(of=of_all)
    bench = SimpleNamespace(judge=judge, final=final, work=work, progress=silent, mixed=None)
    left = LeavingInFloat(name="mixed precision").apply(cast(Any, MadeUpDraft()), cast(Any, bench))
    assert left is not None
    assert left.spared == expected
