"""Embeddings: vectors that are compared with each other by the cosine of their angle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, bootstrapped, mean_of_ratios, share
from pyncnnq.compare.source import source
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model

_DIGITS = 6

_NORMALIZING = ("LayerNorm", "Normalize", "RMSNorm")
"""Layer types that write no class scores."""

_LEAST_NUMBERS = 32
"""The scores of a few classes have about the length 1 on some sample or other; those of many are far longer."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """The embedding of one sample, of length 1, in the float and in the int8 model, rounded to 6 digits; zeros for what
    has no direction."""

    exact: tuple[float, ...]
    rough: tuple[float, ...]


class Embedding(Task):
    """How much the int8 model turns vectors, and whether the same samples are alike."""

    name = "embedding"
    summary = "vectors that stand for samples: cosine to float, nearest neighbour kept, rank correlation"

    _normalized = False

    def fits(self, model: Model) -> bool:
        return len(model.outputs) == 1

    def prepared(self, model: Model, inputs: Sequence[InputSpec] = (), *, forced: bool = False) -> Self:
        """Return the task that knows whether a layer which normalizes writes the output."""
        prepared = super().prepared(model, inputs, forced=forced)
        writer = source(model.graph(), model.outputs[0]) if model.outputs else None
        prepared._normalized = writer is not None and writer.type in _NORMALIZING
        return prepared

    def record(self, exact: Outputs, rough: Outputs, _sample: Sample) -> Vectors | None:
        (name, *others) = exact
        values = exact[name].squeeze()
        if others or values.ndim not in (1, 2) or values.size < 2:
            return None
        if not (self.forced or self._normalized or _has_length_1(values)):
            return None
        same = rough[name].shape == exact[name].shape
        found = pooled(values)
        return Vectors(exact=_plain(found), rough=_plain(pooled(rough[name].squeeze()) if same else 0 * found))

    def figures(self, records: Sequence[Vectors], labels: Sequence[Any] | None, _paths: Sequence[Path]) -> list[Figure]:
        exact, rough = (np.array([getattr(record, part) for record in records]) for part in ("exact", "rough"))
        cosines = (exact * rough).sum(axis=1)
        figures = [mean_of_ratios("cosine to float", cosines.tolist(), [1] * len(records))]
        if len(records) < 3:  # two samples are each other's neighbours
            return figures
        alike = exact @ exact.T, rough @ rough.T
        kept = nearest(alike[0]) == nearest(alike[1])
        figures.append(share("nearest neighbour kept", kept.tolist(), [1] * len(records), gated=labels is None))
        figures.append(_rank_correlation(*alike))
        return figures


EMBEDDING = Embedding()


def pooled(values: NDArray[np.float32]) -> Floats:
    """Return a vector, or the mean of the rows (tokens) of a matrix, divided by its length."""
    vector = values.astype(np.float64) if values.ndim == 1 else values.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(vector))
    unit: Floats = vector / length if 0 < length < math.inf else np.zeros_like(vector)
    return unit


def nearest(alike: Floats) -> NDArray[np.int64]:
    """Return for each sample which other one is most like it."""
    others = alike.copy()
    np.fill_diagonal(others, -math.inf)
    neighbours: NDArray[np.int64] = others.argmax(axis=1)
    return neighbours


def ranks(values: Floats) -> Floats:
    """Return the place of each value in their order, from 0; equal ones share the mean of their places."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts + 1) / 2)[group.ravel()]
    return shared


def _rank_correlation(exact: Floats, rough: Floats) -> Figure:
    """Return Spearman's correlation of the similarities of all pairs of different samples."""
    count = len(exact)
    upper = np.triu_indices(count, 1)
    placed = []
    for alike in (exact, rough):
        square = np.zeros((count, count))
        square[upper] = ranks(alike[upper])
        placed.append(square + square.T)
    x, y = placed
    products = x * y, x * x, y * y
    pairs = 1.0 - np.eye(count)

    def of(chosen: NDArray[np.int64]) -> float:
        """Return the correlation where samples count several times, each pair of different ones that often."""
        weights = np.bincount(chosen, minlength=count).astype(np.float64)
        total, sum_x, sum_y, sum_xy, sum_xx, sum_yy = (
            float(weights @ part @ weights) for part in (pairs, x, y, *products)
        )
        if not total:
            return math.nan
        spread = (sum_xx - sum_x**2 / total) * (sum_yy - sum_y**2 / total)
        return (sum_xy - sum_x * sum_y / total) / math.sqrt(spread) if spread > 0 else math.nan

    whole = of(np.arange(count))
    name = "rank correlation of similarities"
    return Figure(name=name, unit="", values=(None, whole), interval=bootstrapped(of, count))


def _has_length_1(values: NDArray[np.float32]) -> bool:
    """Return whether a vector, or each row of a matrix, has the length 1 and is no distribution."""
    if values.shape[-1] < _LEAST_NUMBERS:
        return False
    lengths = np.linalg.norm(values.astype(np.float64), axis=-1)
    return bool(np.allclose(lengths, 1, atol=1e-4)) and bool(values.min() < 0)


def _plain(vector: Floats) -> tuple[float, ...]:
    return tuple(np.round(vector, _DIGITS).tolist())
