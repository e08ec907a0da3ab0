"""Models beside a reference, sample by sample in stock ncnn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.compare.metric import load_metric
from pyncnnq.compare.outputs import OutputPair, compare_output
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.model import ModelFiles
from pyncnnq.runtime.protocol import Job


@dataclass(frozen=True, kw_only=True)
class ComparisonJob(Job):
    """Compare the outputs of models with those of the first.

    Attributes:
        models: the files of each; all take the same inputs.
        outputs: the blobs for the tasks and the metric.
        judged: the blobs to compare, in the order in which the networks compute them; if there are none: the outputs.
        tasks: the first that knows what to do with the outputs of a sample records it.
        metric: the name of a function that gives outputs a score (see `pyncnnq.compare.metric`).
    """

    models: Sequence[ModelFiles]
    outputs: Sequence[str]
    judged: Sequence[str] = ()
    tasks: Sequence[Task] = ()
    metric: str | None = None

    def start(self) -> _Comparison:
        return _Comparison(self)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The outputs of one sample.

    Attributes:
        pairs: for each model but the reference, each judged blob beside that of the reference.
        task: the name of the task that recorded the sample; None where none of the job's tasks did.
        records: for each model but the reference, what the task recorded; empty without a task.
        scores: of the reference and each other model, by the metric; empty without a metric.
    """

    pairs: tuple[tuple[OutputPair, ...], ...]
    task: str | None
    records: tuple[Any, ...]
    scores: tuple[float, ...]


def task_of(tasks: Sequence[Task], compared: Sequence[Compared]) -> Task | None:
    """Return the task that recorded all samples; None if none did."""
    names = {sample.task for sample in compared}
    return next((task for task in tasks if names == {task.name}), None)


class _Comparison:
    """The outputs of several models, sample by sample."""

    def __init__(self, job: ComparisonJob) -> None:
        from pyncnnq.runtime.network import Network, shape_of

        self._shape_of = shape_of
        self._networks = [Network(*files) for files in job.models]
        self._outputs, self._tasks = list(job.outputs), job.tasks
        self._judged = list(job.judged or job.outputs)
        self._metric = load_metric(job.metric) if job.metric is not None else None

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> Compared:
        wanted = list(dict.fromkeys([*self._judged, *self._outputs]))
        blobs = [dict(network.arrays(inputs, wanted)) for network in self._networks]
        exact, *others = [{name: found[name] for name in self._outputs} for found in blobs]
        sample = Sample(paths=paths, shapes=[self._shape_of(mat) for _, mat in inputs])
        task, records = self._record(exact, others, sample)
        return Compared(
            pairs=tuple(
                tuple(compare_output(blobs[0][name], rough[name]) for name in self._judged) for rough in blobs[1:]
            ),
            task=task,
            records=records,
            scores=tuple(self._metric(outputs, paths) for outputs in (exact, *others)) if self._metric else (),
        )

    def _record(self, exact: Outputs, others: Sequence[Outputs], sample: Sample) -> tuple[str | None, tuple[Any, ...]]:
        """Return the name of the first task that records the sample, and its records."""
        for task in self._tasks:
            with np.errstate(all="ignore"):  # an int8 model may write anything
                records = tuple(task.record(exact, rough, sample) for rough in others)
            if all(record is not None for record in records):
                return task.name, records
        return None, ()

    def result(self) -> None:
        return None
