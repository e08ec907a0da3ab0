"""A float model that drafts of int8 models are made of, and what is known of its blobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from pyncnnq.model import Model
from pyncnnq.quantization.storage import PLAIN, BlobStorage
from pyncnnq.rewrites.rewritten import Rewritten
from pyncnnq.statistics.observe import Statistics
from pyncnnq.statistics.ranges import ChannelRanges


class Need(Enum):
    """What a technique needs to know of the blobs that feed quantizable layers."""

    BLOBS = "statistics"
    """`Statistics`: histograms of whole blobs."""
    CHANNELS = "ranges"
    """By blob, `ChannelRanges`: the range, mean and variance of each channel."""


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
        """Return the source after a technique; of what was seen, the ranges of channels can be told without a run."""
        ranges = {
            name: _as_stored(measured, result.storage.get(name, PLAIN))
            for name, measured in self.seen.get(Need.CHANNELS, {}).items()
        }
        return replace(
            self,
            model=result.model,
            changed={**self.changed, technique: tuple(result.changed)},
            storage=compose(self.storage, result.storage),
            seen={Need.CHANNELS: ranges} if Need.CHANNELS in self.seen else {},
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


def compose(before: Mapping[str, BlobStorage], after: Mapping[str, BlobStorage]) -> dict[str, BlobStorage]:
    """Return how blobs are stored after two rewrites, one after another."""
    return {name: before.get(name, PLAIN).then(after.get(name, PLAIN)) for name in dict.fromkeys([*before, *after])}


def _as_stored(ranges: ChannelRanges, storage: BlobStorage) -> ChannelRanges:
    """Return the ranges of what is stored of a blob."""
    ends = [(end - storage.offset) / storage.gain for end in (ranges.min, ranges.max)]
    return ChannelRanges(
        min=np.minimum(*ends),
        max=np.maximum(*ends),
        mean=(ranges.mean - storage.offset) / storage.gain,
        variance=ranges.variance / storage.gain**2,
        spread=ranges.spread / np.abs(storage.gain),
        zeros=np.where(storage.offset == 0, ranges.zeros, 0),
    )
