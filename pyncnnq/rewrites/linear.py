"""Layers that are linear in their input: their weights by channel, their bias, and changes of their output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Weight
from pyncnnq.model.ops import Calibrated, Deconvolution, Linear, Scale
from pyncnnq.model.params import FLOAT_LIMIT
from pyncnnq.quantization.quantize_layer import set_weights

Floats = NDArray[np.float64]


def is_linear(layer: Layer) -> bool:
    """Return whether a layer is quantizable and has no activation."""
    return layer.op.needs_activation_scale and layer.op.activation.kind == "none"


def is_linear_or_scale(layer: Layer) -> bool:
    """Return whether a bias shifts the channels that a layer writes: a linear layer, or a Scale with own weights."""
    return is_linear(layer) or (isinstance(layer.op, Scale) and len(layer.bottoms) == 1)


def takes_affine(layer: Layer) -> bool:
    """Return whether `multiply_and_add` can change a layer: one with its own weights and without an activation.

    These are linear layers and deconvolutions.
    """
    op = layer.op
    return (
        isinstance(op, (Calibrated, Deconvolution))
        and not op.has_dynamic_weight
        and op.activation.kind == "none"
        and "weight_data" in layer.weights
        and len(layer.bottoms) == 1
    )


def takes_channels(layer: Layer, channels: int) -> bool:
    """Return whether a quantizable layer can read a blob of so many channels.

    An InnerProduct may read several elements of each channel.
    """
    op = layer.as_op(Calibrated)
    inputs = op.input_channels()
    return channels > 0 and (inputs % channels == 0 if op.flattens else inputs == channels)


def weights_by_channel(layer: Layer, channels: int) -> Floats:
    """Return the weights of a quantizable layer by output and channel of a blob that it reads (see `takes_channels`).

    Returns:
        An array of shape (groups, outputs of a group, channels of a group, elements of a channel).
    """
    weights = layer.weights["weight_data"].float32().astype(np.float64)
    op = layer.as_op(Calibrated)
    return weights.reshape(op.groups, op.num_output // op.groups, channels // op.groups, -1)


def bias(layer: Layer) -> Floats:
    """Return the bias of a layer with outputs, shape (outputs,); zeros for a layer without a bias."""
    if "bias_data" in layer.weights:
        return layer.weights["bias_data"].float32().astype(np.float64)
    return np.zeros(outputs_of(layer))


def set_bias(layer: Layer, values: Floats) -> None:
    """Set the bias of a quantizable layer, a deconvolution or a Scale, also of a layer without a bias."""
    _biased(layer).bias_term = True
    set_weights(layer, {**layer.weights, "bias_data": Weight.raw("bias_data", values)})


def outputs_of(layer: Layer) -> int:
    """Return the number of outputs of a quantizable layer, a deconvolution or a Scale."""
    op = _biased(layer)
    return op.scale_data_size if isinstance(op, Scale) else op.num_output


def _biased(layer: Layer) -> Linear | Scale:
    """Return the view of a layer that can have a bias."""
    return layer.op if isinstance(layer.op, Scale) else layer.as_op(Linear)


def turn(layer: Layer, sign: int) -> None:
    """Multiply the weights of a quantizable layer or a Scale by a sign."""
    name = "scale_data" if isinstance(layer.op, Scale) else "weight_data"
    weight = layer.weights[name]
    if sign < 0:
        exact = weight.format in ("float32", "float16")
        layer.weights[name] = (
            replace(weight, data=-weight.data) if exact else Weight.tagged_float32(name, -weight.float32())
        )


def set_weights_and_bias(layer: Layer, weights: NDArray[np.floating], values: Floats) -> None:
    """Set the weights of a quantizable layer, stored as float32, and its bias."""
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    set_bias(layer, values)


def multiply_and_add(layer: Layer, factor: Floats | float, offset: Floats | float) -> bool:
    """Let a linear layer or a deconvolution without activation write factor * y + offset instead of y.

    Args:
        layer: is changed, unless a weight or a bias would be too large for float32.
        factor, offset: numbers, or arrays of shape (outputs,).

    Returns:
        Whether the layer was changed.
    """
    outputs = outputs_of(layer)
    weights = layer.weights["weight_data"]
    if np.any(factor != 1):  # float16 would round them once more
        factors = np.broadcast_to(np.asarray(factor, np.float64), outputs)[:, None]
        with np.errstate(over="ignore"):
            weights = Weight.tagged_float32("weight_data", weights.float32().reshape(outputs, -1) * factors)
    moved = bias(layer) * factor + offset
    if not np.isfinite(weights.float32()).all() or not (np.abs(moved) < FLOAT_LIMIT).all():
        return False
    layer.weights["weight_data"] = weights
    if "bias_data" in layer.weights or moved.any():
        set_bias(layer, moved)
    return True


def turn_into_scale(layer: Layer, factors: Floats, offsets: Floats) -> None:
    """Turn a layer, in place, into the Scale that computes factor * x + offset by channel.

    Parameters that all layer types have stay: feature mask and shape hints.
    """
    layer.op.clear()
    layer.type = "Scale"
    scale = layer.as_op(Scale)
    scale.scale_data_size, scale.bias_term = factors.size, True
    layer.weights = {
        name: Weight.raw(name, values) for name, values in (("scale_data", factors), ("bias_data", offsets))
    }
