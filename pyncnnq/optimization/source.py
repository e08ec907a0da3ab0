"""A float model that drafts of int8 models are made of, and what is known of its blobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from pyncnnq.model import Model
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.rewritten import Rewritten, composed, stored_ranges
from pyncnnq.statistics.observe import Statistics


class Need(Enum):
    """What a technique needs to know of the blobs that feed quantizable layers."""

    BLOBS = "statistics"
    """`Statistics`: histograms of whole blobs."""
    CHANNELS = "ranges"
    """By blob, `ChannelRanges`: the range, mean and variance of each channel."""
    COLUMNS = "columns"
    """By blob, `Columns`, of those that layers quantize while they run (see `pyncnnq.rewrites.dynamic`)."""
    SHAPES = "shapes"
    """By blob, the shape that a sample gives it, of those that are multiplied with constants (see
    `pyncnnq.rewrites.constant_products`)."""


@dataclass(frozen=True, eq=False)
class Source:
    """A float model that computes what the user's model does.

    Attributes:
        model: the float model.
        changed: the names of the techniques that rewrote the user's model, in order, each with the names of the layers
            or blobs that it changed.
        storage: how blobs of the user's model are stored in this model, by name; plainly where there is none.
        seen: what is known of the blobs of this model.
    """

    model: Model
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    storage: Mapping[str, BlobStorage] = field(default_factory=dict)
    seen: Mapping[Need, Any] = field(default_factory=dict)

    def rewritten(self, technique: str, result: Rewritten) -> Source:
        """Return the source after a technique; of what was seen, ranges of channels alone need no new run."""
        return replace(
            self,
            model=result.model,
            changed={**self.changed, technique: tuple(result.changed)},
            storage=composed(self.storage, result.storage),
            seen={
                need: stored_ranges(seen, result.storage) for need, seen in self.seen.items() if need is Need.CHANNELS
            },
        )

    @property
    def techniques(self) -> tuple[str, ...]:
        """The names of the techniques that rewrote the user's model, in order."""
        return tuple(self.changed)

    @property
    def statistics(self) -> Statistics:
        """The statistics of blobs; empty before they are collected."""
        found: Statistics = self.seen.get(Need.BLOBS, Statistics())
        return found

    @cached_property
    def extremes(self) -> dict[str, tuple[float, float]]:
        """The smallest and the largest value of each blob, by name."""
        return {blob: (seen.min, seen.max) for blob, seen in self.statistics.blobs.items()}
