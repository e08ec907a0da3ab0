"""How close models come to a reference, over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.compare.comparison import Compared, ComparisonJob, task_of
from pyncnnq.compare.outputs import output_figures
from pyncnnq.compare.parts import Part
from pyncnnq.compare.tasks import Task
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Graph, ModelFiles
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How close models come to a reference.

    Attributes:
        ratios: for each model, for each part the signal-to-quantization-noise ratio over all samples, in dB: infinite
            when nothing differs, minus infinite when a blob is not finite or has another shape.
        drops: for each model, by how much the mean of its scores is below that of the reference, or by how much it
            falls short in the figures of a task; NaN where nothing is known of that.
        sample_drops: for each model the same of each sample alone; empty where nothing is known of it.
        task: the name of the task that the outputs are of; None if none knows.
        numbers: which of the samples these are.
        skipped: the samples that could not be read, each with the reason.
    """

    ratios: list[list[float]]
    drops: list[float]
    sample_drops: list[list[float]]
    task: str | None
    numbers: list[int]
    skipped: list[str]


def compare_outputs(
    models: Sequence[ModelFiles],
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[tuple[str, InputSpec]],
    parts: Sequence[Part],
    graph: Graph,
    pool: Engine,
    *,
    outputs: Sequence[str] = (),
    tasks: Sequence[Task] = (),
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
        outputs: the blobs that tasks and the metric look at.
        tasks: what the outputs may mean, in the order in which they are tried.
        metric: the name of a function that gives outputs a score (see `pyncnnq.compare.metric`); then tasks do not
            count.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no sample could be read, or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
    """
    tasks = () if metric is not None else tasks
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
    task = task_of(tasks, compared)
    sample_drops = [_sample_drops(compared, other, task) for other in range(len(models) - 1)]
    if task is not None:
        drops = [task.drop([sample.records[other] for sample in compared]) for other in range(len(models) - 1)]
    else:
        drops = [math.fsum(each) / len(each) if each else math.nan for each in sample_drops]
    return Likeness(
        ratios=ratios,
        drops=drops,
        sample_drops=sample_drops,
        task=task.name if task else None,
        numbers=answers.numbers,
        skipped=answers.skipped,
    )


def _sample_drops(compared: Sequence[Compared], other: int, task: Task | None) -> list[float]:
    """Return by how much a model, counted without the reference, falls short of the reference in each sample."""
    if task is not None:  # a sample of which nothing is known, such as an image without detections, is as good as equal
        return [0.0 if math.isnan(drop := task.drop([sample.records[other]])) else drop for sample in compared]
    return [sample.scores[0] - sample.scores[other + 1] for sample in compared if sample.scores]
