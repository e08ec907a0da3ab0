"""The result that all rewrites share: the new model, what changed, and how the new model stores the old one's blobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pyncnnq.calibration.table import Table
from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_float
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.statistics.ranges import ChannelRanges


@dataclass(frozen=True, eq=False)
class Rewritten:
    """A model after a rewrite that keeps what it computes; the model that was given is left as it is.

    Attributes:
        model: the new float model.
        changed: the names of the blobs or layers that the rewrite changed, in model order; empty if there was nothing
            to do.
        storage: by name, how the new model stores a blob of the model that was given.  All blobs are listed whose
            content differs, copies and terms of sums too; a blob that both models have, and that is not listed, has
            the same values in both.
    """

    model: Model
    changed: tuple[str, ...]
    storage: dict[str, BlobStorage]


@dataclass(frozen=True, eq=False)
class RewrittenWithTable(Rewritten):
    """A model after a rewrite that changes its calibration table too.

    Attributes:
        table: the table for the new model; the table that was given is left as it is.
    """

    table: Table


def composed(first: Mapping[str, BlobStorage], later: Mapping[str, BlobStorage]) -> dict[str, BlobStorage]:
    """Return how blobs are stored after two rewrites, of which the later took the first one's model."""
    return {**first, **later} | {name: first[name].then(later[name]) for name in first.keys() & later.keys()}


def stored_ranges(ranges: Mapping[str, ChannelRanges], storage: Mapping[str, BlobStorage]) -> dict[str, ChannelRanges]:
    """Return the channel ranges of the blobs of a rewritten model, given the ranges before and a rewrite's storage."""
    return {name: _stored(before, storage[name]) if name in storage else before for name, before in ranges.items()}


def unused(name: str, taken: set[str]) -> str:
    """Return the name, lengthened until it is not taken yet, and take it."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def with_layers_replaced(model: Model, replacing: Callable[[Layer, set[str]], list[Layer] | None]) -> Rewritten:
    """Return the model with others in place of some of its layers, one by one.

    Args:
        model: a float model; it is not changed.
        replacing: from a layer, which it may change, and the names that are taken to the layers in its place; None to
            leave it.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    changed = []
    for layer in model.layers:
        name, others = layer.name, replacing(layer, taken)
        layers += [layer] if others is None else others
        changed += [] if others is None else [name]
    model.layers = layers
    return Rewritten(model, tuple(changed), {})


def _stored(ranges: ChannelRanges, storage: BlobStorage) -> ChannelRanges:
    """Return the ranges of (x - offset) / gain; where there is an offset, no value is taken to be 0 any more."""
    gain, offset = storage.gain, storage.offset
    ends = (ranges.min - offset) / gain, (ranges.max - offset) / gain
    return replace(
        ranges,
        min=np.minimum(*ends),
        max=np.maximum(*ends),
        mean=(ranges.mean - offset) / gain,
        variance=ranges.variance / gain**2,
        spread=ranges.spread / np.abs(gain),
        zeros=np.where(offset == 0, ranges.zeros, 0),
    )
