"""Which task a model is of, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq.compare.comparison import Compared, ComparisonJob, task_of
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks import TASKS, Task, not_meant, tasks_for
from pyncnnq.errors import InputError
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job


@dataclass(frozen=True, kw_only=True)
class TaskFigures:
    """What the users of a model look at.

    Attributes:
        name: of the task.
        figures: over all samples.
    """

    name: str
    figures: list[Figure]


class ModelTasks:
    """The tasks that a model may be of, and what the labels say of the samples.

    Attributes:
        tasks: in the order in which they are tried.
    """

    def __init__(self, model: Model, data: CalibrationData, name: str | None = None, labels: str | None = None) -> None:
        """Take the task of that name, or all that fit the model; with labels, those that can read them.

        Raises:
            PyncnnqError: there is no task of that name, or none can read the labels.
        """
        self._name, self._labels, self._outputs = name, labels, model.outputs
        self.tasks = tasks_for(model, data.inputs, name)
        self._truth: dict[str, list[Any]] = {}
        if labels is None:
            return
        data.check_labelled()
        errors = []
        for task in [task for task in self.tasks if task.takes_labels(labels)] or self.tasks:
            try:
                self._truth[task.name] = task.read_labels(labels, [paths[0] for paths in data.samples])
            except InputError as error:
                errors.append(error)
        if not self._truth and errors:
            raise errors[0]
        self.tasks = [task for task in self.tasks if task.name in self._truth]

    def choose(self, compared: Sequence[Compared], numbers: Sequence[int]) -> tuple[Task | None, Sequence[Any] | None]:
        """Return the task that recorded all samples, and what the labels say of these.

        Raises:
            InputError: there is none, although a task or labels were given.
        """
        chosen = task_of(self.tasks, compared)
        if chosen is None and self._name is not None:
            raise not_meant(self._name, self._outputs)
        if chosen is None and self._labels is not None:
            raise InputError(
                f"no task ({', '.join(TASKS)}) knows what the outputs ({', '.join(self._outputs)}) mean: for "
                "classification, one must be a vector of scores; give `metric=` instead",
                option="labels",
            )
        if chosen is None or self._labels is None:
            return chosen, None
        return chosen, [self._truth[chosen.name][number] for number in numbers]


def task_figures(
    task: Task | None, compared: Sequence[Compared], truth: Sequence[Any] | None, paths: Sequence[Path]
) -> TaskFigures | None:
    """Return the figures of a task over samples that it recorded; None without a task."""
    if task is None:
        return None
    return TaskFigures(name=task.name, figures=task.figures([sample.records[0] for sample in compared], truth, paths))


def compare_tasks(
    model: Model, int8: Model, data: CalibrationData, pool: WorkerPool, update: Update | None = None
) -> TaskFigures | None:
    """Return the figures of the first task that knows what the outputs of both models mean; None if none does.

    Args:
        model, int8: both as read from their files.
        data: samples that can be read.
        pool: the processes to use.
        update: called with (samples done, samples in all).

    Raises:
        PyncnnqError: ncnn cannot run a model on these samples.
    """
    tasks = ModelTasks(model, data)
    job = ComparisonJob(
        inputs=list(zip(model.inputs, data.inputs, strict=True)),
        samples=data.samples,
        models=(model.files, int8.files),
        outputs=model.outputs,
        tasks=tasks.tasks,
    )
    answers = run_job(job, pool, progress=update)
    chosen, truth = tasks.choose(answers.samples, answers.numbers)
    return task_figures(chosen, answers.samples, truth, [data.samples[number][0] for number in answers.numbers])
