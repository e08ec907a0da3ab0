"""From statistics and weights to the calibration table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.methods import DEFAULT, METHODS, Method, Observation
from pyncnnq.calibration.table import Scales, Table, check_row_names, weight_key
from pyncnnq.calibration.weight_scales import WEIGHT_BITS, weight_rows, weight_scales
from pyncnnq.calibration.winograd import bound_weight_scales
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Calibrated, Int8Op, ScaledWeight
from pyncnnq.runtime.pool import available_cores
from pyncnnq.statistics.observe import Statistics

LISTED = 4
"""How many layers with outputs that have only zero weights are named one by one."""


@dataclass(frozen=True)
class CalibratedLayer:
    """The scales that a layer got.

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
        statistics: of the samples; empty where no layer needs any.
        ignored: how many files of other types and hidden files lay in the folders of data.
        fused: what became of the layers that were fused into others or removed first, by name (see `pyncnnq.fuse`).
        inputs: how each input of the model was filled, as plain data; empty where no data was needed.
    """

    table: Table
    layers: list[CalibratedLayer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)
    ignored: int = 0
    fused: dict[str, str] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def with_table(self, table: Table) -> Calibration:
        """Return the calibration with another table, which may have other scales and lack rows."""
        layers = [
            replace(layer, scale=float(table[layer.name][0])) if layer.name in table else layer for layer in self.layers
        ]
        return replace(self, table=table, layers=layers)


def calibrate(
    model: Model, statistics: Statistics | None = None, *, method: str = DEFAULT, weight_bits: str | None = None
) -> Calibration:
    """Choose all scales and put them in a table with the rows and the order of ncnn2table.

    Args:
        model: the float model.
        statistics: of the blobs that feed its quantizable layers (see `collect`); None for a model with weight rows
            only.
        method: how scales are chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        weight_bits: how the bits of weights are chosen, a name in `pyncnnq.calibration.weight_scales.WEIGHT_BITS`;
            default: the method's.

    Raises:
        PyncnnqError: an unknown method, statistics that do not cover the model, weights that are not finite, or names
            of layers that clash in a table.
    """
    check_choices(method, weight_bits)
    chosen = METHODS[method]
    widths = WEIGHT_BITS[weight_bits or chosen.weight_bits]
    check_model(model)
    result = Calibration(Table())
    inputs = _inputs(model, statistics)
    bits = {entry.layer.name: widths.bits(entry.layer) for entry in inputs}
    dead: list[_Dead] = []
    with ThreadPoolExecutor(available_cores()) as pool:  # the core releases the GIL
        scales = pool.map(lambda entry: _observed_weight_scales(entry, chosen, bits[entry.layer.name]), inputs)
        for entry, row in zip(inputs, scales, strict=True):
            dead += _add_weight_row(result.table, entry.layer, 0, *row)
        thresholds = _thresholds(inputs, statistics.samples if statistics else 0, chosen, pool)
    bounded = bound_weight_scales(model, result.table) if widths.bounded else {}
    for entry in inputs:
        _add_activation_row(result, entry, thresholds[entry.blob], bits, bounded)
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
    """Make sure that the names are known; None stands for the method's default.

    Raises:
        PyncnnqError: a name is not; the message lists those that are.
    """
    METHODS[method]
    if weight_bits is not None and weight_bits not in WEIGHT_BITS:
        raise PyncnnqError(f"unknown weight bits {weight_bits!r}; there are: {', '.join(WEIGHT_BITS)}")


def check_model(model: Model) -> None:
    """Make sure, before long work too, that all weights can have scales, and rows in a table.

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
    """The input of a layer: a blob, named by what a Split copies, and its statistics."""

    layer: Layer
    blob: str
    statistics: BlobStatistics


def _inputs(model: Model, statistics: Statistics | None) -> list[_Input]:
    """Return the inputs of all layers with an activation row, in model order."""
    graph = model.graph()
    blobs = statistics.blobs if statistics is not None else {}
    inputs = []
    for layer in (layer for layer in model.layers if layer.op.needs_activation_scale):
        blob = graph.split_root(layer.bottoms[0])
        if blob not in blobs:
            raise PyncnnqError(f"{layer} needs calibration data: its input was not observed; give images or .npy files")
        inputs.append(_Input(layer, blob, blobs[blob]))
    return inputs


def _observed_weight_scales(entry: _Input, method: Method, bits: int) -> tuple[Scales, int]:
    """Return the weight scales of a layer, and how many of its rows are all zero and got 1."""
    (weight,) = entry.layer.op.scaled_weights()
    return method.weight_scales(entry.layer, weight, bits, entry.statistics)


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
    """Return a line for each array, or one line where there are many: networks trained with weight decay have dead
    outputs in every layer."""
    if len(dead) <= LISTED:
        return [
            f"{rows.layer}: {_dead_rows(rows)} in {rows.weight.weight}; their scale is written as 1" for rows in dead
        ]
    listed = ", ".join(f"{rows.layer.name} ({rows.count} of {rows.weight.rows})" for rows in dead[:LISTED])
    return [f"{len(dead)} layers have outputs with only zero weights, whose scales are written as 1: {listed}, ..."]


def _dead_rows(rows: _Dead) -> str:
    if rows.count == rows.weight.rows:
        return "all of its weights are zero"
    return f"{rows.count} of its {rows.weight.rows} outputs have only zero weights"


def _thresholds(inputs: Sequence[_Input], samples: int, method: Method, pool: Executor) -> dict[str, np.float32]:
    """Return the threshold of each blob, by its name; 0 for a blob that is all zero."""
    blobs: dict[str, Observation] = {}
    for entry in inputs:
        before = blobs[entry.blob].readers if entry.blob in blobs else ()
        blobs[entry.blob] = Observation(entry.statistics, samples, (*before, entry.layer))

    def threshold(blob: Observation) -> np.float32:
        return method.threshold(blob) if blob.statistics.absmax > 0 else np.float32(0)

    return dict(zip(blobs, pool.map(threshold, blobs.values()), strict=True))


def _add_activation_row(
    result: Calibration, entry: _Input, threshold: np.float32, bits: Mapping[str, int], bounded: Mapping[str, int]
) -> None:
    layer = entry.layer
    scale = _activation_scale(threshold)
    if threshold == 0 or not np.isfinite(np.float32(127) / threshold):
        result.warnings.append(f"{layer}: its input {entry.blob} was zero on all data; its scale is written as 1")
    result.table[layer.name] = scale
    result.layers.append(
        CalibratedLayer(
            layer.name,
            layer.type,
            entry.statistics.absmax,
            float(threshold),
            float(scale[0]),
            bits[layer.name],
            bounded.get(layer.name, 0),
        )
    )


def _activation_scale(threshold: np.float32) -> Scales:
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.float32(127) / threshold
    return np.array([scale if np.isfinite(scale) else 1], np.float32)
