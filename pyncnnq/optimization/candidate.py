"""How good one int8 model is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LARGEST_RATIO = 100.0
"""In dB: a better ratio is as good as equal, and one below its negative is as bad as can be."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 model, and how close the result comes to the float model.

    Attributes:
        method: how thresholds were chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        techniques: the names of what else was done, in order.
        sqnr: signal-to-quantization-noise ratio over the held-out samples, in dB, of each model output, and of the blob
            from which a Softmax or a Sigmoid makes an output; of an output that is picked, only of what it is picked
            from.
        drop: by how much the mean score of the samples is below that of the float model (see `Judge`).
        saturated: the outputs that a Softmax or a Sigmoid makes.
        picked: the outputs of layers that pick, such as a DetectionOutput, each with the blobs at which it is judged.
    """

    method: str
    techniques: tuple[str, ...]
    sqnr: dict[str, float]
    drop: float
    saturated: frozenset[str] = frozenset()
    picked: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def telling(self) -> dict[str, float]:
        """The ratios that models are chosen by: none of saturated outputs, whose error is that of the few samples
        that are undecided."""
        return {blob: ratio for blob, ratio in self.sqnr.items() if blob not in self.saturated}

    @property
    def score(self) -> float:
        """The mean of the telling ratios, in dB."""
        return math.fsum(map(_bounded, self.telling.values())) / len(self.telling)


def _bounded(ratio: float) -> float:
    return min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO)


def noise(ratio: float) -> float:
    """Return the power of the noise as a share of that of the signal, from a ratio in dB."""
    return float(10 ** (-_bounded(ratio) / 10))
