"""How close models come to a reference, over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.compare.comparison import Compared, ComparisonJob
from pyncnnq.compare.figures import percentage
from pyncnnq.compare.outputs import output_figures
from pyncnnq.compare.parts import Part
from pyncnnq.compare.tasks.classification import CLASSIFICATION, agrees
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Graph, ModelFiles
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How close models come to a reference.

    Attributes:
        ratios: for each model, for each part the signal-to-quantization-noise ratio over all samples, in dB: infinite
            when nothing differs, minus infinite when a blob is not finite or has another shape.
        drops: for each model, by how much the mean of its scores is below that of the reference.
        numbers: which of the samples these are.
        skipped: the samples that could not be read, each with the reason.
    """

    ratios: list[list[float]]
    drops: list[float]
    numbers: list[int]
    skipped: list[str]


def compare_outputs(
    models: Sequence[ModelFiles],
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[tuple[str, InputSpec]],
    parts: Sequence[Part],
    graph: Graph,
    pool: WorkerPool,
    *,
    outputs: Sequence[str] = (),
    metric: str | None = None,
    strict: bool = False,
    progress: Update | None = None,
) -> Likeness:
    """Compare the outputs of models with those of a reference, on the same samples in stock ncnn.

    Args:
        models: the files of the reference and of each other model.
        samples: for each sample one file for each model input.
        inputs: the blob of each model input, and how a file becomes it.
        parts: what to compare.
        graph: of one of the models; all have the blobs of the parts, in its order.
        pool: the processes to use.
        outputs: the blobs that have a score.
        metric: the name of a function that gives outputs a score (see `pyncnnq.compare.metric`); without one the score
            is the percentage of samples in which the largest value of each output that is a vector stands where the
            reference has it, NaN where no output is a vector.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no sample could be read, or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
    """
    tasks = () if metric is not None else (CLASSIFICATION,)
    judged = graph.in_order(blob for part in parts for blob in part.blobs)
    job = ComparisonJob(
        inputs=inputs,
        samples=samples,
        models=models,
        outputs=outputs,
        judged=judged,
        tasks=tasks,
        metric=metric,
    )
    answers = run_job(job, pool, strict=strict, progress=progress)
    compared: list[Compared] = answers.samples
    places = [[judged.index(blob) for blob in part.blobs] for part in parts]
    ratios = [
        [
            output_figures("", [sample.pairs[other][place] for sample in compared for place in some]).sqnr
            for some in places
        ]
        for other in range(len(models) - 1)
    ]
    drops = [_drop(compared, other) for other in range(len(models) - 1)]
    return Likeness(ratios=ratios, drops=drops, numbers=answers.numbers, skipped=answers.skipped)


def _drop(compared: Sequence[Compared], other: int) -> float:
    """Return by how much the mean score of a model, counted without the reference, is below that of the reference."""
    if all(sample.scores for sample in compared):
        reference, score = (
            math.fsum(sample.scores[place] for sample in compared) / len(compared) for place in (0, other + 1)
        )
        return reference - score
    if any(sample.task is None for sample in compared):
        return math.nan
    return 100.0 - percentage([agrees(sample.records[other]) for sample in compared])
