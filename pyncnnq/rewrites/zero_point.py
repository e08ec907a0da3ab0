"""Zero points for a run time that has none: blobs that are never negative are stored shifted, so that they use all of
int8.

ncnn quantizes by a scale alone.  After a ReLU half of [-127, 127] is therefore never used.  A blob with values in [0,
T] can be stored as x' = x - z or x' = z - x instead, with z = T/2 and the scale 127/z, if the layers that write and
read it are changed to match:

    x = max(u, 0)             becomes  x' = max(u - z, -z)  or  min(z - u, z)     a bias, and a Clip for the ReLU
    y = sum of w x + b        becomes  sum of w x' + b + z sum of w   or  sum of -w x' + b + z sum of w

All of it is bias, which ncnn keeps in float32: it costs nothing at run time.  The sum of w in the last line is of the
    weights as int8
holds them: so the shift itself is exact, however coarse the weights are.  With the sum of the float weights their
rounding errors would be multiplied by z, and nothing would be gained.

The sign is turned (z - x) where a reader pads: padding stands for x = 0, and ncnn's int8 convolutions get pads of
negative numbers wrong (-z), but not positive ones.  Otherwise it is left, as the largest is then still the largest, and
max pooling may stand between.

In a residual block the bias of a convolution makes up for the zero point of what is added to it, and if that is turned
and the sum is not, or the other way round, the addition becomes a subtraction.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.model import Graph, Layer, Model
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Calibrated
from pyncnnq.quantization.layers import store_as_float16
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.linear import bias, outputs_of, set_bias, turn

_RELU, _CLIP = 1, 3  # activation_type (src/layer/fused_activation.h)
_UNBOUNDED = 1e30  # far beyond any value; ncnn has no activation with one bound but the ReLU
_MEAN = 3  # operation of a Reduction
_ADD, _SUBTRACT, _SUBTRACT_FROM = 0, 1, 7  # of a BinaryOp: a + b, a - b, b - a
_REARRANGES = ("Split", "Slice", "Concat", "ShuffleChannel", "Reshape", "Flatten", "Permute", "Squeeze", "ExpandDims")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Shift:
    """How a blob is stored: sign * (x - zero_point)."""

    sign: int
    zero_point: float


_UNSHIFTED = _Shift(1, 0.0)


def fold_zero_points(
    model: Model, table: Table, readers: Collection[str] | None = None
) -> tuple[Model, Table, list[str]]:
    """Store blobs that are never negative with a zero point, wherever all layers that touch them can be changed to
    match.

    Blobs tied by layers that only move values (Split, Concat, Slice, ShuffleChannel, Reshape, ..., pooling) share one
    zero point: half of the largest of their thresholds, and get one scale.  They are left as they are if one is an
    output of the model, written by anything but a convolution or InnerProduct with a ReLU or a Clip at 0, or read by
    anything but convolutions and InnerProducts, of which one at least will be int8; if the readers of one blob have
    different scales; or if any of the scales would become smaller. A ReLU layer, or a Clip at 0, writes them too if it
    reads a convolution without an activation, or the sum of one and another blob: of a residual block.  Such an
    addition, and none else, may read them too.

    The new float model is one to quantize, neither to run nor to calibrate: its outputs differ from the old one's, by z
    * sum(int8 weight / scale - weight) in each output of a reader, and that adds up (SqueezeNet 1.1: 8 dB).  With the
    int8 weights it fits again.  So what shall stay in float must be chosen before, by removing its rows from the table
    (its weights are stored as float16 then, as they will be), and whatever changes weights or their scales later must
    change the biases too.

    Args:
        model: a float model.
        table: its calibration table; 127 / scale of an activation row is the threshold T of the blob.
        readers: the names of the layers that may read shifted blobs; None: any layer may.

    Returns:
        The new float model; its table, where the activation rows of readers are changed; and the names of the blobs
        that are stored shifted, in model order.  The arguments are left as they are.  In a reader, sums may now
        overflow that could not before (see pyncnnq/calibration/winograd.py).

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
        TableError: a table that does not fit the model.
    """
    require_sound_float(model)
    table.check(model)
    floats = prevented(model, table)
    shifts = _shifts(model, table, floats, readers)
    model, table = model.copy(), copy.deepcopy(table)
    for layer in model.layers:
        if isinstance(layer.op, Calibrated):
            if layer.bottoms[0] in shifts:
                _fold_into_reader(layer, shifts[layer.bottoms[0]], table, floats)
            if layer.tops[0] in shifts:
                _fold_into_producer(layer, shifts[layer.tops[0]])
        elif _rectifies(layer) and layer.tops[0] in shifts:
            _fold_into_rectifier(layer, shifts[layer.tops[0]])
        elif _is_addition(layer) and shifts.keys() & {*layer.bottoms, *layer.tops}:
            _fold_into_addition(layer, shifts)
    return model, table, list(shifts)


def quantizers(model: Model, table: Table) -> dict[str, Quantizer]:
    """How the blobs that `fold_zero_points` would store with a zero point become int8, by name, but for the sign."""
    shifts = _shifts(model, table, prevented(model, table))
    return {
        blob: Quantizer(127 / shift.zero_point, shift.zero_point) for blob, shift in shifts.items() if shift.zero_point
    }


@dataclass(frozen=True)
class _Sum:
    """What a ReLU layer, or a Clip at 0, reads, where the bias of a layer with weights can shift it: the output of
    that, or a sum with it.

    Attributes:
        blob: what it reads, and nothing else does.
        free: the terms that are outputs of a layer with weights and without an activation, and read by nothing else.
        others: the other terms.
        rectified: what it writes.
    """

    blob: str
    free: tuple[str, ...]
    others: tuple[str, ...]
    rectified: str


def _shifts(
    model: Model, table: Table, floats: Collection[str], allowed: Collection[str] | None = None
) -> dict[str, _Shift]:
    """How to store the blobs that can be stored shifted, in model order."""
    barred = {layer.name for layer in model.layers}.difference(allowed) if allowed is not None else set[str]()
    sums = _rectified_sums(model)
    graph = model.graph()
    found: dict[str, _Shift] = {}
    for group in _connected([{top} for layer in model.layers for top in layer.tops], map(_tied_blobs, model.layers)):
        touching = [layer for layer in model.layers if not group.isdisjoint(layer.bottoms + layer.tops)]
        shift = _group_shift(group, touching, graph, table, sums, floats, barred)
        found |= dict.fromkeys(group, shift) if shift is not None else {}
    for one in sums:
        found |= _term_shifts(one, found)
    return {top: found[top] for layer in model.layers for top in layer.tops if top in found}


def _group_shift(
    blobs: set[str],
    touching: Sequence[Layer],
    graph: Graph,
    table: Table,
    sums: Sequence[_Sum],
    floats: Collection[str],
    barred: Collection[str],
) -> _Shift | None:
    """How to store blobs that need one zero point; None if they cannot be shifted.

    Args:
        touching: the layers that read or write one of these blobs, in model order.
        sums: all that are rectified.
        floats: the names of the layers that stay in float.
        barred: of those that may not read shifted blobs.
    """
    between = [layer for layer in touching if _is_between(layer)]
    ends = [layer for layer in touching if not _is_between(layer)]
    producers = [layer for layer in ends if blobs.intersection(layer.tops) - {one.rectified for one in sums}]
    readers = [layer for layer in ends if blobs.intersection(layer.bottoms) and not _adds_up(layer, sums)]
    if not (
        all(map(_ends_at_zero, producers))
        and all(layer.name not in barred and can_read_shifted(layer) for layer in readers)
        and all(map(graph.consumers, blobs))  # no output of the model
    ):
        return None
    sign, zero_point = (
        _sign(readers, between),
        _zero_point([layer for layer in readers if layer.name not in floats], graph, table),
    )
    return None if sign is None or zero_point is None else _Shift(sign, zero_point)


def _term_shifts(one: _Sum, shifts: Mapping[str, _Shift]) -> dict[str, _Shift]:
    """How to store a sum, and those of its terms that are free: the first makes up for what the others are shifted
    by."""
    if not shifts.keys() & {one.rectified, *one.others}:
        return {}
    shift = shifts.get(one.rectified, _UNSHIFTED)
    offset = shift.zero_point - sum(shifts.get(other, _UNSHIFTED).zero_point for other in one.others)
    found = {one.blob: shift} if one.rectified in shifts else {}
    return {**found, **dict.fromkeys(one.free, _Shift(shift.sign, 0.0)), one.free[0]: _Shift(shift.sign, offset)}


def _rectified_sums(model: Model) -> list[_Sum]:
    graph = model.graph()
    sums = []
    for layer in model.layers:
        if _rectifies(layer):
            (blob,) = layer.bottoms
            writer = graph.producer(blob)
            terms = writer.bottoms if writer is not None and _is_addition(writer) else [blob]
            free = tuple(term for term in terms if _is_free(term, graph))
            if free and len(graph.consumers(blob)) == 1:
                sums.append(_Sum(blob, free, tuple(term for term in terms if term not in free), layer.tops[0]))
    return sums


def _rectifies(layer: Layer) -> bool:
    """Whether it is a layer of its own that lets nothing negative through, and zero."""
    if layer.type == "Clip":
        return layer.params.get_float(0, -_UNBOUNDED) == 0 and layer.params.get_float(1, _UNBOUNDED) > 0
    return layer.type == "ReLU" and layer.params.get_float(0, 0.0) == 0


def _is_addition(layer: Layer) -> bool:
    return layer.type == "BinaryOp" and layer.params.get_int(0, 0) == _ADD and len(set(layer.bottoms)) == 2


def _is_free(blob: str, graph: Graph) -> bool:
    writer = graph.producer(blob)
    linear = (
        writer is not None
        and isinstance(writer.op, Calibrated)
        and not writer.op.has_dynamic_weight
        and writer.params.get_int(9, 0) == 0
    )
    return linear and len(graph.consumers(blob)) == 1


def _adds_up(layer: Layer, sums: Sequence[_Sum]) -> bool:
    return _is_addition(layer) and layer.tops[0] in {one.blob for one in sums}


def _connected(sets: Iterable[set[str]], links: Iterable[set[str]]) -> list[set[str]]:
    """Disjoint sets, those merged that have elements in one link."""
    set_of = {element: one for one in sets for element in one}
    for link in links:
        merged = set().union(*(set_of[element] for element in link))
        set_of.update(dict.fromkeys(merged, merged))
    return list({id(one): one for one in set_of.values()}.values())


def _tied_blobs(layer: Layer) -> set[str]:
    """The blobs that need one zero point because of this layer, which gives shifted outputs for inputs that are all
    shifted alike."""
    return {*layer.bottoms, *layer.tops} if _is_between(layer) else set()


def _is_between(layer: Layer) -> bool:
    """Whether the layer only moves or averages values, or takes the largest."""
    if layer.type == "Dropout":
        return layer.params.get_float(0, 1.0) == 1
    if layer.type == "Reduction":  # 2 is a factor
        return layer.params.get_int(0, 0) == _MEAN and layer.params.get_float(2, 1.0) == 1
    return layer.type in _REARRANGES or (
        layer.type == "Pooling" and (_is_max_pooling(layer) or _averages_values_alone(layer))
    )


def _is_max_pooling(layer: Layer) -> bool:
    return layer.type == "Pooling" and layer.params.get_int(0, 0) == 0


def _averages_values_alone(layer: Layer) -> bool:
    """Whether no zeros of a border go into the averages of an average pooling (ncnn's src/layer/pooling.cpp)."""
    params = layer.params
    if params.get_int(4, 0) or params.get_int(7, 0):  # global, adaptive
        return True
    border = any(params.get_int(key, 0) for key in (3, 13, 14, 15))
    pad_mode = params.get_int(5, 0)
    if params.get_int(6, 0):  # avgpool_count_include_pad: of pad modes, 1 alone adds nothing at the far ends
        return pad_mode == 1 and not border
    return pad_mode in (0, 1)  # the others count their border whatever key 6 says


def _ends_at_zero(layer: Layer) -> bool:
    """Whether it is a layer with weights and an activation whose lower bound is 0."""
    if not isinstance(layer.op, Calibrated) or layer.op.has_dynamic_weight:
        return False
    kind, bounds = layer.params.get_int(9, 0), layer.params.get_array(10)
    return kind == _RELU or (kind == _CLIP and len(bounds) == 2 and bounds[0] == 0 and bounds[1] > 0)


def _sign(readers: Sequence[Layer], between: Sequence[Layer]) -> int | None:
    """-1 where a reader pads, else 1; None if it cannot be turned, since the maxima would become minima."""
    if not any(layer.op.pads for layer in readers):
        return 1
    return None if any(map(_is_max_pooling, between)) else -1


def _zero_point(readers: Sequence[Layer], graph: Graph, table: Table) -> float | None:
    """Half of the largest threshold; None if there are no readers, one of the readers would lose by it, or readers
    of one blob disagree."""
    scales: dict[str, float] = {}
    for reader in readers:
        scale = float(table[reader.name][0])
        if scales.setdefault(graph.split_root(reader.bottoms[0]), scale) != scale:
            return None
    if not scales or 2 * min(scales.values()) < max(scales.values()):
        return None
    return float(np.float32(127 / min(scales.values()) / 2))


def can_read_shifted(layer: Layer) -> bool:
    """Whether a bias can make up for a shift of what the layer reads."""
    return isinstance(layer.op, Calibrated) and not layer.op.has_dynamic_weight and not layer.op.pads_with_value


def sums_of_weights(layer: Layer, table: Table, floats: Collection[str]) -> Floats:
    """The sum of each output's weights as they will be stored, in int8 or, of the layers that stay in float, in
    float16: so they are then.

    Scales of rows of zeros, for which any will do, even inf, become 1.
    """
    if layer.name in floats:
        store_as_float16(layer)
        weights = layer.weights["weight_data"].float32().astype(np.float64)
    else:
        (scaled,) = layer.op.scaled_weights()
        rows, absmax = weight_rows(layer, scaled)
        key = weight_key(layer.name)
        table[key] = scales = np.where(absmax == 0, np.float32(1), table[key])
        weights = quantize_rows(rows, scales) / scales[:, None].astype(np.float64)
    sums: Floats = weights.reshape(outputs_of(layer), -1).sum(axis=1)
    return sums


def _fold_into_reader(layer: Layer, shift: _Shift, table: Table, floats: Collection[str]) -> None:
    """Let the layer read its input shifted, and its table rows fit that."""
    sums = sums_of_weights(layer, table, floats)
    _set(layer, shift.sign, bias(layer) + shift.zero_point * sums)
    if layer.name not in floats:
        table[layer.name] = 127 / shift.zero_point
    if layer.op.pads:
        layer.params.set(18, shift.zero_point)


def _fold_into_producer(layer: Layer, shift: _Shift) -> None:
    """Let the layer write its output shifted.

    The upper bound stays that of the model, and does not become T: int8 saturates there by itself, and an average of
    clipped values would be another one.
    """
    _set(layer, shift.sign, shift.sign * (bias(layer) - shift.zero_point))
    kind = layer.params.get_int(9, 0)
    if kind:  # else it is part of a sum
        layer.params.set_array(10, _bounds(shift, layer.params.get_array(10)[1] if kind == _CLIP else _UNBOUNDED))
        layer.params.set(9, _CLIP)


def _fold_into_rectifier(layer: Layer, shift: _Shift) -> None:
    """Let a ReLU or a Clip of what is stored shifted write it so."""
    top = layer.params.get_float(1, _UNBOUNDED) if layer.type == "Clip" else _UNBOUNDED
    layer.type = "Clip"
    for key, bound in enumerate(_bounds(shift, top)):
        layer.params.set(key, bound)


def _fold_into_addition(layer: Layer, shifts: Mapping[str, _Shift]) -> None:
    """Let an addition subtract the term that is stored with another sign than the sum."""
    sign = shifts.get(layer.tops[0], _UNSHIFTED).sign
    turned = [shifts.get(bottom, _UNSHIFTED).sign != sign for bottom in layer.bottoms]
    if any(turned):
        layer.params.set(0, _SUBTRACT if turned[1] else _SUBTRACT_FROM)


def _bounds(shift: _Shift, top: float) -> list[float]:
    """What the values from 0 to `top` lie between when they are stored."""
    return sorted([shift.sign * -shift.zero_point, shift.sign * (top - shift.zero_point)])


def _set(layer: Layer, sign: int, values: Floats) -> None:
    """Multiply the weights by a sign, and set the bias."""
    turn(layer, sign)
    set_bias(layer, values)
