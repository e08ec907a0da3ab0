"""Random weights for any `.param` file, with which values neither vanish nor grow without bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.errors import ModelError
from pyncnnq.model import Expected, Layer, Model, Weight, load_model, load_param
from pyncnnq.model.ops.arithmetic import BinaryOp, Operation

LIMIT = 1 << 26
"""More elements than this are refused: a number in a .param is no reason to fill the memory."""


_PRODUCTS = frozenset(("MatMul", "Einsum", "Gemm"))
"""The layers that multiply matrices, which may be constants."""

_INT8_SIZE = 73.0
"""The root mean square of the numbers from -127 to 127."""

_DIVIDING = (Operation.DIV, Operation.RDIV)


def fill(model: Model, rng: np.random.Generator, limit: int = LIMIT) -> None:
    """Give every layer of a model the weights that its parameters ask for, in place.

    Raises:
        ModelError: parameters with which ncnn cannot load a layer, or more weights than `limit` in a layer.
    """
    graph = model.graph()
    for layer in model.layers:
        expected = layer.expected_weights()
        if sum(array.size for array in expected) > limit:
            raise ModelError(f"{layer}: asks for more than {limit} weights")
        if layer.type == "MemoryData":
            readers = graph.readers(layer.tops[0])
            layer.weights = {array.name: _constant(array, readers, rng) for array in expected}
            continue
        outputs = max((array.size for array in expected if "bias" in array.name), default=0) or _outputs(layer)
        inputs = {array.name: max(1.0, array.size / max(1, outputs)) for array in expected}
        scaled = {weight.weight: weight.scales for weight in layer.op.int8_weights()} if layer.op.is_int8 else {}
        # Scales make weights of about the size that float ones have.
        scales = {scales: _INT8_SIZE / _spread(inputs[weight]) for weight, scales in scaled.items() if weight in inputs}
        layer.weights = {
            array.name: _array(array, _spread(inputs[array.name]), array.name in scaled, scales.get(array.name), rng)
            for array in expected
        }


def with_random_weights(param: Path, bin_path: Path, seed: int = 0, limit: int = LIMIT) -> Model:
    """Write the `.bin` file of a `.param` file, and return the model that the two are."""
    model = load_param(param)
    fill(model, np.random.default_rng(seed), limit)
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


def _constant(array: Expected, readers: Sequence[Layer], rng: np.random.Generator) -> Weight:
    """Return what a MemoryData holds: a matrix of numbers around zero, or numbers far from it."""
    if array.storage == "packed":
        return Weight.packed(array.name, rng.integers(0, 256, array.size))
    if any(reader.type in _PRODUCTS for reader in readers):
        values = rng.normal(0, 1, array.size)
    elif any(isinstance(reader.op, BinaryOp) and reader.op.op_type in _DIVIDING for reader in readers):
        values = rng.uniform(5, 7, array.size)  # x * clip(x + 3, 0, 6) / 6 is a common activation
    else:
        values = rng.uniform(0.5, 1.5, array.size)
    return Weight.raw(array.name, values) if array.storage == "raw" else Weight.tagged_float32(array.name, values)


def _spread(inputs: float) -> float:
    """Return the standard deviation of weights of so many inputs: He's, which keeps the variance through a ReLU."""
    return math.sqrt(2 / inputs)


def _array(array: Expected, spread: float, is_int8: bool, scale: float | None, rng: np.random.Generator) -> Weight:
    name, size, storage = array
    if storage == "packed":
        return Weight.packed(name, rng.integers(0, 256, size))
    if is_int8 and storage == "tagged":
        return Weight.tagged_int8(name, rng.integers(-127, 128, size))
    if storage == "raw":
        return Weight.raw(name, _raw(name, size, rng) * (scale or 1.0))
    values = rng.standard_normal(size, np.float32)
    values *= spread
    return Weight.tagged_float32(name, values)


def _raw(name: str, size: int, rng: np.random.Generator) -> np.ndarray:
    if "blob_int8_scale" in name:  # of values between -4 and 4
        return rng.uniform(30, 32, size)
    if "var" in name or "scale" in name or "gamma" in name:
        return rng.uniform(0.5, 1.5, size)
    if name == "slope_data":  # of a BatchNorm or a PReLU
        return rng.uniform(0.1, 1.0, size)
    return rng.normal(0, 0.1, size)
