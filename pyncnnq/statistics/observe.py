"""Observing the blobs that feed quantizable layers, over all samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyncnnq._core import BlobStatistics
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observed import ObservedBlob, ObservedJob, check_readers, not_finite, observed_blobs

Observations = dict[str, tuple[BlobStatistics, set[int]]]
"""Of each blob, by name, its statistics and the numbers of dimensions that it had."""


@dataclass
class Statistics:
    """What was observed of a model's blobs.

    Attributes:
        blobs: for each observed blob, by name, its statistics; copies behind a Split go by the name of the blob that
            the Split copies.
        dimensions: the number of dimensions of each observed blob for which it is the same in all samples.
        samples: how many samples went through the network.
        numbers: which of the data's samples these are.
        skipped: the samples that could not be read, each with the reason, in the order of the data.
        printed: the lines that ncnn printed, and how often each; complete when the pool of the run has ended.
    """

    blobs: dict[str, BlobStatistics] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    numbers: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    printed: Counter[str] = field(default_factory=Counter)


def observe_samples(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: Engine,
    *,
    strict: bool = False,
    progress: Update | None = None,
) -> Statistics:
    """Run a float model over all samples in stock ncnn, each sample read once, and return the statistics of the blobs
    that feed quantizable layers.

    The result is the same to the bit for any order of the samples and any number of workers.

    Args:
        model: the float model, as read from its files.
        samples: for each sample one file for each model input.
        inputs: for each model input how a file becomes its blob (see `pyncnnq.inputs.resolve`).
        pool: the processes to use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        ModelError: the model is int8 already, or was not read from files.
        InputError: no sample could be read; with `strict`, any could not; or an array does not fit the model.
        PyncnnqError: ncnn cannot run the model on these samples, or a blob holds an infinity or a NaN.
    """
    blobs = observed_blobs(model)
    job = ObservationJob.of(model, samples, inputs, blobs)
    answers = run_job(job, pool, strict=strict, progress=progress)
    statistics = Statistics(
        samples=len(answers.samples), numbers=answers.numbers, skipped=answers.skipped, printed=pool.printed
    )
    for blob in blobs:
        statistics.blobs[blob.name], seen = answers.result[blob.name]
        if len(seen) == 1:
            statistics.dimensions[blob.name] = min(seen)
    return statistics


@dataclass(frozen=True, kw_only=True)
class ObservationJob(ObservedJob):
    """Observe blobs of a model."""

    def start(self) -> _Observation:
        return _Observation(self)

    @staticmethod
    def merged(first: Observations, second: Observations) -> Observations:
        """Return the statistics of all samples of two workers."""
        for name, (statistics, dimensions) in second.items():
            first[name][0].merge(statistics)
            first[name][1].update(dimensions)
        return first


class _Observation:
    """The statistics of blobs, sample by sample."""

    def __init__(self, job: ObservationJob) -> None:
        from pyncnnq.runtime.network import Network

        self._network = Network(*job.model)
        self._blobs = {blob.name: blob for blob in job.blobs}
        self._statistics = {name: BlobStatistics() for name in self._blobs}
        self._dimensions: dict[str, set[int]] = {name: set() for name in self._blobs}

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> None:
        for name, mat in self._network.blobs(inputs, list(self._blobs), packed=True):
            self._dimensions[name].add(mat.dims)
            _observe(self._blobs[name], mat, self._statistics[name])

    def result(self) -> Observations:
        return {name: (self._statistics[name], self._dimensions[name]) for name in self._blobs}


def _observe(blob: ObservedBlob, mat: Any, statistics: BlobStatistics) -> None:
    check_readers(blob, mat)
    dims, w, h, d, c, cstep, elempack = mat.dims, mat.w, mat.h, mat.d, mat.c, mat.cstep, mat.elempack
    if elempack > 1:
        # The binding gives no buffer of a packed Mat.  This Mat is ours, though it shares its memory: let it say plain
        # floats.
        mat.elemsize, mat.elempack, mat.w, mat.cstep = 4, 1, w * elempack, cstep * elempack
    if not statistics.observe(mat, dims, w, h, d, c, cstep, elempack):
        raise not_finite(blob)
