"""Driving worker processes over the calibration data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyncnnq._core import BlobStatistics
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Model
from pyncnnq.quantizable import require_float
from pyncnnq.statistics.messages import Comparison, Failed, Job, Misfit, RangesJob, ShapesJob, Task, Unreadable
from pyncnnq.statistics.observed import ObservedBlob, observed_blobs
from pyncnnq.statistics.pool import WorkerPool
from pyncnnq.statistics.ranges import ChannelRanges, merge_sums


@dataclass
class Statistics:
    """What was learnt of a model's blobs.

    Attributes:
        blobs: for each observed blob, by name, its statistics; siblings behind a Split are found under the blob that the Split copies.
        samples: how many samples went through the network.
        numbers: which of the data's samples these are.
        skipped: the samples that could not be read, each with the reason, in the order of the data.
        printed: the lines that ncnn printed, and how often each; complete when the pool of the run has ended.
    """

    blobs: dict[str, BlobStatistics] = field(default_factory=dict)
    samples: int = 0
    numbers: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    printed: Counter[str] = field(default_factory=Counter)


def observe_samples(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: WorkerPool,
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Run the model over all samples in stock ncnn, each sample read once, and observe the blobs that feed quantizable layers.

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
    answers = run_job(_job(Job, model, samples, inputs, blobs), pool, strict=strict, progress=progress)
    statistics = Statistics(samples=len(answers.samples), numbers=answers.numbers, skipped=answers.skipped, printed=pool.printed)
    for blob in blobs:
        merged = statistics.blobs[blob.name] = answers.results[0][blob.name]
        for part in answers.results[1:]:
            merged.merge(part[blob.name])
    return statistics


def channel_ranges(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: WorkerPool,
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ChannelRanges]:
    """Run the model over all samples in stock ncnn and measure each channel of the blobs that feed quantizable layers.

    The result is the same for any number of workers.

    Args:
        model, samples, inputs, pool, strict, progress: see `observe_samples`.

    Returns:
        For each observed blob, by name, its ranges; siblings behind a Split are found under the blob that the Split copies.  A blob whose
        number of channels changes from sample to sample is left out.

    Raises:
        ModelError, InputError, PyncnnqError: see `observe_samples`.
    """
    blobs = observed_blobs(model)
    answers = run_job(_job(RangesJob, model, samples, inputs, blobs), pool, strict=strict, progress=progress)
    measured = {blob.name: merge_sums([sample.blobs[index] for sample in answers.samples]) for index, blob in enumerate(blobs)}
    return {name: ranges for name, ranges in measured.items() if ranges is not None}


def _job(
    kind: type[Job], model: Model, samples: Sequence[tuple[Path, ...]], inputs: Sequence[InputSpec], blobs: Sequence[ObservedBlob]
) -> Job:
    require_float(model)
    return kind(*model.files, list(zip(model.inputs, inputs, strict=True)), list(samples), blobs)


def blob_shapes(
    model: Model, samples: Sequence[tuple[Path, ...]], inputs: Sequence[InputSpec], blobs: Sequence[str], pool: WorkerPool
) -> list[dict[str, tuple[int, ...]]]:
    """For each sample of what shape blobs are when stock ncnn runs the model, in NumPy's order.

    Args:
        model, samples, inputs, pool: see `observe_samples`.
        blobs: their names, in the order of the layers that write them.

    Raises:
        ModelError, InputError, PyncnnqError: see `observe_samples`.
    """
    param, bin_path = model.files
    named = list(zip(model.inputs, inputs, strict=True))
    answers = run_job(ShapesJob(param, bin_path, named, list(samples), list(blobs)), pool, strict=False, progress=None)
    return [dict(zip(blobs, sample.shapes, strict=True)) for sample in answers.samples]


@dataclass(frozen=True)
class Likeness:
    """How close models come to a reference.

    Attributes:
        ratios: for each model, for each output the signal-to-quantization-noise ratio over all samples, in dB: infinite when nothing
            differs, minus infinite when an output is not finite or has another shape.
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
        metric: the name of a function that gives outputs a score (see `pyncnnq.metric`); without one the score is the percentage of samples
            in which the largest value stands where the reference has it.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no sample could be read, or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
    """
    answers = run_job(Comparison(models, inputs, samples, outputs, metric), pool, strict=strict, progress=progress)
    signal = [math.fsum(answer.signal[output] for answer in answers.samples) for output in range(len(outputs))]
    noise = [
        [math.fsum(answer.noise[other][output] for answer in answers.samples) for output in range(len(outputs))]
        for other in range(len(models) - 1)
    ]
    ratios = [[decibels(a, b) for a, b in zip(signal, row, strict=True)] for row in noise]
    reference, *scores = (math.fsum(column) / len(column) for column in zip(*(answer.scores for answer in answers.samples), strict=True))
    return Likeness(ratios, [reference - score for score in scores], answers.skipped)


def decibels(signal: float, noise: float) -> float:
    """Of two powers; infinite without noise, minus infinite without signal or where the noise is not finite."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf


@dataclass
class Answers:
    """What workers found: of each sample that could be read, in their order, and as their results.

    Attributes:
        numbers: which samples these are.
        samples: what was answered to them.
        results: the results of the workers.
        skipped: the samples that could not be read, each with the reason.
    """

    numbers: list[int]
    samples: list[Any]
    results: list[Any]
    skipped: list[str]


def run_job(
    job: Job | ShapesJob | Comparison | Task,
    pool: WorkerPool,
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Let workers do a job on each sample.

    Raises:
        InputError: no sample could be read; with `strict`, any could not; or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples.
    """
    samples = job.samples
    found: dict[int, Any] = {}
    skipped: dict[int, str] = {}
    results: list[Any] = []
    misfits: dict[int, str] = {}
    done: set[int] = set()
    for index, answer in pool.run(job, len(samples)):
        if isinstance(answer, Failed):
            pool.end()  # only then is all known that ncnn printed
            raise PyncnnqError(answer.reason + "".join(f" (printed last: {line})" for line in list(pool.printed)[-1:]))
        if index is None:
            results.append(answer)
            continue
        done.add(index)
        if isinstance(answer, Unreadable):
            if strict:
                raise InputError(f"{answer.reason} (without --strict it would be skipped)")
            skipped[index] = answer.reason
        elif isinstance(answer, Misfit):
            misfits[index] = answer.reason
        else:
            found[index] = answer
        if misfits and done.issuperset(range(min(misfits))):  # else an earlier one may still be found, and is the one to name
            raise InputError(misfits[min(misfits)])
        if progress is not None:
            progress(len(done), len(samples))
    if not found:
        raise InputError(f"none of the {len(samples)} samples could be read; the first one: {skipped[min(skipped)]}")
    numbers = sorted(found)
    return Answers(numbers, [found[index] for index in numbers], results, [skipped[index] for index in sorted(skipped)])
