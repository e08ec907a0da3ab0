"""How long models and their layers take in stock ncnn, in a worker process.

Layers are timed where they stand: ncnn computes a blob when it is asked for it, so an inference that is asked for one
blob after the other does what it does anyway, with a look at the clock behind each layer.  Caches, packing and threads
are those of the whole model, and no cost of a small network's edges has to be taken off.

Models take turns, and of each layer the least time counts: what else the machine does can only add to it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Model, ModelFiles
from pyncnnq.model.ops import Shape
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.protocol import Conversation, Failed

WARM_UP = 2
"""Inferences of each model before the first that counts."""


@dataclass(frozen=True, kw_only=True)
class TimedModel:
    """A model to be timed.

    Attributes:
        files: its files.
        blobs: what each layer writes first, in the order of the layers.
        outputs: the blobs that an inference computes.
    """

    files: ModelFiles
    blobs: Sequence[str]
    outputs: Sequence[str]

    @classmethod
    def of(cls, model: Model) -> TimedModel:
        """Return a model that has files, with all its layers but those that write nothing."""
        return cls(files=model.files, blobs=timed_blobs(model), outputs=model.outputs)


def timed_blobs(model: Model) -> list[str]:
    """Return the blob by which each layer is timed; none for inputs, constants and layers that write nothing."""
    return [layer.tops[0] for layer in model.layers if layer.tops and layer.bottoms]


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long one model takes.

    Attributes:
        layers: the least seconds of each layer, by the blob that it writes first; empty where they were not asked for.
        whole: the seconds of each whole inference.
    """

    layers: Mapping[str, float]
    whole: Sequence[float]

    @property
    def explained(self) -> float:
        """The sum of the layers' times as a share of the fastest whole inference."""
        return sum(self.layers.values()) / self.least if self.least else 1.0

    @property
    def least(self) -> float:
        """The fastest whole inference."""
        return min(self.whole)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How often models are timed: at least `least` rounds, at most `most`, and no new one after `seconds`."""

    least: int
    most: int
    seconds: float


def time_models(
    models: Sequence[TimedModel],
    inputs: Mapping[str, Shape],
    threads: int,
    effort: Effort,
    *,
    by_layer: bool,
    update: Update | None = None,
) -> list[Seconds]:
    """Time models that take turns, in a process of their own.

    Args:
        models: the models, of the same inputs.
        inputs: the shape of each input, in NumPy's order; its numbers are random, always the same.
        threads: of one inference.
        effort: how often.
        by_layer: whether layers are timed too.
        update: called with (rounds done, rounds in all).

    Raises:
        PyncnnqError: ncnn cannot run a model on inputs of these shapes.
    """
    with WorkerPool(1) as pool:
        pool.tell([Timing(models=models, inputs=inputs, threads=threads)])
        found: list[list[tuple[list[float], float]]] = []
        start = time.perf_counter()
        while len(found) < effort.least or (len(found) < effort.most and time.perf_counter() - start < effort.seconds):
            (answer,) = pool.ask(by_layer)
            if isinstance(answer, Failed):
                raise PyncnnqError(answer.reason)
            found.append(answer)
            if update is not None:
                spent = int((time.perf_counter() - start) / max(effort.seconds, 1e-3) * effort.most)
                update(min(max(len(found), spent), effort.most), effort.most)
    turns = [[answer[place] for answer in found] for place in range(len(models))]
    return [
        Seconds(
            layers=dict(zip(model.blobs, _least([layers for layers, _ in turn]), strict=False)),
            whole=[whole for _, whole in turn],
        )
        for model, turn in zip(models, turns, strict=True)
    ]


def _least(turns: Sequence[Sequence[float]]) -> list[float]:
    """Return the least seconds of each layer, of several turns."""
    return [min(seconds) for seconds in zip(*turns, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Timing(Conversation):
    """Time models; each request is whether layers are timed too, each answer what one round of all models took: of
    each its layers' seconds, and the seconds of a whole inference.

    Attributes:
        models, inputs, threads: see `time_models`.
    """

    models: Sequence[TimedModel]
    inputs: Mapping[str, Shape]
    threads: int

    def start(self) -> _Timer:
        return _Timer(self)


class _Timer:
    """The models of a timing, in ncnn."""

    def __init__(self, timing: Timing) -> None:
        from pyncnnq.latency.random_inputs import random_inputs
        from pyncnnq.runtime.network import DefaultNetwork, clock_of  # which imports ncnn: in workers only

        self._inputs, self._clock = random_inputs(timing.inputs), clock_of(timing.threads)
        self._models = [(DefaultNetwork(*model.files, threads=timing.threads), model) for model in timing.models]
        for network, model in self._models:
            for _ in range(WARM_UP):
                network.seconds(self._inputs, model.blobs)

    def answer(self, request: bool) -> list[tuple[list[float], float]]:
        """Return what a round took."""
        answers = []
        for network, model in self._models:
            network.run(self._inputs, model.outputs)  # the caches hold another model
            layers = network.seconds(self._inputs, model.blobs) if request else []
            start = self._clock()
            network.run(self._inputs, model.outputs)
            answers.append((layers, self._clock() - start))
        return answers
