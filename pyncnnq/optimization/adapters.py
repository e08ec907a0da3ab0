"""Rewrites by their common result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyncnnq.calibration.table import Table
from pyncnnq.model import Model
from pyncnnq.quantization.selection import prevented
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites import asymmetric, centring, equalization, scalar_folding, scale_layers, zero_point
from pyncnnq.rewrites.rewritten import Rewritten, RewrittenWithTable
from pyncnnq.statistics.ranges import ChannelRanges


def fold_scalars(model: Model) -> Rewritten:
    new, names = scalar_folding.fold_scalars(model)
    return Rewritten(new, tuple(names), {})


def insert_scales(model: Model) -> Rewritten:
    new, names = scale_layers.insert_scales(model)
    return Rewritten(new, tuple(names), {})


def centre(model: Model, ranges: Mapping[str, ChannelRanges]) -> Rewritten:
    new, _, names = centring.centre(model, ranges)
    offsets = centring._Centred(model, ranges).offsets
    return Rewritten(new, tuple(names), {blob: BlobStorage(np.ones(1), -offset) for blob, offset in offsets.items()})


def equalize(model: Model, ranges: Mapping[str, ChannelRanges]) -> Rewritten:
    new, _, groups = equalization.equalize(model, ranges)
    return Rewritten(new, tuple(blob for group in groups for blob in group.blobs), {})


def fold_zero_points(model: Model, table: Table) -> RewrittenWithTable:
    shifts = zero_point._shifts(model, table, prevented(model, table))
    new, new_table, names = zero_point.fold_zero_points(model, table)
    storage = {
        blob: BlobStorage(np.full(1, float(shift.sign)), np.full(1, shift.zero_point)) for blob, shift in shifts.items()
    }
    return RewrittenWithTable(new, tuple(names), storage, new_table)


def fold_asymmetric(model: Model, table: Table, ranges: Mapping[str, tuple[float, float]]) -> RewrittenWithTable:
    shifts = asymmetric._shifts(model, table, prevented(model, table), ranges)
    new, new_table, names = asymmetric.fold_asymmetric(model, table, ranges)
    storage = {
        blob: BlobStorage(np.full(1, float(shift.sign)), np.full(1, shift.middle)) for blob, shift in shifts.items()
    }
    return RewrittenWithTable(new, tuple(names), storage, new_table)
