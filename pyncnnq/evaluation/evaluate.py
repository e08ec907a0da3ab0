"""The float and the int8 model side by side, on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq.compare.comparison import Compared, ComparisonJob
from pyncnnq.compare.decibels import decibels
from pyncnnq.compare.figures import Figure, mean_figure
from pyncnnq.compare.metric import load_metric
from pyncnnq.compare.outputs import OutputFigures, output_figures
from pyncnnq.compare.parts import Part, parts_of
from pyncnnq.compare.tasks import Task
from pyncnnq.errors import ModelError
from pyncnnq.evaluation.memory import Memory, memory_of
from pyncnnq.evaluation.profile import Profiled, ProfileJob, Speed, speed_of
from pyncnnq.evaluation.tasks import ModelTasks, TaskFigures, task_figures
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_fitting
from pyncnnq.latency.timing import timed_blobs
from pyncnnq.model import Model, ModelFiles
from pyncnnq.model.macs import macs
from pyncnnq.notebook import as_html
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.runtime.run import run_job


@dataclass(frozen=True, kw_only=True)
class EvaluatedSample:
    """One sample.

    Attributes:
        path: its (first) file.
        label: what the labels say of it; None without labels.
        sqnr: in dB, by the mean over the parts of the outputs of the share that noise has of the signal.
        record: what the task recorded of it (see pyncnnq/compare/tasks/); None without a task.
    """

    path: Path
    label: Any
    sqnr: float
    record: Any


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What int8 did to a model.

    Attributes:
        outputs: how close each part of each output is (see `pyncnnq.compare.parts`).
        task: figures of the model's task; None where no task knows what the outputs mean.
        score: with a metric, its mean over the samples.
        speed: of one inference.
        bytes: of both files of the float and of the int8 model.
        memory: that they take when they run.
        macs: multiplications and additions of one inference.
        int8_macs: the part of them that layers in int8 do.
        inputs: how each input of the models was filled, as plain data.
        samples: the samples, in their order.
        skipped: the samples that could not be read, each with the reason.
        printed: the lines that ncnn printed, and how often each.
        ignored_files: how many files of other types and hidden ones lay in the folders of data, by suffix.
        warnings: one line for each thing that a user should look at.
    """

    outputs: list[OutputFigures]
    task: TaskFigures | None
    score: Figure | None
    speed: Speed
    bytes: tuple[int, int]
    memory: Memory
    macs: int
    int8_macs: int
    inputs: list[dict[str, Any]]
    samples: list[EvaluatedSample]
    skipped: list[str]
    printed: dict[str, int]
    ignored_files: dict[str, int]
    warnings: list[str]

    @property
    def worst_sqnr(self) -> float:
        """The lowest SQNR of all parts of the outputs, in dB."""
        return min(output.sqnr for output in self.outputs)

    @property
    def figures(self) -> list[Figure]:
        """The figures of the task and of the metric."""
        return [*(self.task.figures if self.task else ()), *([self.score] if self.score else ())]

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = [(f"SQNR of {output}", "", f"{output.sqnr:.2f} dB") for output in self.outputs]
        for figure in self.figures:
            rows.append((figure.name, *("" if one is None else f"{one:.4g} {figure.unit}" for one in figure.values)))
        rows.append(("inference", f"{self.speed.float_ms:.2f} ms", f"{self.speed.int8_ms:.2f} ms"))
        rows.append(("size", *(f"{size:,} bytes" for size in self.bytes)))
        return as_html(f"int8 against float on {len(self.samples)} samples", ("", "float", "int8"), rows)


def evaluate(
    model: Model,
    int8: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    labels: str | None = None,
    metric: str | None = None,
    task: str | None = None,
    samples: int | None = None,
    workers: int | None = None,
    threads: int = 1,
    strict: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Run a float model and the int8 model made of it in stock ncnn over the same data, and compare.

    Args:
        model, int8: both as read from their files.
        data, options: as for `pyncnnq.collect`.
        labels: which class each sample is of (see `pyncnnq.compare.tasks.class_labels.find_labels`), or what else the
            task takes; None if that is not known.
        metric: the name of a score of one sample (see pyncnnq/compare/metric.py).
        task: the name of what the outputs mean (see pyncnnq/compare/tasks/), or `NAME:SETTING`, such as
            `detection:0.25`; default: the first task that knows.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        threads: of one inference, where speed is measured.
        strict: an unreadable sample is an error instead of being skipped.
        progress: shows how far each pass is.

    Raises:
        ModelError: models with other inputs or outputs than each other.
        InputError: no data, data that does not fit, labels or a task that do not fit the outputs.
        PyncnnqError: an unknown task, a metric that cannot be used, or ncnn cannot run a model on this data.
    """
    return evaluate_on(
        model,
        int8,
        find_fitting(model, data, options, samples),
        workers,
        labels=labels,
        metric=metric,
        task=task,
        threads=threads,
        strict=strict,
        progress=progress,
    )


def evaluate_on(
    model: Model,
    int8: Model,
    data: CalibrationData,
    workers: int | None,
    *,
    labels: str | None = None,
    metric: str | None = None,
    task: str | None = None,
    threads: int = 1,
    strict: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Compare two models on data that `pyncnnq.inputs.data.find_data` returned; see `evaluate`."""
    models = files_of(model, int8)
    if metric:
        load_metric(metric)  # an error now rather than in a worker, later
    tasks = ModelTasks(model, data, task, labels)
    inputs = list(zip(model.inputs, data.inputs, strict=True))
    known = {top for layer in int8.layers for top in layer.tops}  # not what a fused Sigmoid reads
    parts = [part for part in parts_of(model) if known.issuperset(part.blobs)]
    judged = model.graph().in_order(blob for part in parts for blob in part.blobs)
    job = ComparisonJob(
        inputs=inputs,
        samples=data.samples,
        models=models,
        outputs=model.outputs,
        judged=judged,
        tasks=tasks.tasks,
        metric=metric,
    )
    with progress("evaluate") as update, WorkerPool(workers, most=len(data.samples)) as pool:
        answers = run_job(job, pool, strict=strict, progress=update)
    compared: list[Compared] = answers.samples
    paths = [data.samples[number][0] for number in answers.numbers]
    chosen, truth = tasks.choose(compared, answers.numbers)
    profiled = _profile(model, int8, inputs, data.samples[answers.numbers[0]], threads)
    counts = macs(int8.layers, profiled.shapes)
    return Evaluation(
        outputs=[_figures(part, judged, compared) for part in parts],
        task=task_figures(chosen, compared, truth, paths),
        score=mean_figure(metric, [(sample.scores[0], sample.scores[1]) for sample in compared]) if metric else None,
        speed=speed_of(profiled, model, int8, threads),
        bytes=(_size(models[0]), _size(models[1])),
        memory=memory_of(models, inputs, data.samples[answers.numbers[0]], model.outputs, threads),
        macs=sum(counts.values()),
        int8_macs=sum(counts.get(layer.name, 0) for layer in int8.layers if layer.op.is_int8),
        inputs=data.facts,
        samples=[
            _sample(path, truth[place] if truth else None, sample, chosen, parts, judged)
            for place, (path, sample) in enumerate(zip(paths, compared, strict=True))
        ],
        skipped=answers.skipped,
        printed=dict(pool.printed),
        ignored_files=dict(data.ignored),
        warnings=list(data.warnings),
    )


def files_of(model: Model, int8: Model) -> tuple[ModelFiles, ModelFiles]:
    """Return the files of two models that can be compared.

    Raises:
        ModelError: they were not read from files, or have other inputs or outputs than each other.
    """
    for kind in ("inputs", "outputs"):
        names: tuple[list[str], list[str]] = getattr(model, kind), getattr(int8, kind)
        if sorted(names[0]) != sorted(names[1]):
            shown = [", ".join(blobs) or "none" for blobs in names]
            raise ModelError(
                f"{int8.param_path}: its {kind} are {shown[1]}, those of {model.param_path} {shown[0]}: not "
                "made from that model"
            )
    return model.files, int8.files


def _figures(part: Part, judged: Sequence[str], compared: Sequence[Compared]) -> OutputFigures:
    pairs = [sample.pairs[0][judged.index(blob)] for sample in compared for blob in part.blobs]
    return output_figures(part.output, pairs, None if part.name == part.output else part.name)


def _profile(
    model: Model, int8: Model, inputs: Sequence[tuple[str, Any]], sample: tuple[Path, ...], threads: int
) -> Profiled:
    job = ProfileJob(
        inputs=inputs,
        samples=[sample],
        models=(model.files, int8.files),
        blobs=[top for layer in int8.layers for top in layer.tops],
        timed=(timed_blobs(model), timed_blobs(int8)),
        outputs=model.outputs,
        threads=threads,
    )
    with WorkerPool(1) as pool:
        profiled: Profiled = run_job(job, pool).samples[0]
    return profiled


def _sample(
    path: Path, label: Any, sample: Compared, task: Task | None, parts: Sequence[Part], judged: Sequence[str]
) -> EvaluatedSample:
    ratios = [_figures(part, judged, [sample]).sqnr for part in parts if not part.is_before]
    noise = math.fsum(10 ** (-ratio / 10) if ratio > -math.inf else math.inf for ratio in ratios) / len(ratios)
    ratio = decibels(1.0, noise)
    return EvaluatedSample(path=path, label=label, sqnr=ratio, record=sample.records[0] if task else None)


def _size(files: ModelFiles) -> int:
    return sum(path.stat().st_size for path in (files.param, files.bin))
