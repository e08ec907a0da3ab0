"""From statistics and weights to the calibration table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.importance import importance
from pyncnnq.calibration.methods import METHODS
from pyncnnq.calibration.methods.mse import BINS, mse
from pyncnnq.calibration.table import Scales, Table, check_row_names, weight_key
from pyncnnq.calibration.weight_scales import WEIGHT_BITS, aciq_weight_scales, weight_rows, weight_scales
from pyncnnq.calibration.weight_search import least_error_scales
from pyncnnq.calibration.winograd import bounded_scales, is_non_negative, may_use_winograd
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Calibrated, Int8Op, ScaledWeight
from pyncnnq.statistics.observe import Statistics

LISTED = 4
"""How many layers with outputs that have only zero weights are named one by one."""


@dataclass(frozen=True)
class CalibratedLayer:
    """What was decided for the input of one layer.

    Attributes:
        name: the layer.
        type: its ncnn type.
        absmax: the largest magnitude that its input took, in the input's units.
        threshold: the largest magnitude that int8 shall represent; larger ones are clipped to it.
        scale: int8 = float * scale.
        weight_bits: bits of its weights.
        bounded_outputs: how many of its outputs got smaller weight scales than the bits allow, so that no sum can
            overflow.
    """

    name: str
    type: str
    absmax: float
    threshold: float
    scale: float
    weight_bits: int
    bounded_outputs: int


@dataclass
class Calibration:
    """A calibration table and how it came about.

    Attributes:
        table: the table, ready to be written.
        layers: the layers with an activation row, in model order.
        warnings: one line for each thing that a user should look at.
    """

    table: Table
    layers: list[CalibratedLayer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def with_table(self, table: Table) -> Calibration:
        """The same with another table, which may have other scales and lack rows."""
        layers = [
            replace(layer, scale=float(table[layer.name][0])) if layer.name in table else layer for layer in self.layers
        ]
        return replace(self, table=table, layers=layers)


def calibrate(
    model: Model, statistics: Statistics | None = None, *, method: str = "auto", weight_bits: str | None = None
) -> Calibration:
    """Choose all scales and put them in a table with the rows and the order of ncnn2table.

    `kl` and `aciq` choose them as ncnn2table does, `auto` for the least error: thresholds as `mse`, and weight scales
    by the error at the layer's output, where weights have 8 bits (pyncnnq/calibration/weight_search.py).

    Args:
        model: the float model.
        statistics: of the blobs that feed its quantizable layers (see `collect`); None for a model with weight rows
            only.
        method: how activation thresholds are chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        weight_bits: how the bits of weights are chosen, a name in `pyncnnq.calibration.weight_scales.WEIGHT_BITS`;
            default: "proven" for `auto`, else "ncnn".

    Raises:
        PyncnnqError: an unknown method, statistics that do not cover the model, weights that are not finite, or names
            of layers that clash in a table.
    """
    check_choices(method, weight_bits)
    weight_bits = weight_bits or ("proven" if method == "auto" else "ncnn")
    check_model(model)
    result = Calibration(Table())
    observed = [layer for layer in model.layers if layer.op.needs_activation_scale]
    inputs = _inputs(model, observed, statistics)
    bits = {layer.name: WEIGHT_BITS[weight_bits](layer) for layer in observed}
    dead: list[_Dead] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the core releases the GIL
        scales = pool.map(
            lambda layer: _observed_weight_scales(layer, inputs[layer.name].statistics, method, bits[layer.name]),
            observed,
        )
        for layer, chosen in zip(observed, scales, strict=True):
            dead += _add_weight_row(result.table, layer, 0, *chosen)
        thresholds = _thresholds(observed, inputs, statistics or Statistics(), method, pool)
    bounded = _bound_weight_scales(result.table, model, observed) if weight_bits == "proven" else {}
    _add_activation_rows(result, observed, inputs, thresholds, bits, bounded)
    for layer in _weight_only(model):
        for index, weight in enumerate(layer.op.scaled_weights()):
            dead += _add_weight_row(result.table, layer, index, *weight_scales(layer, weight, 8))
    result.warnings += _warnings_of_dead(dead)
    for layer in model.layers:
        if isinstance(layer.op, Calibrated) and layer.op.has_dynamic_weight:
            result.warnings.append(f"{layer} takes its weights from a blob and stays in float")
    if not any(result.table.rows()):
        result.warnings.append("the table is empty: no layer of this model has scales in a table")
    return result


def _weight_only(model: Model) -> list[Layer]:
    """Return the layers with weight rows and no activation row, in the order of their rows."""
    views = [op for layer in model.layers if isinstance(op := layer.op, Int8Op) and not isinstance(op, Calibrated)]
    return [op.layer for op in sorted(views, key=lambda op: op.table_order)]


def check_choices(method: str, weight_bits: str | None) -> None:
    """Make sure that the names are known; None stands for the default.

    Raises:
        PyncnnqError: one is not; the message lists those that are.
    """
    for what, name, known in (("method", method, METHODS), ("weight bits", weight_bits, WEIGHT_BITS)):
        if name is not None and name not in known:
            raise PyncnnqError(f"unknown {what} {name!r}; there are: {', '.join(known)}")


def check_model(model: Model) -> None:
    """Find out, before long work too, whether all weights can have scales, and rows in a table.

    Raises:
        ModelError: a layer that is int8 already; or naming the layer and the array that is not finite, or whose size is
            wrong.
        TableError: layers whose names clash in a table.
    """
    require_float(model)
    check_row_names(model)
    model.check_finite()
    for layer in model.layers:
        if not layer.op.has_dynamic_weight:
            for weight in layer.op.scaled_weights():
                weight_rows(layer, weight)


@dataclass(frozen=True)
class _Input:
    """The blob that a layer reads, and what was learnt of it."""

    blob: str
    statistics: BlobStatistics


def _inputs(model: Model, layers: Sequence[Layer], statistics: Statistics | None) -> dict[str, _Input]:
    """The input of each layer, by the layer's name."""
    graph = model.graph()
    roots = {layer.name: graph.split_root(layer.bottoms[0]) for layer in layers}
    blobs = statistics.blobs if statistics is not None else {}
    missing = [layer for layer in layers if roots[layer.name] not in blobs]
    if missing:
        raise PyncnnqError(
            f"{missing[0]} needs calibration data: its input was not observed; give images or .npy files"
        )
    return {name: _Input(blob, blobs[blob]) for name, blob in roots.items()}


def _observed_weight_scales(layer: Layer, blob: BlobStatistics, method: str, bits: int) -> tuple[Scales, int]:
    """Weight scales of a layer that reads this blob, and how many of its rows are all zero and got 1."""
    (weight,) = layer.op.scaled_weights()
    if method == "auto" and bits == 8:
        return least_error_scales(layer, weight, blob)
    return (aciq_weight_scales if method == "aciq" else weight_scales)(layer, weight, bits)


@dataclass(frozen=True)
class _Dead:
    """Outputs of a layer, or rows of one of its arrays, that have only zero weights."""

    layer: Layer
    weight: ScaledWeight
    count: int


def _add_weight_row(table: Table, layer: Layer, index: int, scales: Scales, zeros: int) -> list[_Dead]:
    table[weight_key(layer.name, index)] = scales
    return [_Dead(layer, layer.op.scaled_weights()[index], zeros)] if zeros else []


def _warnings_of_dead(dead: Sequence[_Dead]) -> list[str]:
    """A line for each, or one line where there are many: networks trained with weight decay have them in every
    layer."""
    if len(dead) <= LISTED:
        return [f"{one.layer}: {_dead_rows(one)} in {one.weight.weight}; their scale is written as 1" for one in dead]
    listed = ", ".join(f"{one.layer.name} ({one.count} of {one.weight.rows})" for one in dead[:LISTED])
    return [f"{len(dead)} layers have outputs with only zero weights, whose scales are written as 1: {listed}, ..."]


def _dead_rows(one: _Dead) -> str:
    if one.count == one.weight.rows:
        return "all of its weights are zero"
    return f"{one.count} of its {one.weight.rows} outputs have only zero weights"


def _bound_weight_scales(table: Table, model: Model, layers: Sequence[Layer]) -> dict[str, int]:
    """Lower the scales of weights whose products could overflow in int8 winograd; returns how many of each layer
    were."""
    graph = model.graph()
    bounded = {}
    for layer in layers:
        if may_use_winograd(layer):
            (weight,) = layer.op.scaled_weights()
            key = weight_key(layer.name, 0)
            # Where it pads with a number, that may be a negative one.
            non_negative = is_non_negative(graph, layer.bottoms[0]) and not layer.op.pads_with_value
            scales = bounded_scales(weight_rows(layer, weight)[0], table[key], non_negative)
            bounded[layer.name] = int(np.count_nonzero(scales != table[key]))
            table[key] = scales
    return bounded


def _thresholds(
    layers: Iterable[Layer], inputs: Mapping[str, _Input], statistics: Statistics, method: str, pool: ThreadPoolExecutor
) -> dict[str, np.float32]:
    """The threshold of each blob that these layers read, by its name; 0 for one that is all zero."""
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        readers.setdefault(inputs[layer.name].blob, []).append(layer)

    def threshold(name: str) -> np.float32:
        blob = statistics.blobs[name]
        if blob.absmax == 0:
            return np.float32(0)
        absmax = blob.channel_absmax()
        if method == "auto" and absmax.size > 0:
            return mse(blob, importance(readers[name], absmax, BINS))
        return METHODS[method](blob, statistics.samples)

    return dict(zip(readers, pool.map(threshold, readers), strict=True))


def _add_activation_rows(
    result: Calibration,
    layers: Sequence[Layer],
    inputs: Mapping[str, _Input],
    thresholds: Mapping[str, np.float32],
    bits: Mapping[str, int],
    bounded: Mapping[str, int],
) -> None:
    for layer in layers:
        blob, absmax = inputs[layer.name].blob, inputs[layer.name].statistics.absmax
        threshold = thresholds[blob]
        scale = _activation_scale(threshold)
        if threshold == 0 or not np.isfinite(np.float32(127) / threshold):
            result.warnings.append(f"{layer}: its input {blob} was zero on all data; its scale is written as 1")
        result.table[layer.name] = scale
        found = CalibratedLayer(
            layer.name,
            layer.type,
            absmax,
            float(threshold),
            float(scale[0]),
            bits[layer.name],
            bounded.get(layer.name, 0),
        )
        result.layers.append(found)


def _activation_scale(threshold: np.float32) -> Scales:
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.float32(127) / threshold
    return np.array([scale if np.isfinite(scale) else 1], np.float32)
