"""How layers read blobs that they quantize while they run, and the noise of that: Gemm, MultiHeadAttention and those
that go through sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.model.ops import BinaryOp, Gemm, MultiHeadAttention, Operation, Recurrent
from pyncnnq.rewrites.rewritten import unused
from pyncnnq.statistics.columns import Columns
from pyncnnq.statistics.observed import ObservedBlob, Reader

Floats = NDArray[np.float64]

EXPONENTS = np.linspace(0.3, 0.95, 14)
"""Those that are tried: how much of a feature's magnitude goes into the weights."""

WORTH = 0.9
"""The share of the noise that may be left, at most: a pass over the blob is not worth less."""

_STEPS = 127


@dataclass(frozen=True)
class Reading:
    """How a layer reads a blob that it quantizes itself and multiplies with weights.

    Attributes:
        place: of the blob among the layer's inputs.
        weights: the names of the arrays that are multiplied with it.
        size: the length of a row of them: one weight for each feature of the blob.
        by_token: each row of the blob has a scale of its own; if not, one is for all of it.
    """

    place: int
    weights: tuple[str, ...]
    size: int
    by_token: bool = False


def readings(layer: Layer) -> list[Reading]:
    """Return how a layer reads the blobs that it quantizes itself and multiplies with weights."""
    op = layer.op
    if isinstance(op, Gemm) and len(layer.bottoms) == 1 and op.transpose_b and not op.transpose_a:
        if op.constant_a and not op.constant_b:
            return [Reading(0, ("A_data",), op.k)]
        if op.constant_b and not op.constant_a:
            return [Reading(0, ("B_data",), op.k, by_token=True)]
    if isinstance(op, MultiHeadAttention) and not op.kv_cache:
        sizes = {"q": op.qdim, "k": op.kdim, "v": op.vdim}
        return [
            Reading(place, tuple(f"{part}_weight_data" for part in read), sizes[read[0]])
            for place, read in enumerate(op.parts_of_inputs)
        ]
    if isinstance(op, Recurrent):
        return [Reading(0, ("weight_xc_data",), op.size, by_token=True)]
    return []


def dynamic_blobs(model: Model) -> list[ObservedBlob]:
    """Return the blobs that layers quantize while they run, each once, in the order in which the network computes
    them."""
    graph = model.graph()
    readers: dict[str, list[Reader]] = {}
    for layer in model.layers:
        for reading in readings(layer):
            name = graph.split_root(layer.bottoms[reading.place])
            readers.setdefault(name, []).append(Reader(str(layer), reading.size, flattened=False, of_columns=True))
    return [ObservedBlob(top, tuple(readers[top])) for layer in model.layers for top in layer.tops if top in readers]


def weights_read(layer: Layer, reading: Reading) -> Floats:
    """Return the weights that see a blob, shape (outputs, features)."""
    arrays = [layer.weights[name].float32().reshape(-1, reading.size) for name in reading.weights]
    return np.concatenate(arrays).astype(np.float64)


def smoothing_factors(seen: Columns, weights: Floats, *, by_token: bool) -> tuple[Floats, float]:
    """Return by what each feature is best divided, as float32 holds it, and the noise then (see `noise`): 1 for all
    where nothing else leaves less than WORTH of the noise, or a weight is not finite.
    """
    largest, heaviest = seen.largest.max(axis=0), np.abs(weights).max(axis=0)
    ones = np.ones(len(largest))
    if not np.isfinite(heaviest).all():
        return ones, math.inf
    plain = noise(ones, seen, weights, by_token=by_token)
    tried = [_factors(largest, heaviest, exponent) for exponent in EXPONENTS]
    noises = [noise(factors, seen, weights, by_token=by_token) for factors in tried]
    best = int(np.argmin(noises))
    return (tried[best], noises[best]) if noises[best] < WORTH * plain else (ones, plain)


def noise(factors: Floats, seen: Columns, weights: Floats, *, by_token: bool) -> float:
    """Return the power of what rounding activations and weights adds to the outputs, but for a factor.

    Args:
        factors: by what features are divided.
        seen: the features.
        weights: shape (outputs, features); each output has a scale of its own.
        by_token: see `Reading`.
    """
    scaled = weights * factors
    powers = np.square(((seen.rows if by_token else seen.largest) / factors).max(axis=1) / _STEPS).mean()
    steps = np.abs(scaled).max(axis=1) / _STEPS
    return float(powers * np.square(scaled).sum() + np.square(steps).sum() * (seen.powers / factors**2).sum())


def multiplied(blob: str, product: str, factors: Floats, taken: set[str]) -> list[Layer]:
    """Return a constant, and the layer that multiplies the columns of a blob by it.

    Args:
        blob, product: the names of the blobs, old and new; the layer has the name of the new one where that is free.
        factors: one for each column.
        taken: the names of layers and blobs so far, to which new ones are added.
    """
    name = unused(f"{product}_by", taken)
    constant = Layer("MemoryData", name, [], [name], Params(f" 0={len(factors)} 1=1"))
    constant.weights = {"data": Weight.raw("data", factors)}
    multiply = Layer("BinaryOp", unused(f"{product}_scaled", taken), [blob, name], [product])
    multiply.as_op(BinaryOp).op_type = Operation.MUL
    return [constant, multiply]


def _factors(largest: Floats, heaviest: Floats, exponent: float) -> Floats:
    """Return the factors by an exponent; 1 for a feature that is always zero, or that no weight sees."""
    counts = (largest > 0) & (heaviest > 0)
    factors = np.ones(len(largest))
    factors[counts] = largest[counts] ** exponent / heaviest[counts] ** (1 - exponent)
    if counts.any():
        factors[counts] /= np.exp(np.log(factors[counts]).mean())
    return factors.astype(np.float32).astype(np.float64)


def seen_by(columns: Mapping[str, Columns], blob: str, reading: Reading) -> Columns | None:
    """Return what is known of a blob, if it has as many columns as its reader takes."""
    seen = columns.get(blob)
    return seen if seen is not None and len(seen.powers) == reading.size else None
