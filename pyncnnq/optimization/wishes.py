"""What a user wants of the models between speed and accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyncnnq.errors import PyncnnqError
from pyncnnq.optimization.goals import Goal, goal_named


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which of the models between speed and accuracy to take; without a wish they are listed alone.

    Attributes:
        pick: the number of a model in the list, the fastest is 1; None: the one that is made without a list.
        latency_budget: milliseconds that an inference may take; of the models that keep to it the most accurate one.
    """

    pick: int | None = None
    latency_budget: float | None = None

    @classmethod
    def of(cls, *, front: bool, pick: int | None, latency_budget: float | None, has_device: bool) -> Wish | None:
        """Return the wish of a user; None where none is given.

        Args:
            front: the models are to be listed, which they are too where one of them is to be taken.
            pick, latency_budget: see `Wish`.
            has_device: there is a profile of a device.

        Raises:
            PyncnnqError: both are given, a number out of range, or a pick without a device, where times, and with them
                the list, differ from run to run.
        """
        if pick is not None and latency_budget is not None:
            raise PyncnnqError("is one way to take a model and `latency_budget=` another; give one", option="pick")
        if pick is not None and not has_device:
            raise PyncnnqError(
                "needs a profile, `device=`: without one this machine is measured, and the list differs each time",
                option="pick",
            )
        if latency_budget is not None and not 0 < latency_budget < math.inf:
            raise PyncnnqError(f"expected milliseconds above 0, not {latency_budget:g}", option="latency_budget")
        return (
            None
            if not front and pick is None and latency_budget is None
            else cls(pick=pick, latency_budget=latency_budget)
        )


def wished_goal(goal: str | None, *, device: object, wish: Wish | None) -> Goal:
    """Return the goal of a name; see `goal_named`.

    Args:
        goal: its name; None: not given.
        device: the profile of a device; None: not given.
        wish: which models are wanted; None: not given.

    Raises:
        PyncnnqError: see `goal_named`.
    """
    budget = None if wish is None else wish.latency_budget
    return goal_named(goal, for_speed={"device": device, "latency_budget": budget, "front": wish})
