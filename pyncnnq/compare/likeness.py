"""How close models come to a reference, over samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.decibels import decibels
from pyncnnq.compare.metric import agreement, load_metric
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """How close models come to a reference.

    Attributes:
        ratios: for each model, for each output the signal-to-quantization-noise ratio over all samples, in dB: infinite
            when nothing differs, minus infinite when an output is not finite or has another shape.
        drops: for each model, by how much the mean of its scores is below that of the reference.
        skipped: the samples that could not be read, each with the reason.
    """

    ratios: list[list[float]]
    drops: list[float]
    skipped: list[str]


def compare_outputs(
    models: Sequence[tuple[Path, Path]],
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[tuple[str, InputSpec]],
    outputs: Sequence[str],
    pool: WorkerPool,
    *,
    metric: str | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Likeness:
    """How far the outputs of models lie from those of a reference, on the same samples in stock ncnn.

    Args:
        models: the files of the reference and of each other model.
        samples: for each sample one file for each model input.
        inputs: the blob of each model input, and how a file becomes it.
        outputs: the blobs to compare; all models have them.
        pool: the processes to use.
        metric: the name of a function that gives outputs a score (see `pyncnnq.compare.metric`); without one the score
            is the percentage of samples in which the largest value stands where the reference has it.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no sample could be read, or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
    """
    job = ComparisonJob(inputs=inputs, samples=samples, models=models, outputs=outputs, metric=metric)
    answers = run_job(job, pool, strict=strict, progress=progress)
    signal = [math.fsum(answer.signal[output] for answer in answers.samples) for output in range(len(outputs))]
    noise = [
        [math.fsum(answer.noise[other][output] for answer in answers.samples) for output in range(len(outputs))]
        for other in range(len(models) - 1)
    ]
    ratios = [[decibels(a, b) for a, b in zip(signal, row, strict=True)] for row in noise]
    reference, *scores = (
        math.fsum(column) / len(column) for column in zip(*(answer.scores for answer in answers.samples), strict=True)
    )
    return Likeness(ratios, [reference - score for score in scores], answers.skipped)


@dataclass(frozen=True, kw_only=True)
class ComparisonJob(Job):
    """Compare the outputs of models with those of the first.

    Attributes:
        models: the files of each; all take the same inputs.
        outputs: the blobs to compare.
        metric: the name of a function that gives outputs a score (see `pyncnnq.compare.metric`); None: agreement of the
            largest values.
    """

    models: Sequence[tuple[Path, Path]]
    outputs: Sequence[str]
    metric: str | None = None

    def start(self) -> _Comparison:
        return _Comparison(self)


@dataclass(frozen=True)
class _Compared:
    """One sample's outputs, sums over their elements.

    Attributes:
        signal: of the squares of each output of the reference.
        noise: for each other model, of the squared differences of each output.
        scores: of the reference and each other model.
    """

    signal: tuple[float, ...]
    noise: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]


class _Comparison:
    """The outputs of several models, sample by sample."""

    def __init__(self, job: ComparisonJob) -> None:
        from pyncnnq.runtime.network import Network

        self._networks = [Network(param, bin_path) for param, bin_path in job.models]
        self._outputs = list(job.outputs)
        self._metric = load_metric(job.metric) if job.metric is not None else None

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> _Compared:
        reference, *others = [
            [np.array(mat, np.float64) for _, mat in network.blobs(inputs, self._outputs, packed=False)]
            for network in self._networks
        ]
        signal = tuple(float(np.square(output).sum()) for output in reference)
        noise = tuple(tuple(_squared_distance(a, b) for a, b in zip(reference, other, strict=True)) for other in others)
        return _Compared(
            signal, noise, tuple(self._score(outputs, reference, paths) for outputs in (reference, *others))
        )

    def _score(self, outputs: Sequence[Floats], reference: Sequence[Floats], paths: Sequence[Path]) -> float:
        if self._metric is None:
            return agreement(outputs, reference)
        return self._metric(
            {name: output.astype(np.float32) for name, output in zip(self._outputs, outputs, strict=True)}, paths
        )

    def result(self) -> None:
        return None


def _squared_distance(a: Floats, b: Floats) -> float:
    """Infinite where the shapes differ or a value is not finite."""
    with np.errstate(all="ignore"):
        distance = float(np.square(a - b).sum()) if a.shape == b.shape else math.inf
    return distance if math.isfinite(distance) else math.inf
