"""Layers that ncnn computes as the activation of the layer before (its src/layer/fused_activation.h)."""

from __future__ import annotations

from pyncnnq.model import Layer

_LARGEST = 3.4028234663852886e38  # FLT_MAX, ncnn's default bound of a Clip


def as_activation(layer: Layer) -> tuple[int, tuple[float, ...]] | None:
    """ncnn's `activation_type` and `activation_params` that compute what the layer does; None if there are none.

    Every Convolution, InnerProduct and Deconvolution of ncnn 1.0.20261020 has them all, in float and in int8
    (tests/rewrites/test_fusing.py).
    """
    params = layer.params
    match layer.type:
        case "ReLU":
            slope = params.get_float(0, 0.0)
            return (2, (slope,)) if slope else (1, ())
        case "PReLU" if params.get_int(0, 0) == 1:
            return 2, (float(layer.weights["slope_data"].float32()[0]),)
        case "Clip":
            return 3, (params.get_float(0, -_LARGEST), params.get_float(1, _LARGEST))
        case "Sigmoid":
            return 4, ()
        case "Mish":
            return 5, ()
        case "HardSwish":
            alpha = params.get_float(0, 0.2)
            return (6, (alpha, params.get_float(1, 0.5))) if alpha else None
    return None


def set_activation(layer: Layer, kind: int, params: tuple[float, ...]) -> None:
    """Give a layer with weights this activation."""
    layer.params.set(9, kind)
    if params:
        layer.params.set_array(10, params)
