"""How good one int8 model is."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from pyncnnq.compare.parts import Part

LARGEST_RATIO = 100.0
"""In dB: a better ratio is as good as equal, and one below its negative is as bad as can be."""


_LOST = 10.0
"""The most noise that a part counts with, as a share of its signal: more is as bad, and would hide the other parts."""

_LEAST_SAMPLES, _SURE = 8, 2.58
"""With fewer samples nothing is sure; and how many standard errors a difference must be from 0."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 model, and how close the result comes to the float model.

    Attributes:
        method: how thresholds were chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        techniques: the names of what else was done, in order.
        sqnr: signal-to-quantization-noise ratio over the held-out samples, in dB, of each part of the outputs.
        drop: by how much the model falls short of the float model in what its users look at (see `Judge`); NaN where
            that is not known.
        parts: the parts of the outputs (see `pyncnnq.compare.parts`).
        sample_drops: the same of each sample alone; empty where it is not known.
        task: the name of the task that the drop is of; None without one.
        samples: how many held-out samples these are.
    """

    method: str
    techniques: tuple[str, ...]
    sqnr: dict[str, float]
    drop: float
    parts: tuple[Part, ...] = ()
    sample_drops: tuple[float, ...] = ()
    task: str | None = None
    samples: int = 0

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
        """The telling ratios as one, in dB (see `joined`)."""
        return joined(self.telling.values())


def loses_less(one: Candidate, other: Candidate) -> bool:
    """Return whether users lose less with one int8 model than with another, surely so by the samples that both were
    judged on: paired differences, of which a normal distribution has less than 1 % so far from 0."""
    gains = np.subtract(other.sample_drops, one.sample_drops)
    if len(gains) < _LEAST_SAMPLES:
        return False
    return bool(gains.mean() > 0 and gains.mean() >= _SURE * gains.std(ddof=1) / math.sqrt(len(gains)))


def _bounded(ratio: float) -> float:
    return min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO)


def joined(ratios: Collection[float]) -> float:
    """Return the ratio in dB of the mean noise of several parts, each as a share of its own signal: the worst part
    counts most, and what makes good parts better still hardly at all."""
    return -10 * math.log10(math.fsum(min(noise(ratio), _LOST) for ratio in ratios) / len(ratios))


def noise(ratio: float) -> float:
    """Return the power of the noise as a share of that of the signal, from a ratio in dB."""
    return float(10 ** (-_bounded(ratio) / 10))
