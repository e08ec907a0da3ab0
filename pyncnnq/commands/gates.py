"""Gates for scripts: exit code 1 where an int8 model is too far from the float model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pyncnnq.commands.options import together
from pyncnnq.errors import FailedGateError, PyncnnqError

if TYPE_CHECKING:  # for the sake of a quick start
    from pyncnnq.evaluation.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What an int8 model must keep, as typed by the user."""

    fail_under_sqnr: float | None
    fail_drop: float | None

    @property
    def are_set(self) -> bool:
        """Whether there is anything to check."""
        return self.fail_under_sqnr is not None or self.fail_drop is not None

    def check(self, result: Evaluation) -> None:
        """Make sure that a model has what it must keep.

        Raises:
            FailedGateError: it does not.
            PyncnnqError: none of the figures can drop.
        """
        failures = []
        if self.fail_under_sqnr is not None:
            failures += [
                f"SQNR of {output} is {output.sqnr:.2f} dB, below {self.fail_under_sqnr:g}"
                for output in result.outputs
                if output.sqnr < self.fail_under_sqnr
            ]
        if self.fail_drop is not None:
            # In the unit of the user's metric, shares of the task would always or never fail.
            figures = [result.score] if result.score else result.figures
            if all(figure.drop is None for figure in figures):
                raise PyncnnqError("there is nothing to drop; give a metric, or labels or a task", option="fail_drop")
            # Not `>`: a score that is not a number fails too.
            failures += [
                f"{figure.name} drops by {figure.drop:.4g}, more than {self.fail_drop:g}"
                for figure in figures
                if figure.drop is not None and not figure.drop <= self.fail_drop
            ]
        if failures:
            raise FailedGateError("; ".join(failures))


gate_options = together(
    "gates",
    Gates,
    [
        click.option(
            "--fail-under-sqnr", type=float, metavar="DB", help="Exit with code 1 if an output's SQNR is below this."
        ),
        click.option(
            "--fail-drop",
            type=float,
            metavar="POINTS",
            help="Exit with code 1 if top-1, detections (F1), lines read alike (in percentage points), or a metric of "
            "your own, drops more; docs/evaluate.md lists them.",
        ),
    ],
)
