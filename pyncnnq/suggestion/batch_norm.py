"""What the first BatchNorm of a model remembers of its training, against what reaches it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Model
from pyncnnq.model.ops import BatchNorm, Convolution, Input

Numbers = NDArray[np.float64]

_DEAD = 1e-6
"""A channel with less variance than this part of another's has none."""


@dataclass(frozen=True)
class Remembered:
    """The moments of a blob in training.

    Attributes:
        blob: its name.
        mean, variance: of each channel that is not always the same.
        alive: which of all channels these are.
    """

    blob: str
    mean: Numbers
    variance: Numbers
    alive: NDArray[np.bool_]

    def distance(self, moments: Sequence[Numbers]) -> float:
        """Return how far the blob is from what it was in training: for normal distributions of these moments the
        Kullback-Leibler divergence in nats, the mean over the channels.

        Args:
            moments: for each image the mean and the mean square of each channel, shape (2, channels).
        """
        mean, square = np.mean(moments, axis=0)[:, self.alive]
        variance = np.maximum(square - mean**2, _DEAD * self.variance)
        ratio = variance / self.variance
        parts = (ratio + (mean - self.mean) ** 2 / self.variance - 1 - np.log(ratio)) / 2
        return float(np.mean(parts))


def remembered(model: Model) -> Remembered | None:
    """Return the moments that the first BatchNorm stores, where it reads a convolution or the input itself; else None,
    as for a model whose layers are fused."""
    graph = model.graph()
    for layer in model.layers:
        if not isinstance(layer.op, BatchNorm):
            continue
        producer = graph.producer(graph.split_root(layer.bottoms[0]))
        if producer is None or not isinstance(producer.op, (Convolution, Input)):
            return None
        mean, variance = (layer.weights[name].float32().astype(np.float64) for name in ("mean_data", "var_data"))
        alive = variance > _DEAD * variance.max(initial=0.0)
        return Remembered(layer.bottoms[0], mean[alive], variance[alive], alive) if alive.any() else None
    return None
