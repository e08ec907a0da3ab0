"""How good int8 models are: stock ncnn runs them and the float model on samples that were held out of the
calibration."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import parts_of
from pyncnnq.compare.tasks import not_meant, tasks_for
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError
from pyncnnq.inputs import InputSpec, pick
from pyncnnq.model import Model, ModelFiles
from pyncnnq.optimization.candidate import Candidate, loses_less
from pyncnnq.optimization.draft import Draft, Finished
from pyncnnq.optimization.lone_layers import LoneLayers
from pyncnnq.optimization.recipes import Recipe
from pyncnnq.optimization.settings import Settings
from pyncnnq.runtime.progress import Update

LEAST_SAMPLES = 4
"""With fewer samples, too few would be left to calibrate on."""

MEMORY = 2**28
"""How many bytes the float weights of all models that a worker holds may have, if there are several."""


@dataclass(frozen=True)
class Judged:
    """A draft, the int8 model made of it, and how good that model is."""

    draft: Draft
    made: Finished
    candidate: Candidate


class Judge:
    """Compares int8 models with the float model that they come from.

    Attributes:
        skipped: the samples that could not be read, each with the reason.
    """

    def __init__(
        self,
        reference: ModelFiles,
        model: Model,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[InputSpec],
        settings: Settings,
        *,
        metric: str | None = None,
        task: str | None = None,
    ) -> None:
        """Take the float model and what judges it.

        Args:
            reference: the files of the float model.
            model: the float model that int8 models are made of: the same, or fused.
            samples, inputs: as in `pyncnnq.inputs.data.CalibrationData`.
            settings: how models are made and run.
            metric: the name of a function that scores outputs (see `pyncnnq.compare.metric`); without one the task of
                the model says how much the users of an int8 model lose.
            task: the name of what the outputs mean, as a user gives it (see `pyncnnq.compare.tasks`); None: the first
                task that knows.

        Raises:
            PyncnnqError: an unknown task.
        """
        self._reference = reference
        self._parts, self._graph = tuple(parts_of(model)), model.graph()
        self._outputs, self._tasks, self._task = list(model.outputs), tasks_for(model, inputs, task), task
        self._inputs = list(zip(model.inputs, inputs, strict=True))
        self._samples = list(samples)
        self._settings, self._metric = settings, metric
        self._judged: dict[Draft, Judged] = {}
        self.skipped: list[str] = []

    @property
    def count(self) -> int:
        """The number of samples that judge."""
        return len(self._samples)

    def on(self, samples: Sequence[tuple[Path, ...]]) -> Judge:
        """Return a judge by other samples, and by nothing but error ratios: a task or a user's metric may take long."""
        other = copy.copy(self)
        other._samples, other._judged, other.skipped, other._metric = list(samples), {}, [], None
        other._tasks, other._task, other._outputs = [], None, []
        return other

    def some(self, count: int) -> Judge:
        """Return a judge by a few of the samples, evenly spread."""
        other = copy.copy(self)
        other._samples, other._judged, other.skipped = pick(self._samples, count), {}, []
        return other

    def by_ratios(self, count: int | None = None) -> Judge:
        """Return a judge by all samples or a few; see `on`."""
        return self.on(self._samples if count is None else pick(self._samples, count))

    def alone(self, draft: Draft) -> LoneLayers:
        """Return what measures layers of a draft that alone are int8, on the samples of this judge."""
        return LoneLayers(draft, self._samples, self._inputs, self._parts, self._settings.pool)

    def judge(self, drafts: Sequence[Draft]) -> list[Judged]:
        """Make and run the int8 models, each draft's once; the best first, of equals the first of those given.

        Raises:
            InputError, PyncnnqError: see `run`.
        """
        new = [draft for draft in dict.fromkeys(drafts) if draft not in self._judged]
        if new:
            with self._settings.progress("judge") as update:
                self._judged.update(zip(new, self.run(new, update), strict=True))
        return best_first(self._judged[draft] for draft in drafts)

    def of(self, draft: Draft) -> Judged:
        """Return what is made of a draft, and how good that is; the model is run once.

        Raises:
            InputError, PyncnnqError: see `run`.
        """
        return self.judge([draft])[0]

    def run(self, drafts: Sequence[Draft], update: Update | None = None) -> list[Judged]:
        """Make and run the int8 models, all at a time in each worker, in the order in which they are given.

        Args:
            drafts: what to make the models of.
            update: called with (samples done, samples in all).

        Raises:
            InputError: no sample could be read.
            PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
        """
        with temporary_folder() as folder:
            finished = [draft.finish(self._settings.options) for draft in drafts]
            files = [made.int8.stored(Path(folder), str(index)).files for index, made in enumerate(finished)]
            likeness = compare_outputs(
                [self._reference, *files],
                self._samples,
                self._inputs,
                self._parts,
                self._graph,
                self._settings.pool,
                outputs=self._outputs,
                tasks=self._tasks,
                metric=self._metric,
                strict=self._settings.strict,
                progress=update,
            )
        if self._task is not None and self._metric is None and likeness.task is None:
            raise not_meant(self._task, self._outputs)
        self.skipped += likeness.skipped  # and tried no more
        self._samples = [self._samples[number] for number in likeness.numbers]
        names = [part.name for part in self._parts]
        return [
            Judged(
                draft,
                made,
                Candidate(
                    draft.method,
                    draft.techniques,
                    dict(zip(names, likeness.ratios[place], strict=True)),
                    likeness.drops[place],
                    self._parts,
                    sample_drops=tuple(likeness.sample_drops[place]),
                    task=likeness.task,
                    samples=len(self._samples),
                ),
            )
            for place, (draft, made) in enumerate(zip(drafts, finished, strict=True))
        ]

    def run_some(self, drafts: Sequence[Draft]) -> Iterator[Judged]:
        """Make and run many int8 models, as many at a time as there is memory for, in the order of the drafts.

        Raises:
            InputError, PyncnnqError: see `run`.
        """
        weights = (weight for layer in drafts[0].model.layers for weight in layer.weights.values()) if drafts else ()
        size = 4 * sum(weight.data.size for weight in weights)  # bytes of float32
        count = max(1, MEMORY // max(size, 1))
        for first in range(0, len(drafts), count):
            yield from self.run(drafts[first : first + count])


def best_first(judged: Iterable[Judged]) -> list[Judged]:
    """Return models in the order of their scores; of equals those first that are given first."""
    return sorted(judged, key=lambda model: -model.candidate.score)


def choose(judged: Sequence[Judged]) -> Judged:
    """Return the best of models that are sorted by error ratios: these tell models apart on few samples, so it is the
    first of them, unless users surely lose less with another."""
    best, *others = judged
    for model in others:
        if loses_less(model.candidate, best.candidate):
            best = model
    return best


def split_samples(
    samples: Sequence[tuple[Path, ...]], recipe: Recipe
) -> tuple[list[tuple[Path, ...]], list[tuple[Path, ...]]]:
    """Return samples to calibrate on, and those held out to judge: as many as a recipe says, but 2 at least, spread
    evenly.

    Raises:
        InputError: there are fewer than LEAST_SAMPLES.
    """
    if len(samples) < LEAST_SAMPLES:
        raise InputError(
            f"{len(samples)} samples are too few: some are held out to judge by, so give at least {LEAST_SAMPLES}"
        )
    count = min(max(2, len(samples) // recipe.held_out), recipe.most_held_out)
    places = {(2 * index + 1) * len(samples) // (2 * count) for index in range(count)}
    return (
        [sample for place, sample in enumerate(samples) if place not in places],
        [sample for place, sample in enumerate(samples) if place in places],
    )
