"""Random weights for any `.param` file, with which values neither vanish nor grow without bound."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.errors import ModelError
from pyncnnq.model import Expected, Layer, Model, Weight, load_model, load_param

LIMIT = 1 << 26
"""More elements than this in one array are refused: a number in a .param is no reason to fill the memory."""


def fill(model: Model, rng: np.random.Generator) -> None:
    """Give every layer of a model the weights that its parameters ask for, in place.

    Raises:
        ModelError: parameters with which ncnn cannot load a layer, or weights of more than LIMIT elements.
    """
    for layer in model.layers:
        expected = layer.expected_weights()
        if sum(array.size for array in expected) > LIMIT:
            raise ModelError(f"{layer}: asks for more than {LIMIT} weights")
        outputs = max((array.size for array in expected if "bias" in array.name), default=0) or _outputs(layer)
        scaled = {weight.weight for weight in layer.op.int8_weights()} if layer.op.is_int8 else set()
        layer.weights = {array.name: _array(array, outputs, array.name in scaled, rng) for array in expected}


def with_random_weights(param: Path, bin_path: Path, seed: int = 0) -> Model:
    """Write the `.bin` file of a `.param` file, and return the model that the two are."""
    model = load_param(param)
    fill(model, np.random.default_rng(seed))
    bin_path.write_bytes(model.bin_bytes())
    return load_model(param, bin_path)


def weights_table(model: Model) -> Table:
    """Return a table whose weight scales are 127 / the largest magnitude, and whose inputs all have a scale of 20."""
    table = Table()
    for layer in model.layers:
        if layer.op.has_dynamic_weight or layer.op.is_int8:
            continue
        for index, weight in enumerate(layer.op.scaled_weights()):
            if weight.rows > 0 and layer.weights[weight.weight].data.size % weight.rows == 0:
                rows = np.abs(layer.weights[weight.weight].float32()).reshape(weight.rows, -1).max(axis=1)
                table[weight_key(layer.name, index)] = 127 / np.maximum(rows, 1e-6)
        if layer.op.needs_activation_scale:
            table[layer.name] = 20
    return table


def _outputs(layer: Layer) -> int:
    return int(getattr(layer.op, "num_output", 0)) or 1


def _array(array: Expected, outputs: int, is_int8: bool, rng: np.random.Generator) -> Weight:
    name, size, storage = array
    if storage == "packed":
        return Weight.packed(name, rng.integers(0, 256, size))
    if is_int8 and storage == "tagged":
        return Weight.tagged_int8(name, rng.integers(-127, 128, size))
    if storage == "raw":
        return Weight.raw(name, _raw(name, size, rng))
    inputs = max(1.0, size / max(1, outputs))  # He's factor keeps the variance through a ReLU
    return Weight.tagged_float32(name, rng.normal(0, math.sqrt(2 / inputs), size))


def _raw(name: str, size: int, rng: np.random.Generator) -> np.ndarray:
    if "var" in name or "scale" in name or "gamma" in name:
        return rng.uniform(0.5, 1.5, size)
    if name == "slope_data":  # of a BatchNorm or a PReLU
        return rng.uniform(0.1, 1.0, size)
    return rng.normal(0, 0.1, size)
