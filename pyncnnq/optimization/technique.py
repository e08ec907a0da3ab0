"""The interface of techniques: what makes int8 models more accurate, and is tried by a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from pyncnnq.model import Model
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.source import Need, Source
from pyncnnq.rewrites.rewritten import Rewritten

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

Subject = TypeVar("Subject", Source, Draft)


class Stage(Enum):
    """When techniques are applied, in this order, and to what.

    Within a stage, techniques go in the order of the registry.
    """

    REWRITING = "the float model is rewritten, by all techniques one after another; models with and without are judged"
    CORRECTING = "drafts are changed, by each technique alone and by all together; all of them are judged"
    THRESHOLDS = "the best draft so far gets other thresholds"
    MIXED_PRECISION = "layers of the best draft so far stay in float"
    ROUNDING = "the best drafts so far get other weights, chosen by what each layer sees"


@dataclass(frozen=True, kw_only=True)
class Technique(ABC, Generic[Subject]):
    """Something that makes int8 models more accurate.

    A technique of stage REWRITING takes and returns a `Source`, all others a `Draft`.

    Attributes:
        name: of the technique.
        stage: when it is applied.
        recipes: the names of recipes that try it.
        needs: what has to be known of the blobs of the model: `Source.seen` has it then.  It is collected for all
            techniques of a stage in common.
        requires: the names of techniques without which it is not tried.
        most: how many drafts, the best first, a technique of stage ROUNDING is applied to.
    """

    name: str
    stage: Stage
    recipes: Collection[str] = ("best",)
    needs: Collection[Need] = ()
    requires: Collection[str] = ()
    most: int = 1

    @abstractmethod
    def apply(self, subject: Subject, bench: Bench) -> Subject | None:
        """Return what the technique makes of a source or a draft; None where it has nothing to change.

        Args:
            subject: is not changed.
            bench: samples, processes and judges.
        """

    def tidy(self, subject: Subject) -> Subject:
        """Return a source without what the technique put into its model and no later technique had a use for."""
        return subject


@dataclass(frozen=True, kw_only=True)
class Rewriting(Technique[Source]):
    """A technique that rewrites the float model and keeps its outputs as they are.

    Attributes:
        rewrite: takes the model, and what the technique needs by the values of `Need` as keywords.
        remove_idle: takes a rewritten model and the names that `rewrite` changed, and returns the model without those
            layers that do nothing, and the names of the others; see `tidy`.
    """

    stage: Stage = Stage.REWRITING
    rewrite: Callable[..., Rewritten]
    remove_idle: Callable[[Model, Collection[str]], tuple[Model, list[str]]] | None = None

    def apply(self, subject: Source, bench: Bench) -> Source | None:  # noqa: ARG002
        result = self.rewrite(subject.model, **{need.value: subject.seen[need] for need in self.needs})
        return subject.rewritten(self.name, result) if result.changed else None

    def tidy(self, subject: Source) -> Source:
        if self.remove_idle is None or self.name not in subject.changed:
            return subject
        model, left = self.remove_idle(subject.model, subject.changed[self.name])
        changed = {name: names for name, names in subject.changed.items() if name != self.name or left}
        return replace(subject, model=model, changed=changed)
