"""Rewrites by their common result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyncnnq.model import Model
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites import centring, equalization, scalar_folding, scale_layers
from pyncnnq.rewrites.rewritten import Rewritten
from pyncnnq.statistics.ranges import ChannelRanges


def fold_scalars(model: Model) -> Rewritten:
    new, names = scalar_folding.fold_scalars(model)
    return Rewritten(new, tuple(names))


def insert_scales(model: Model) -> Rewritten:
    new, names = scale_layers.insert_scales(model)
    return Rewritten(new, tuple(names))


def centre(model: Model, ranges: Mapping[str, ChannelRanges]) -> Rewritten:
    new, _, names = centring.centre(model, ranges)
    offsets = centring._Centred(model, ranges).offsets
    return Rewritten(new, tuple(names), {blob: BlobStorage(np.ones(1), -offset) for blob, offset in offsets.items()})


def equalize(model: Model, ranges: Mapping[str, ChannelRanges]) -> Rewritten:
    new, _, groups = equalization.equalize(model, ranges)
    return Rewritten(new, tuple(blob for group in groups for blob in group.blobs))
