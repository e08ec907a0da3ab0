"""How close an output of a model is to that of a reference: sums of each sample, and the figures of all samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.decibels import decibels


@dataclass(frozen=True, kw_only=True)
class OutputPair:
    """An output of one sample, x in the reference and y in another model: sums over the elements.

    Attributes:
        signal: of x squared.
        energy: of y squared.
        product: of x times y.
        noise: of (x - y) squared.
        max_error: the largest magnitude of x - y.

    But for the signal all are infinite where the shapes differ or a difference is not finite.
    """

    signal: float
    energy: float
    product: float
    noise: float
    max_error: float


def compare_output(exact: NDArray[np.float32], rough: NDArray[np.float32]) -> OutputPair:
    """Compare an output of one sample in the reference and in another model."""
    x = exact.astype(np.float64)
    energy = product = noise = max_error = math.inf
    with np.errstate(all="ignore"):
        if exact.shape == rough.shape:
            y = rough.astype(np.float64)
            error = x - y
            noise = float(np.square(error).sum())
            if math.isfinite(noise):
                energy, product = float(np.square(y).sum()), float((x * y).sum())
                max_error = float(np.abs(error).max(initial=0.0))
            else:
                noise = math.inf
        signal = float(np.square(x).sum())
    return OutputPair(signal=signal, energy=energy, product=product, noise=noise, max_error=max_error)


@dataclass(frozen=True, kw_only=True)
class OutputFigures:
    """How close an output of a model is to that of the reference, all samples together.

    Attributes:
        name: the blob.
        sqnr: signal-to-quantization-noise ratio in dB: infinite when nothing differs, minus infinite when an output is
            not finite or has another shape.
        cosine: of the angle between all its values in both models; None where that is not defined.
        max_error: the largest magnitude of a difference.
        at: the part of the output that all this is of; None for the output itself.
    """

    name: str
    sqnr: float
    cosine: float | None
    max_error: float
    at: str | None = None

    def __str__(self) -> str:
        return self.name if self.at is None else f"{self.name} (judged at {self.at})"


def output_figures(name: str, pairs: Sequence[OutputPair], at: str | None = None) -> OutputFigures:
    """Return the figures of an output over all samples, added up exactly."""
    signal, energy, product, noise = (
        math.fsum(getattr(pair, part) for pair in pairs) for part in ("signal", "energy", "product", "noise")
    )
    defined = math.isfinite(noise) and signal > 0 and energy > 0
    return OutputFigures(
        name=name,
        sqnr=decibels(signal, noise),
        cosine=product / math.sqrt(signal) / math.sqrt(energy) if defined else None,
        max_error=max(pair.max_error for pair in pairs),
        at=at,
    )
