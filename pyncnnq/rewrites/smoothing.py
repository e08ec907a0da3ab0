"""Outliers of activations moved into weights, for layers that ncnn quantizes as they run: Gemm and MultiHeadAttention.

All tokens and features that such a layer reads share one scale, and in transformers a few features are far larger than
the others.  So each feature is divided by a number, and the weights that see it are multiplied by the number:

    W x = (W s) (x / s)   with   s_j = max|x_j|^a / max|W_j|^(1-a)

(G. Xiao et al., "SmoothQuant", ICML 2023).  The exponent is that of the least noise at the layer's output, by what is
known of the blob and of the weights, for each layer by itself.  A LayerNorm or RMSNorm that nothing else reads does the
division with its own factors; elsewhere a BinaryOp with a constant does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import BinaryOp, Gemm, LayerNorm, MultiHeadAttention, Operation, RMSNorm
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.rewritten import Rewritten, unused
from pyncnnq.statistics.observed import ObservedBlob, Reader
from pyncnnq.statistics.ranges import ChannelRanges

Floats = NDArray[np.float64]

EXPONENTS = np.linspace(0.3, 0.95, 14)
WORTH = 0.9
"""The share of the noise that may be left, at most: a pass over the blob is not worth less."""

_STEPS = 127


@dataclass(frozen=True)
class _Reading:
    """How a layer reads a blob that it quantizes itself.

    Attributes:
        place: of the blob among the layer's inputs.
        weights: the names of the arrays that are multiplied with it.
        size: the length of a row of them: one weight for each feature of the blob.
    """

    place: int
    weights: tuple[str, ...]
    size: int


def smoothed_blobs(model: Model) -> list[ObservedBlob]:
    """Return the blobs that smoothing has to know, each once, in the order in which the network computes them."""
    graph = model.graph()
    readers: dict[str, list[Reader]] = {}
    for layer in model.layers:
        for reading in _readings(layer):
            name = graph.split_root(layer.bottoms[reading.place])
            readers.setdefault(name, []).append(Reader(str(layer), reading.size, flattened=False, of_columns=True))
    return [ObservedBlob(top, tuple(readers[top])) for layer in model.layers for top in layer.tops if top in readers]


def smooth(model: Model, columns: Mapping[str, ChannelRanges]) -> Rewritten:
    """Divide the features of blobs that Gemm and MultiHeadAttention layers read, and multiply the weights.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model; a constant operand of a Gemm is smoothed where it is A (see `swap_operands`).
        columns: ranges of the columns of blobs, by name (see `smoothed_blobs`); other blobs are left alone.

    Returns:
        The new model; `changed` names the layers that read what is smoothed.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    graph = model.graph()
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    changed: list[str] = []
    storage: dict[str, BlobStorage] = {}
    for layer in model.layers:
        for reading in _readings(layer):
            seen = columns.get(graph.split_root(layer.bottoms[reading.place]))
            rows = _rows(layer, reading)
            factors = _factors(seen, rows) if seen is not None and len(seen.absmax) == reading.size else None
            if factors is None:
                continue
            _multiply(layer, reading, factors)
            blob = layer.bottoms[reading.place]
            if _divide(graph.producer(blob), factors):
                storage[blob] = BlobStorage(factors, np.zeros(1))
            else:
                divided = unused(f"{blob}_smoothed", taken)
                layers += _division(blob, divided, factors, taken)
                layer.bottoms[reading.place] = divided
            changed.append(layer.name)
        layers.append(layer)
    model.layers = layers
    return Rewritten(model, tuple(dict.fromkeys(changed)), storage)


def _readings(layer: Layer) -> list[_Reading]:
    """Return how a layer reads the blobs that it quantizes itself and multiplies with weights."""
    op = layer.op
    if isinstance(op, Gemm):
        is_plain = op.constant_a and not op.constant_b and len(layer.bottoms) == 1 and not op.transpose_a
        return [_Reading(0, ("A_data",), op.k)] if is_plain and op.transpose_b else []
    if isinstance(op, MultiHeadAttention) and not op.kv_cache:
        # Which parts read each input but a mask: ncnn's src/layer/multiheadattention.cpp.
        parts = {1: ("qkv",), 2: ("q", "kv"), 3: ("q", "k", "v")}.get(len(layer.bottoms) - op.attn_mask, ())
        sizes = {"q": op.qdim, "k": op.kdim, "v": op.vdim}
        return [
            _Reading(place, tuple(f"{part}_weight_data" for part in read), sizes[read[0]])
            for place, read in enumerate(parts)
        ]
    return []


def _rows(layer: Layer, reading: _Reading) -> Floats:
    """Return the weights that see a blob, shape (outputs, features)."""
    arrays = [layer.weights[name].float32().reshape(-1, reading.size) for name in reading.weights]
    return np.concatenate(arrays).astype(np.float64)


def _factors(seen: ChannelRanges, rows: Floats) -> Floats | None:
    """Return by what each feature is divided, as float32 holds it; None where that is of no use."""
    largest, heaviest = seen.absmax, np.abs(rows).max(axis=0)
    if not (np.isfinite(largest).all() and np.isfinite(heaviest).all()):
        return None
    powers = seen.variance + seen.mean**2
    plain = _noise(np.ones(len(largest)), largest, powers, rows)
    tried = [_smoothing(largest, heaviest, exponent) for exponent in EXPONENTS]
    noises = [_noise(factors, largest, powers, rows) for factors in tried]
    best = int(np.argmin(noises))
    return tried[best] if noises[best] < WORTH * plain else None


def _smoothing(largest: Floats, heaviest: Floats, exponent: float) -> Floats:
    """Return the factors by an exponent; 1 for a feature that is always zero, or that no weight sees."""
    counts = (largest > 0) & (heaviest > 0)
    factors = np.ones(len(largest))
    factors[counts] = largest[counts] ** exponent / heaviest[counts] ** (1 - exponent)
    if counts.any():
        factors[counts] /= np.exp(np.log(factors[counts]).mean())
    return factors.astype(np.float32).astype(np.float64)


def _noise(factors: Floats, largest: Floats, powers: Floats, rows: Floats) -> float:
    """Return the power of what rounding activations and weights adds to the outputs, but for a factor.

    Args:
        factors: by what features are divided.
        largest, powers: of each feature, the largest magnitude and the mean square.
        rows: the weights, shape (outputs, features).
    """
    scaled = rows * factors
    step = (largest / factors).max() / _STEPS
    steps = np.abs(scaled).max(axis=1) / _STEPS
    return float(step**2 * np.square(scaled).sum() + np.square(steps).sum() * (powers / factors**2).sum())


def _multiply(layer: Layer, reading: _Reading, factors: Floats) -> None:
    for name in reading.weights:
        values = layer.weights[name].float32().reshape(-1, reading.size) * factors.astype(np.float32)
        layer.weights[name] = Weight.tagged_float32(name, values.ravel())


def _divide(writer: Layer | None, factors: Floats) -> bool:
    """Let a normalization divide what it writes; return whether the writer of the blob is one."""
    if writer is None or not isinstance(writer.op, LayerNorm | RMSNorm):
        return False
    if not writer.op.affine or writer.op.affine_size != len(factors):
        return False
    for name in writer.op.arrays:
        values = writer.weights[name].float32() / factors.astype(np.float32)
        writer.weights[name] = replace(writer.weights[name], data=values.astype(np.float32))
    return True


def _division(blob: str, divided: str, factors: Floats, taken: set[str]) -> Sequence[Layer]:
    """Return a constant, and the layer that multiplies a blob by it."""
    name = unused(f"{divided}_by", taken)
    inverse = Weight.raw("data", 1 / factors)
    constant = Layer("MemoryData", name, [], [name], Params(f" 0={len(factors)} 1=1"), {"data": inverse})
    multiply = Layer("BinaryOp", divided, [blob, name], [divided])
    multiply.as_op(BinaryOp).op_type = Operation.MUL
    return constant, multiply
