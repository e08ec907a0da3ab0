"""How good one int8 model is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyncnnq.compare.parts import Part

LARGEST_RATIO = 100.0
"""In dB: a better ratio is as good as equal, and one below its negative is as bad as can be."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 model, and how close the result comes to the float model.

    Attributes:
        method: how thresholds were chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        techniques: the names of what else was done, in order.
        sqnr: signal-to-quantization-noise ratio over the held-out samples, in dB, of each part of the outputs.
        drop: by how much the mean score of the samples is below that of the float model (see `Judge`).
        parts: these parts (see `pyncnnq.compare.parts`).
    """

    method: str
    techniques: tuple[str, ...]
    sqnr: dict[str, float]
    drop: float
    parts: tuple[Part, ...] = ()

    @property
    def telling(self) -> dict[str, float]:
        """The ratios that models are chosen by."""
        silent = {part.name for part in self.parts if not part.decides}
        return {name: ratio for name, ratio in self.sqnr.items() if name not in silent}

    @property
    def apart(self) -> dict[str, list[str]]:
        """The outputs of which no part is the output itself, each with its parts."""
        outputs = dict.fromkeys(part.output for part in self.parts)
        parts = {output: [part.name for part in self.parts if part.output == output] for output in outputs}
        return {output: names for output, names in parts.items() if output not in names}

    @property
    def score(self) -> float:
        """The mean of the telling ratios, in dB."""
        return math.fsum(map(_bounded, self.telling.values())) / len(self.telling)


def _bounded(ratio: float) -> float:
    return min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO)


def noise(ratio: float) -> float:
    """Return the power of the noise as a share of that of the signal, from a ratio in dB."""
    return float(10 ** (-_bounded(ratio) / 10))
