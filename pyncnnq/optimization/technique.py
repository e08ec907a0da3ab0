"""The interface of techniques: ways to make an int8 model more accurate, tried by recipes.

A technique is a function that rewrites the float model (pyncnnq/rewrites), wrapped as `Rewriting`, or a class that
changes drafts of int8 models, such as those of pyncnnq/optimization/correcting.py.  It takes part in recipes by its
line in pyncnnq/optimization/techniques.py, or in another package by an entry point of the group `pyncnnq.techniques`:

    [project.entry-points."pyncnnq.techniques"]
    turning = "my_package:TURNING"

    TURNING = Rewriting(name="turning", rewrite=turn, needs=(Need.CHANNELS,))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from pyncnnq.model import Model
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.goals import GOALS
from pyncnnq.optimization.source import Need, Source
from pyncnnq.rewrites.rewritten import Rewritten

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

Subject = TypeVar("Subject", Source, Draft)


class Stage(Enum):
    """When techniques are applied, in this order, and to what.

    Within a stage, techniques go in the order of the registry.
    """

    PREPARING = "the float model is rewritten, by what needs at most SHAPES and COLUMNS; no model without is judged"
    REWRITING = "the float model is rewritten, by all techniques one after another; models with and without are judged"
    CORRECTING = "drafts are changed, by each technique alone and by all together; all of them are judged"
    THRESHOLDS = "the best draft so far gets other thresholds"
    MIXED_PRECISION = "layers of the best draft so far stay in float"
    ROUNDING = "the best drafts so far get other weights, chosen by what each layer sees"


@dataclass(frozen=True, kw_only=True)
class Technique(ABC, Generic[Subject]):
    """A way to make an int8 model more accurate.

    A technique of stage PREPARING or REWRITING takes and returns a `Source`, all others a `Draft`.

    Attributes:
        name: as in the registry.
        stage: when the technique is applied.
        recipes: the names of the recipes that try the technique.
        needs: the facts about the model's blobs that `Source.seen` must hold.  One pass over the samples collects them
            for all techniques of a stage.
        requires: the names of techniques without which this technique is not tried.
        goals: the names of the goals (see `pyncnnq.optimization.goals`) for which the technique is of use.
        for_budgets: whether the technique is of use only where a budget lets layers stay in float, any of them.
        most: how many drafts, the best first, a technique of stage ROUNDING is applied to.
    """

    name: str
    stage: Stage
    recipes: Collection[str] = ("best",)
    needs: Collection[Need] = ()
    requires: Collection[str] = ()
    goals: Collection[str] = tuple(GOALS)
    for_budgets: bool = False
    most: int = 1

    @abstractmethod
    def apply(self, subject: Subject, bench: Bench) -> Subject | None:
        """Return the changed source or draft; None where the technique has nothing to change.

        Args:
            subject: is not changed.
            bench: samples, processes and judges.
        """

    def tidy(self, subject: Subject) -> Subject:
        """Return the source without the layers that this technique inserted and no later technique used."""
        return subject


@dataclass(frozen=True, kw_only=True)
class Rewriting(Technique[Source]):
    """A technique that rewrites the float model and keeps its outputs as they are.

    Attributes:
        rewrite: takes the model and, for each need, a keyword named by the value of `Need`: `ranges`, `statistics`.
        remove_idle: takes a rewritten model and the names of the layers that `rewrite` inserted, and removes the layers
            that still do nothing; the result's `changed` names the layers that stay (see `tidy`).
    """

    stage: Stage = Stage.REWRITING
    rewrite: Callable[..., Rewritten]
    remove_idle: Callable[[Model, Collection[str]], Rewritten] | None = None

    def apply(self, subject: Source, bench: Bench) -> Source | None:  # noqa: ARG002
        result = self.rewrite(subject.model, **{need.value: subject.seen[need] for need in self.needs})
        return subject.rewritten(self.name, result) if result.changed else None

    def tidy(self, subject: Source) -> Source:
        if self.remove_idle is None or self.name not in subject.changed:
            return subject
        result = self.remove_idle(subject.model, subject.changed[self.name])
        changed = {**subject.changed, self.name: result.changed}
        return replace(subject, model=result.model, changed={name: names for name, names in changed.items() if names})
