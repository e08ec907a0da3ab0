"""Zero points for blobs of both signs that are not symmetric, where a convolution that pads reads them.

ncnn quantizes by a scale alone, so a blob with values in [-0.4, 6] leaves nearly half of int8 unused.  It can be stored
as x' = x - m or x' = m - x instead, with m the middle of its range and the scale 127 / (half of its range), if a linear
layer writes it and quantizable layers alone read it:

    x = U u + b           becomes  x' = +-(U u + b - m)                a bias, and perhaps the other sign of the weights
    y = sum of w x + c    becomes  sum of +-w x' + c + m sum of w      a bias, and the same sign

The sum is that of the weights as int8 holds them, so that the shift is exact (see pyncnnq/rewrites/zero_point.py, which
does the same for blobs that are never negative).  Padding stands for x = 0, which x' = -+m stands for: the sign is
chosen so that this is positive, as ncnn's int8 convolutions get negative pads wrong, and m so that it is one of the
int8 numbers.

Blobs that nothing pads are better shifted channel by channel; a border has the same value in all channels.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.calibration.table import Table
from pyncnnq.model import Graph, Layer, Model
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Calibrated
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.linear import bias, set_bias, turn
from pyncnnq.rewrites.zero_point import can_read_shifted, sums_of_weights

SMALLEST_GAIN = 1.035
"""0.3 dB: with less, a shift is not worth it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Shift:
    """How a blob is stored: sign * (x - middle), quantized by a scale."""

    sign: int
    middle: float
    scale: float


def fold_asymmetric(
    model: Model, table: Table, ranges: Mapping[str, tuple[float, float]], smallest_gain: float = SMALLEST_GAIN
) -> tuple[Model, Table, list[str]]:
    """Store blobs shifted by the middle of their range, where a linear layer writes them and a convolution that pads
    reads them.

    The writer is a Convolution, ConvolutionDepthWise or InnerProduct without activation, or a Scale.  The readers,
    directly or through Split, must be of these types too, and those of them that become int8, one at least, must do so
    by one activation scale.  Neither may the blob be an output of the model.  What the table's threshold cuts off stays
    cut off.

    As with `fold_zero_points`, the new float model is one to quantize: it fits with the int8 weights.  What shall stay
    in float must be chosen before, by removing its rows from the table, and whatever changes weights or their scales
    later must change the biases too.

    Args:
        model: a float model.
        table: its calibration table; 127 / scale of an activation row is the threshold of the blob.
        ranges: the smallest and the largest value of the blobs that feed quantizable layers; copies of a Split are
            found under the blob that it copies.
        smallest_gain: by what factor the steps of int8 must get smaller to make a shift worth it.

    Returns:
        The new float model; its table, where the activation rows of readers are changed; and the names of the blobs
        that are stored shifted, copies included, in model order.  The arguments are left as they are.

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
        TableError: a table that does not fit the model.
    """
    require_sound_float(model)
    table.check(model)
    floats = prevented(model, table)
    shifts = _shifts(model, table, floats, ranges, smallest_gain)
    model, table = model.copy(), copy.deepcopy(table)
    for layer in model.layers:
        if isinstance(layer.op, Calibrated) and layer.bottoms[0] in shifts:
            _fold_into_reader(layer, shifts[layer.bottoms[0]], table, floats)
        if layer.type != "Split" and layer.tops and layer.tops[0] in shifts:
            _fold_into_producer(layer, shifts[layer.tops[0]])
    return model, table, [top for layer in model.layers for top in layer.tops if top in shifts]


def quantizers(model: Model, table: Table, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Quantizer]:
    """How the blobs that `fold_asymmetric` would store shifted become int8, by name, but for the sign."""
    return {
        blob: Quantizer(shift.scale, shift.middle)
        for blob, shift in _shifts(model, table, prevented(model, table), ranges).items()
    }


def _shifts(
    model: Model,
    table: Table,
    floats: Collection[str],
    ranges: Mapping[str, tuple[float, float]],
    smallest_gain: float = SMALLEST_GAIN,
) -> dict[str, _Shift]:
    """How to store the blobs that are worth it, and their copies."""
    graph = model.graph()
    found: dict[str, _Shift] = {}
    for layer in model.layers:
        if not _is_linear(layer) or layer.tops[0] not in ranges:
            continue
        blobs = _copies(layer.tops[0], graph)
        readers = graph.readers(layer.tops[0])
        scales = [float(table[one.name][0]) for one in readers if can_read_shifted(one) and one.name not in floats]
        if (
            scales
            and all(map(can_read_shifted, readers))
            and any(layer.op.pads for layer in readers)
            and all(map(graph.consumers, blobs))
        ):
            shift = _shift(*ranges[layer.tops[0]], scales, smallest_gain)
            found |= dict.fromkeys(blobs, shift) if shift is not None else {}
    return found


def _is_linear(layer: Layer) -> bool:
    if layer.type == "Scale":
        return len(layer.bottoms) == 1
    return isinstance(layer.op, Calibrated) and not layer.op.has_dynamic_weight and layer.params.get_int(9, 0) == 0


def _copies(blob: str, graph: Graph) -> list[str]:
    """The blob, and all that Split layers make of it."""
    found = [blob]
    for one in found:
        found += [top for layer in graph.consumers(one) if layer.type == "Split" for top in layer.tops]
    return found


def _shift(low: float, high: float, scales: Sequence[float], smallest_gain: float) -> _Shift | None:
    """How to store values from `low` to `high` that have been quantized by these scales; None if nothing is gained, or
    they differ."""
    threshold = 127 / scales[0]
    low, high = max(min(low, 0.0), -threshold), min(max(high, 0.0), threshold)  # zeros of a border belong to it
    half, largest = (high - low) / 2, max(high, -low)
    if len(set(scales)) > 1 or half == 0 or largest < smallest_gain * half:
        return None
    scale = scales[0] * largest / half  # a threshold with headroom above the largest keeps it
    middle = float(np.rint((low + high) / 2 * scale)) / scale
    return _Shift(-1 if middle > 0 else 1, middle, scale)


def _fold_into_reader(layer: Layer, shift: _Shift, table: Table, floats: Collection[str]) -> None:
    """Let the layer read its input shifted, and its table row fit that."""
    sums = sums_of_weights(layer, table, floats)
    _set(layer, shift.sign, bias(layer) + shift.middle * sums)
    if layer.name not in floats:
        table[layer.name] = shift.scale
    if layer.op.pads:
        layer.params.set(18, abs(shift.middle))


def _fold_into_producer(layer: Layer, shift: _Shift) -> None:
    """Let the layer write its output shifted."""
    _set(layer, shift.sign, shift.sign * (bias(layer) - shift.middle))


def _set(layer: Layer, sign: int, values: Floats) -> None:
    """Multiply the weights by a sign, and set the bias."""
    turn(layer, sign)
    set_bias(layer, values)
