"""Unfused twins: models as old converters wrote them, which compute the same as a fused model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Params, Weight

ACTIVATIONS = {1: "ReLU", 2: "ReLU", 3: "Clip", 4: "Sigmoid", 5: "Mish", 6: "HardSwish"}
EPS = 2.0**-10
Floats = NDArray[np.float64]


def batch_norm(
    name: str, bottom: str, slope: Floats, mean: Floats, variance: Floats, bias: Floats, eps: float = EPS
) -> Layer:
    """A layer that writes the blob of its own name."""
    arrays = {"slope_data": slope, "mean_data": mean, "var_data": variance, "bias_data": bias}
    weights = {key: Weight.raw(key, values) for key, values in arrays.items()}
    return Layer("BatchNorm", name, [bottom], [name], Params(f" 0={len(slope)} 1={eps}"), weights)


def scale(name: str, bottom: str, factors: Floats, offsets: Floats | None = None) -> Layer:
    """A layer that writes the blob of its own name."""
    weights = {"scale_data": Weight.raw("scale_data", factors)}
    if offsets is not None:
        weights["bias_data"] = Weight.raw("bias_data", offsets)
    return Layer("Scale", name, [bottom], [name], Params(f" 0={len(factors)} 1={int(offsets is not None)}"), weights)


def memory(name: str, values: Floats, keys: str = "") -> Layer:
    """A MemoryData of the blob of its own name; `keys` tell its shape, unless it is (values,)."""
    return Layer(
        "MemoryData", name, [], [name], Params(keys or f" 0={len(values)}"), {"data": Weight.raw("data", values)}
    )


def unfused(model: Model, rng: np.random.Generator, *, exact: bool = False) -> Model:
    """Take the layers with weights apart: Padding, the layer, BatchNorm, Scale, Dropout, activation, and a Noop at the
    end.

    With `exact` all factors are powers of two and nothing is added: then the weights of the model can be had back to
    the bit.
    """
    layers: list[Layer] = []
    for layer in (layer.copy() for layer in model.layers):
        if layer.type not in ("Convolution", "ConvolutionDepthWise", "InnerProduct", "Deconvolution"):
            layers.append(layer)
            continue
        (top,), name = layer.tops, layer.name
        if layer.type.startswith("Conv"):
            layers += _padding_before(layer)
        layer.tops = [f"{name}/raw"]
        parts = [layer, *_normalization(layer, rng, exact=exact), Layer("Dropout", f"{name}/drop", [], [])]
        parts += [*_activation_behind(layer), Layer("Noop", f"{name}/noop", [], [])]
        for before, part in pairwise(parts):
            part.bottoms, part.tops = before.tops, [part.name]
        parts[-1].tops = [top]
        layers += parts
    return Model(layers)


def _padding_before(layer: Layer) -> list[Layer]:
    params = layer.params
    left = params.get_int(4, 0)
    right, top = params.get_int(15, left), params.get_int(14, left)
    bottom = params.get_int(16, top)
    if not any((left, right, top, bottom)):
        return []
    for key in (4, 14, 15, 16):
        params.remove(key)
    padding = Layer(
        "Padding",
        f"{layer.name}/pad",
        layer.bottoms,
        [f"{layer.name}/pad"],
        Params(f" 0={top} 1={bottom} 2={left} 3={right}"),
    )
    layer.bottoms = list(padding.tops)
    return [padding]


def _normalization(layer: Layer, rng: np.random.Generator, *, exact: bool) -> list[Layer]:
    """A BatchNorm and a Scale, and the layer changed so that all of them do what it did."""
    outputs = layer.params.get_int(0, 0)
    if exact:
        slope, factors = (2.0 ** rng.integers(-2, 3, outputs) for _ in range(2))
        variance = 4.0 ** rng.integers(0, 3, outputs) - EPS
        mean = bias = offsets = np.zeros(outputs)
    else:
        slope, factors, variance = (rng.uniform(0.3, 3, outputs) for _ in range(3))
        slope *= rng.choice([-1, 1], outputs)
        mean, bias, offsets = (rng.normal(0, 0.3, outputs) for _ in range(3))
    root = np.sqrt(np.float32(variance).astype(np.float64) + EPS)
    weights = layer.weights["weight_data"].float32().reshape(outputs, -1)
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights / (slope / root * factors)[:, None])
    if "bias_data" in layer.weights or not exact:
        whole = layer.weights["bias_data"].float32() if "bias_data" in layer.weights else np.zeros(outputs)
        layer.weights["bias_data"] = Weight.raw("bias_data", ((whole - offsets) / factors - bias) * root / slope + mean)
        layer.params.set(1 if layer.type == "InnerProduct" else 5, 1)
    return [
        batch_norm(f"{layer.name}/bn", "", slope, mean, variance, bias),
        scale(f"{layer.name}/scale", "", factors, offsets),
    ]


def _activation_behind(layer: Layer) -> list[Layer]:
    kind, values = layer.params.get_int(9, 0), layer.params.get_array(10)
    layer.params.remove(9)
    layer.params.remove(10)
    if not kind:
        return []
    params = Params()
    for key, value in enumerate(values):
        params.set(key, float(value))
    return [Layer(ACTIVATIONS[kind], f"{layer.name}/act", [], [], params)]
