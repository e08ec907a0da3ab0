"""The samples that suffer most from int8, as people look at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks import TASKS, Task
from pyncnnq.compare.tasks.class_labels import class_names
from pyncnnq.compare.tasks.drawing import Drawing, View, as_pixels
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.errors import PyncnnqError
from pyncnnq.evaluation.evaluate import EvaluatedSample, Evaluation
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.inputs.preprocessing import Preprocessing
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model, ModelFiles
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job

MOST = 12
"""Samples that are shown."""

LONGEST = 320
"""Pixels of the longer side of what the network sees, as it is shown."""

_IMAGE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, kw_only=True)
class ShownSample:
    """One sample, and what both models make of it.

    Attributes:
        sample: what the evaluation says of it.
        drawing: what the task says; None where there is nothing to look at.
        seen: what the network sees, no larger than LONGEST; None where that is no image.
        views: pictures of the outputs, which the task made.
    """

    sample: EvaluatedSample
    drawing: Drawing | None = None
    seen: View | None = None
    views: Sequence[View] = ()


def worst_samples(
    evaluation: Evaluation,
    model: Model,
    int8: Model,
    data: CalibrationData,
    classes: Sequence[str] = (),
    *,
    workers: int | None = None,
    progress: Progress = silent,
) -> list[ShownSample]:
    """Return the samples to show, at most MOST: those in which int8 changes most of what the task looks at, or whose
    outputs have the lowest SQNR where it draws nothing.

    The inputs of these are loaded again, and run again where the task makes pictures of outputs.

    Args:
        evaluation: of both models on the data.
        model, int8, data: what was evaluated.
        classes: the names of the classes, as far as they are known.
        workers: as for `evaluate`.
        progress: shows how far the pass is.
    """
    task = TASKS[evaluation.task.name].prepared(model, data.inputs, forced=True) if evaluation.task else None
    drawings = task.shown([sample.record for sample in evaluation.samples], classes) if task else []
    if task is None or not drawings:
        return lowest_sqnr(evaluation)
    pairs = [
        pair for pair in zip(evaluation.samples, drawings, strict=True) if not pair[1].empty
    ]  # an image without detections in both models shows nothing
    pairs = sorted(pairs, key=lambda pair: (-_finite(pair[1].loss), pair[0].sqnr))[:MOST]
    seen = _look(task, [sample.path for sample, _ in pairs], model, int8, data, workers, progress)
    return [
        ShownSample(sample=sample, drawing=drawing, seen=views[0] if views else None, views=views[1:])
        for (sample, drawing), views in zip(pairs, seen, strict=True)
    ]


def lowest_sqnr(evaluation: Evaluation) -> list[ShownSample]:
    """Return the samples, at most MOST, whose outputs have the lowest SQNR, without drawings."""
    worst = sorted(evaluation.samples, key=lambda sample: sample.sqnr)[:MOST]
    return [ShownSample(sample=sample) for sample in worst]


def names_of_classes(labels: str | None, data: CalibrationData) -> list[str]:
    """Return the names of the classes, by the labels that a user gave, else by the files beside the model; empty where
    neither has names."""
    named = class_names(labels, [paths[0] for paths in data.samples]) if labels else []
    return named or list(data.metadata.classes)


@dataclass(frozen=True, kw_only=True)
class ViewsJob(Job):
    """What the network sees, and what the task shows of outputs.

    Attributes:
        models: the files of both models; none if the task shows nothing of outputs.
        outputs: of the models.
        task: what it is that makes pictures.
    """

    models: Sequence[ModelFiles]
    outputs: Sequence[str]
    task: Task

    def start(self) -> _Views:
        return _Views(self)


class _Views:
    def __init__(self, job: ViewsJob) -> None:
        from pyncnnq.runtime.network import Network, shape_of

        self._job, self._shape_of = job, shape_of
        self._networks = [Network(*files) for files in job.models]

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> list[View | None]:
        """Return what the network sees of the first input that is an image, None without one, and more pictures."""
        job = self._job
        seen = next(
            (
                _shrunk(_pixels(np.array(mat), spec))
                for (_, mat), (_, spec) in zip(inputs, job.inputs, strict=True)
                if mat.dims == 3 and mat.c in _IMAGE_CHANNELS
            ),
            None,
        )
        first = View(title="input", pixels=seen) if seen is not None else None
        if not self._networks:
            return [first]
        sample = Sample(paths=paths, shapes=[self._shape_of(mat) for _, mat in inputs])
        exact, rough = (dict(network.arrays(inputs, job.outputs)) for network in self._networks)
        with np.errstate(all="ignore"):  # an int8 model may write anything
            views = job.task.views(exact, rough, sample)
        return [first, *(View(title=view.title, pixels=_shrunk(view.pixels)) for view in views)]

    def result(self) -> None:
        return None


def _look(
    task: Task,
    paths: Sequence[Path],
    model: Model,
    int8: Model,
    data: CalibrationData,
    workers: int | None,
    progress: Progress,
) -> list[list[Any]]:
    """Return what the network sees of each file, and pictures of its outputs; nothing of one that cannot be read any
    more."""
    places = {sample[0]: place for place, sample in reversed(list(enumerate(data.samples)))}
    samples = [data.samples[places[path]] for path in paths]
    found: list[list[Any]] = [[] for _ in samples]
    if not samples:
        return found
    job = ViewsJob(
        inputs=list(zip(model.inputs, data.inputs, strict=True)),
        samples=samples,
        models=[model.files, int8.files] if type(task).views is not Task.views else [],
        outputs=model.outputs,
        task=task,
    )
    try:
        with progress("show") as update, WorkerPool(workers, most=len(samples)) as pool:
            answers = run_job(job, pool, progress=update)
    except PyncnnqError:  # such as images that are gone by now: a page without them says more than no page
        return found
    for number, views in zip(answers.numbers, answers.samples, strict=True):
        found[number] = views
    return found


def _pixels(values: NDArray[np.float32], spec: InputSpec) -> NDArray[np.uint8]:
    """Return what a network is given as pixels: before its mean and norm, or of an array from its least to its largest
    value."""
    if not isinstance(spec, Preprocessing):
        return as_pixels(values, float(values.min()), float(values.max()))
    mean, norm = (np.array(numbers).reshape(-1, 1, 1) for numbers in (spec.mean, spec.norm))
    channels = (values / norm + mean).astype(np.float32)
    if spec.pixel.startswith("BGR"):
        channels = channels[2::-1]
    return as_pixels(channels, 0.0, 255.0)


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2  # only here: it takes long to import

    height, width = pixels.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _finite(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
