"""What an int8 model is for: which layers stay in float unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyncnnq.errors import PyncnnqError


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What an int8 model is for.

    Attributes:
        name: of the goal.
        help: a few words for help texts.
        is_fast: layers that int8 makes slower on the device stay in float.
        is_accurate: a few layers that lose much in int8 stay in float, as the recipe says.
    """

    name: str
    help: str
    is_fast: bool
    is_accurate: bool


GOALS: Mapping[str, Goal] = {
    goal.name: goal
    for goal in (
        Goal(name="accuracy", help="few layers in float, for accuracy alone", is_fast=False, is_accurate=True),
        Goal(name="speed", help="layers that int8 makes slower in float, no others", is_fast=True, is_accurate=False),
        Goal(name="balanced", help="both", is_fast=True, is_accurate=True),
        Goal(name="size", help="every layer in int8 that can be", is_fast=False, is_accurate=False),
    )
}


def goal_named(name: str | None, *, for_speed: Mapping[str, object]) -> Goal:
    """Return a goal; without a name `accuracy`, or `balanced` where something is given that is for speed.

    Args:
        name: of the goal.
        for_speed: what is of use for speed alone, by option; None and False: it is not given.

    Raises:
        PyncnnqError: an unknown name, or something for speed for a goal that does not ask how fast it is.
    """
    given = next((option for option, value in for_speed.items() if value is not None and value is not False), None)
    if name is None:
        return GOALS["balanced" if given else "accuracy"]
    if name not in GOALS:
        raise PyncnnqError(f"unknown goal {name!r}; there are: {', '.join(GOALS)}", option="goal")
    goal = GOALS[name]
    if given and not goal.is_fast:
        fast = ", ".join(other.name for other in GOALS.values() if other.is_fast)
        raise PyncnnqError(f"is of use for the goals {fast}, not for {name}; leave it out", option=given)
    return goal
