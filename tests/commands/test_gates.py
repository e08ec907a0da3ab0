"""What gates look at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pyncnnq.commands.gates import Gates
from pyncnnq.compare.figures import Figure, mean_figure, share
from pyncnnq.compare.outputs import OutputFigures
from pyncnnq.errors import FailedGateError, PyncnnqError

KEPT = share("kept", [3, 3], [4, 4], gated=True)  # 25 points are missing
OTHER = share("other", [0, 0], [4, 4])


def evaluation(*figures: Figure, score: Figure | None = None, ratio: float = 20.0) -> Any:
    output = OutputFigures(name="out", sqnr=ratio, cosine=None, max_error=0.0)
    return SimpleNamespace(outputs=[output], figures=[*figures, *([score] if score else ())], score=score)


def check(result: Any, *, sqnr: float | None = None, drop: float | None = None) -> str:
    """What failed."""
    try:
        Gates(fail_under_sqnr=sqnr, fail_drop=drop).check(result)
    except FailedGateError as failure:
        return str(failure)
    return ""


def test_gates() -> None:
    assert check(evaluation(KEPT, OTHER)) == ""
    assert check(evaluation(KEPT, OTHER), drop=25) == ""
    assert check(evaluation(KEPT, OTHER), drop=24) == "kept drops by 25, more than 24"
    assert check(evaluation(KEPT, ratio=19.5), sqnr=20, drop=0) == (
        "SQNR of out is 19.50 dB, below 20; kept drops by 25, more than 0"
    )
    assert check(evaluation(Figure(name="ap", unit="%", values=(50, float("nan")), gated=True)), drop=99) != ""
    with pytest.raises(PyncnnqError, match="nothing to drop"):
        check(evaluation(OTHER), drop=1)


def test_a_metric_of_the_users_own_counts_alone() -> None:
    score = mean_figure("score", [(0.8, 0.7), (0.8, 0.7)])
    assert check(evaluation(KEPT, score=score), drop=0.2) == ""
    assert check(evaluation(KEPT, score=score), drop=0.05) == "score drops by 0.1, more than 0.05"
