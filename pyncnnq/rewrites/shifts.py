"""Blobs stored shifted by one number, as a zero point would do it, though ncnn quantizes by a scale alone.

A blob x with values from low to high is stored as x' = x - m or x' = m - x, with m the middle of its range and the
scale 127 / (half of its range), if the layers that write and read it are changed to match:

    x = U u + b           becomes  x' = +-(U u + b - m)                a bias, and perhaps the other sign of the weights
    x = max(u, 0)         becomes  x' = max(u - m, -m)  or  min(m - u, m)              a bias, and a Clip for the ReLU
    y = sum of w x + c    becomes  sum of +-w x' + c + m sum of w      a bias, and the same sign

All of it is bias, which ncnn keeps in float32: it costs nothing at run time.  The sum of w in the last line is the sum
of the weights as int8 holds them: so the shift itself is exact, however coarse the weights are.  With the sum of the
float weights their rounding errors would be multiplied by m, and nothing would be gained.

Padding stands for x = 0, which x' = -+m stands for.  The sign is chosen so that this number is positive where a reader
pads: ncnn's int8 convolutions get pads of negative numbers wrong.

The new float model is to be quantized, neither run nor calibrated: the outputs of each reader differ from those of the
model before by m * sum(int8 weight / scale - weight), and that adds up (SqueezeNet 1.1: 8 dB).  With the int8 weights
it fits again.

Source: asymmetric quantization folded into biases as in Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018, section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import RELU, Activation, BinaryOp, Calibrated, Clip, Convolution, Linear, Operation
from pyncnnq.quantization.quantize_layer import store_as_float16
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.channel_flow import is_sum
from pyncnnq.rewrites.linear import bias, is_linear_or_scale, outputs_of, set_bias, turn
from pyncnnq.rewrites.rewritten import RewrittenWithTable

_UNBOUNDED = 1e30  # far beyond any value; ncnn has no activation with one bound but the ReLU

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """A blob is stored as sign * (x - middle).

    Attributes:
        sign: 1 or -1.
        middle: in the units of the blob.
        scale: the activation scale of its readers, int8 = stored * scale; None where no reader becomes int8.
    """

    sign: int
    middle: float
    scale: float | None = None


UNSHIFTED = Shift(1, 0.0)


def fold_shifts(model: Model, table: Table, shifts: Mapping[str, Shift], floats: Collection[str]) -> RewrittenWithTable:
    """Store blobs shifted, and let all layers that touch them match.

    Args:
        model: a sound float model.
        table: its calibration table.
        shifts: by name, how to store blobs.  They are written by quantizable layers, Scales, ReLU or Clip layers with
            the lower bound 0, additions, or layers that rearrange; and read by layers that `can_read_shifted`,
            additions, such ReLU or Clip layers, or layers that rearrange.
        floats: the names of the layers that stay in float; their weights are stored as float16, as they will be.

    Returns:
        The new model, to be quantized, and its table, with the activation rows of readers changed; `changed` names the
        blobs of `shifts`.
    """
    model, table = model.copy(), table.copy()
    for layer in model.layers:
        if isinstance(layer.op, Calibrated) and layer.bottoms[0] in shifts:
            _fold_into_reader(layer, shifts[layer.bottoms[0]], table, floats)
        if isinstance(layer.op, Calibrated) or is_linear_or_scale(layer):
            if layer.tops[0] in shifts:
                _fold_into_writer(layer, shifts[layer.tops[0]])
        elif rectifies(layer) and layer.tops[0] in shifts:
            _fold_into_rectifier(layer, shifts[layer.tops[0]])
        elif is_sum(layer) and shifts.keys() & {*layer.bottoms, *layer.tops}:
            _fold_into_addition(layer, shifts)
    storage = {
        blob: BlobStorage(np.full(1, float(shift.sign)), np.full(1, shift.middle)) for blob, shift in shifts.items()
    }
    return RewrittenWithTable(model, tuple(shifts), storage, table)


def quantizers_of(shifts: Mapping[str, Shift]) -> dict[str, Quantizer]:
    """Return how shifted blobs become int8, by name, but for the sign."""
    return {blob: Quantizer(shift.scale, shift.middle) for blob, shift in shifts.items() if shift.scale is not None}


def can_read_shifted(layer: Layer) -> bool:
    """Return whether a bias can make up for a shift of the blob that a layer reads."""
    return layer.op.needs_activation_scale and not layer.op.pads_with_value


def ends_at_zero(layer: Layer) -> bool:
    """Return whether a layer has weights and an activation whose lower bound is 0."""
    return layer.op.needs_activation_scale and layer.op.activation.rectifies


def rectifies(layer: Layer) -> bool:
    """Return whether a layer is a ReLU, or a Clip with the lower bound 0."""
    activation = layer.op.as_activation()
    return activation is not None and activation.rectifies


def _fold_into_reader(layer: Layer, shift: Shift, table: Table, floats: Collection[str]) -> None:
    """Let a layer read its input shifted, and its table rows fit the shifted input."""
    sums = _sums_of_weights(layer, table, floats)
    _set(layer, shift.sign, bias(layer) + shift.middle * sums)
    if layer.name not in floats:
        assert shift.scale is not None
        table[layer.name] = shift.scale
    if isinstance(layer.op, Convolution) and layer.op.pads:
        layer.op.pad_value = abs(shift.middle)


def _sums_of_weights(layer: Layer, table: Table, floats: Collection[str]) -> Floats:
    """Return the sum of each output's weights as they will be stored: in int8, or in float16 in layers left in float.

    Scales of rows of zeros, for which any number will do, even inf, become 1 in the table.
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


def _fold_into_writer(layer: Layer, shift: Shift) -> None:
    """Let a layer with weights write its output shifted.

    The upper bound of its activation stays that of the model, and does not become the threshold: int8 saturates there
    by itself, and an average of clipped values would be another one.
    """
    _set(layer, shift.sign, shift.sign * (bias(layer) - shift.middle))
    if not is_linear_or_scale(layer):
        op = layer.as_op(Linear)
        op.activation = Activation("clip", _bounds(shift, op.activation))


def _fold_into_rectifier(layer: Layer, shift: Shift) -> None:
    """Let a ReLU or a Clip of a shifted blob write its output shifted."""
    bounds = _bounds(shift, layer.op.as_activation() or RELU)
    layer.type = "Clip"
    clip = layer.as_op(Clip)
    clip.min, clip.max = bounds


def _fold_into_addition(layer: Layer, shifts: Mapping[str, Shift]) -> None:
    """Let an addition subtract the term that is stored with another sign than the sum.

    The bias of a convolution before it makes up for the zero points.
    """
    sign = shifts.get(layer.tops[0], UNSHIFTED).sign
    turned = [shifts.get(bottom, UNSHIFTED).sign != sign for bottom in layer.bottoms]
    if any(turned):
        layer.as_op(BinaryOp).op_type = Operation.SUB if turned[1] else Operation.RSUB


def _bounds(shift: Shift, activation: Activation) -> tuple[float, ...]:
    """Return the lowest and the highest number with which the values are stored that an activation at 0 writes."""
    top = activation.bounds[1]
    top = top if math.isfinite(top) else _UNBOUNDED
    return tuple(sorted([shift.sign * -shift.middle, shift.sign * (top - shift.middle)]))


def _set(layer: Layer, sign: int, values: Floats) -> None:
    """Multiply the weights of a layer by a sign, and set its bias."""
    turn(layer, sign)
    set_bias(layer, values)
