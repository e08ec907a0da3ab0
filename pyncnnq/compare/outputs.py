"""Outputs of the float and the int8 model on the same samples: what workers measure, and the figures that come of
it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.decibels import decibels
from pyncnnq.inputs import InputSpec
from pyncnnq.runtime.protocol import Work

Floats = NDArray[np.float64]
TOP = 5


@dataclass(frozen=True)
class Evaluating:
    """Run the float and the int8 model on samples and compare their outputs.

    Attributes:
        models: the files of the float and of the int8 model.
        inputs, samples: as in `pyncnnq.runtime.protocol.Job`.
        outputs: the blobs to compare.
        metric: the name of the user's score (see pyncnnq/compare/metric.py).
    """

    models: tuple[tuple[Path, Path], tuple[Path, Path]]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    outputs: Sequence[str]
    metric: str | None

    def start(self) -> Work:
        """See `pyncnnq.runtime.protocol.Job`."""
        from pyncnnq.evaluation.worker import Evaluation  # which imports ncnn: in workers only

        return Evaluation(self)


@dataclass(frozen=True)
class OutputPair:
    """One output of one sample in both models, x in float and y in int8, sums over the elements.

    Attributes:
        size: how many elements it has.
        signal: of x squared.
        energy: of y squared.
        product: of x times y.
        noise: of (x - y) squared; infinite where the shapes differ or y is not finite.
        max_error: the largest magnitude of x - y; infinite as the noise.
        top: where the output is a vector, the places of its (up to) five largest values, the largest first, in float
            and in int8; of equals the first.
        scores: the values at these places.
    """

    size: int
    signal: float
    energy: float
    product: float
    noise: float
    max_error: float
    top: tuple[tuple[int, ...], tuple[int, ...]] | None
    scores: tuple[tuple[float, ...], tuple[float, ...]] | None


@dataclass(frozen=True)
class Evaluated:
    """One sample's outputs, and the user's score of both models."""

    outputs: tuple[OutputPair, ...]
    scores: tuple[float, float] | None


def compare(exact: NDArray[np.float32], rough: NDArray[np.float32]) -> OutputPair:
    """What there is to say of one output, in float and in int8."""
    x = exact.astype(np.float64)
    top = scores = None
    vector = exact.size > 1 and exact.size == max(exact.shape)
    with np.errstate(all="ignore"):
        if exact.shape != rough.shape:
            noise = energy = product = max_error = math.inf
        else:
            y = rough.astype(np.float64)
            error = x - y
            noise, energy, product = (float(one.sum()) for one in (np.square(error), np.square(y), x * y))
            max_error = float(np.abs(error).max(initial=0.0))
            if not math.isfinite(noise):
                noise = energy = product = max_error = math.inf
            if vector:
                places = _top(x.ravel()), _top(y.ravel())
                top = tuple(places[0].tolist()), tuple(places[1].tolist())
                scores = tuple(exact.ravel()[places[0]].tolist()), tuple(rough.ravel()[places[1]].tolist())
    return OutputPair(x.size, float(np.square(x).sum()), energy, product, noise, max_error, top, scores)


def _top(values: Floats) -> NDArray[np.int64]:
    return np.argsort(-values, kind="stable")[:TOP]  # what is not a number comes last


@dataclass(frozen=True)
class OutputFigures:
    """How close one output of the int8 model is to that of the float model, all samples together.

    Attributes:
        name: the blob.
        sqnr: signal-to-quantization-noise ratio in dB: infinite when nothing differs, minus infinite when an output is
            not finite or has another shape.
        cosine: of the angle between all its values in float and in int8; None where that is not defined.
        max_error: the largest magnitude of a difference.
        top1_agreement: in how many of 100 samples both models rank the same place first; None for what is not a vector.
        top5_agreement: ... the int8 model has the float model's first among its first five; None also for five or fewer
            values.
    """

    name: str
    sqnr: float
    cosine: float | None
    max_error: float
    top1_agreement: float | None
    top5_agreement: float | None


def output_figures(name: str, pairs: Sequence[OutputPair]) -> OutputFigures:
    """The figures of one output over all samples."""
    signal, energy, product, noise = (
        math.fsum(getattr(pair, part) for pair in pairs) for part in ("signal", "energy", "product", "noise")
    )
    defined = math.isfinite(noise) and signal > 0 and energy > 0
    tops = [pair.top for pair in pairs if pair.top is not None]
    top1 = top5 = None
    if len(tops) == len(pairs):
        top1 = percentage([rough[0] == exact[0] for exact, rough in tops])
        if all(len(exact) == TOP for exact, _ in tops):
            top5 = percentage([exact[0] in rough for exact, rough in tops])
    return OutputFigures(
        name,
        decibels(signal, noise),
        product / math.sqrt(signal) / math.sqrt(energy) if defined else None,
        max(pair.max_error for pair in pairs),
        top1,
        top5,
    )


def percentage(hits: Sequence[bool]) -> float:
    """How many of 100."""
    return 100 * sum(hits) / len(hits)
