"""How good int8 models are: stock ncnn runs them and the float model on samples that were held out of the
calibration."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.errors import InputError
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Model
from pyncnnq.optimization.draft import Draft, Finished
from pyncnnq.runtime.pool import WorkerPool

LEAST_SAMPLES = 4
MOST_HELD_OUT = 32
MEMORY = 2**28
"""How many bytes the float weights of all models that a worker holds may have, if there are several."""

LARGEST_RATIO = 100.0
"""In dB: better than this is as good as equal."""

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""From the name of a pass to the context of what is called with (samples done, samples in all)."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 model.

    Attributes:
        method: how thresholds were chosen.
        techniques: what else was done, in order.
        sqnr: signal-to-quantization-noise ratio over the held-out samples, in dB, of each model output, and of what a
            Softmax or a Sigmoid makes one from.
        drop: by how much their mean score is below that of the float model (see `Judge`).
        saturated: the outputs that a Softmax or a Sigmoid makes.
    """

    method: str
    techniques: tuple[str, ...]
    sqnr: dict[str, float]
    drop: float
    saturated: frozenset[str] = frozenset()

    @property
    def telling(self) -> dict[str, float]:
        """The ratios that models are chosen by: not of saturated outputs, whose error is that of the few samples
        that are undecided."""
        return {blob: ratio for blob, ratio in self.sqnr.items() if blob not in self.saturated}

    @property
    def score(self) -> float:
        """The mean of the telling ratios, in dB."""
        return math.fsum(min(ratio, LARGEST_RATIO) for ratio in self.telling.values()) / len(self.telling)


@dataclass(frozen=True)
class Judged:
    """A draft, the int8 model made of it, and how good that is."""

    draft: Draft
    made: Finished
    candidate: Candidate


class Judge:
    """Compares int8 models with the float model that they come from.

    Attributes:
        skipped: the samples that could not be read, each with the reason.
        count: how many samples judge.
    """

    def __init__(
        self,
        reference: tuple[Path, Path],
        model: Model,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[InputSpec],
        pool: WorkerPool,
        choices: Mapping[str, Any],
        *,
        metric: str | None = None,
        strict: bool,
        progress: Progress,
    ) -> None:
        """Take the float model and what judges it.

        Args:
            reference: the files of the float model.
            model: the float model that int8 models are made of: the same, or fused.
            samples, inputs: as in `pyncnnq.inputs.data.CalibrationData`.
            pool: the processes to use.
            choices: what `pyncnnq.quantize` takes beside the model and its table.
            metric: the name of a function that scores outputs (see `pyncnnq.compare.metric`); without one the score is
                the percentage of samples in which the largest value of each output that is a vector stands where the
                float model has it.
            strict: an unreadable sample is an error instead of being skipped.
            progress: called with the name of each pass.
        """
        self._reference = reference
        before = [model.graph().before_saturation(output) for output in model.outputs]
        self._saturated = frozenset(model.outputs).difference(before)
        self._outputs = list(dict.fromkeys([*before, *model.outputs]))  # in the order in which they are computed
        self._inputs = list(zip(model.inputs, inputs, strict=True))
        self._samples = list(samples)
        self._pool, self._choices, self._metric, self._strict, self._progress = pool, choices, metric, strict, progress
        self.skipped: list[str] = []

    @property
    def count(self) -> int:
        """How many samples judge."""
        return len(self._samples) - len(self.skipped)

    def on(self, samples: Sequence[tuple[Path, ...]]) -> Judge:
        """One who looks at other samples, and at nothing but their outputs: a user's metric may take long."""
        other = copy.copy(self)
        other._samples, other.skipped, other._metric = list(samples), [], None
        return other

    def judge(self, drafts: Sequence[Draft]) -> list[Judged]:
        """Make and run the int8 models; the best first, of equals the first of those given.

        Raises:
            InputError, PyncnnqError: see `run`.
        """
        with self._progress("judge") as update:
            return sorted(self.run(drafts, update), key=lambda one: -one.candidate.score)

    def run(self, drafts: Sequence[Draft], update: Callable[[int, int], None] | None = None) -> list[Judged]:
        """Make and run the int8 models, all at a time in each worker; they stay in the order in which they are given.

        Args:
            update: called with (samples done, samples in all).

        Raises:
            InputError: no sample could be read.
            PyncnnqError: ncnn cannot run a model on these samples, or the metric fails.
        """
        with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
            made = [draft.finish(self._choices) for draft in drafts]
            files = [(Path(folder) / f"{index}.param", Path(folder) / f"{index}.bin") for index in range(len(made))]
            for one, (param, bin_path) in zip(made, files, strict=True):
                one.int8.save(param, bin_path)
            models = [self._reference, *files]
            found = compare_outputs(
                models,
                self._samples,
                self._inputs,
                self._outputs,
                self._pool,
                metric=self._metric,
                strict=self._strict,
                progress=update,
            )
        self.skipped = found.skipped
        return [
            Judged(
                draft,
                one,
                Candidate(
                    draft.method, draft.techniques, dict(zip(self._outputs, ratios, strict=True)), drop, self._saturated
                ),
            )
            for draft, one, ratios, drop in zip(drafts, made, found.ratios, found.drops, strict=True)
        ]

    def run_some(self, drafts: Sequence[Draft]) -> Iterator[Judged]:
        """As `run` for many, as many at a time as there is memory for.

        Raises:
            InputError, PyncnnqError: see `run`.
        """
        size = (
            4 * sum(weight.data.size for layer in drafts[0].model.layers for weight in layer.weights.values())
            if drafts
            else 0
        )
        count = max(1, MEMORY // max(size, 1))
        for first in range(0, len(drafts), count):
            yield from self.run(drafts[first : first + count])


def noise(ratio: float) -> float:
    """The power of the noise, of that of the signal, from a ratio in dB."""
    return float(10 ** (-min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO) / 10))


def split_samples(samples: Sequence[tuple[Path, ...]]) -> tuple[list[tuple[Path, ...]], list[tuple[Path, ...]]]:
    """Samples to calibrate on, and those held out to judge: one in eight, at least 2 and at most 32, spread evenly.

    Raises:
        InputError: there are fewer than 4.
    """
    if len(samples) < LEAST_SAMPLES:
        raise InputError(
            f"{len(samples)} samples are too few: some are held out to judge by, so give at least {LEAST_SAMPLES}"
        )
    count = min(max(2, len(samples) // 8), MOST_HELD_OUT)
    places = {(2 * index + 1) * len(samples) // (2 * count) for index in range(count)}
    return (
        [sample for place, sample in enumerate(samples) if place not in places],
        [sample for place, sample in enumerate(samples) if place in places],
    )
