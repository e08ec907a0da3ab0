"""The model under every candidate on one image after the other, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs.preprocessing import Pixel, Values
from pyncnnq.model import ModelFiles
from pyncnnq.runtime.protocol import FailureError, Job
from pyncnnq.suggestion.outputs import Kind, keep, kind_of
from pyncnnq.suggestion.views import mirrored, narrowed, scrambled, shifted

Array = NDArray[np.float32]

VIEWS = ("plain", "again", "null")
"""What is shown of an image; see `Look`."""


@dataclass(frozen=True)
class Look:
    """What the network answered to the views of one image under one candidate; see `outputs.keep`.

    Attributes:
        kinds: of the outputs.
        shapes: of the outputs.
        plain: the answer to the image, for each output.
        again: the answer to the same image in another way (see `_Probe._again`).
        null: the answer to its patches in disorder.  A view that was not shown has no answers.
        pixels: for an output that is an image, the input as the network got it, kept alike.
        moments: of the blob that the first BatchNorm reads, the mean and the mean square of each channel.
    """

    kinds: tuple[Kind, ...]
    shapes: tuple[tuple[int, ...], ...]
    plain: tuple[Array, ...]
    again: tuple[Array, ...]
    null: tuple[Array, ...]
    pixels: Array
    moments: Array | None


@dataclass(frozen=True, kw_only=True)
class ProbeJob(Job):
    """Look at images, which are loaded as plain pixels, under candidates.

    Attributes:
        model: its files.
        outputs: the names of its outputs, in the order in which the network computes them; none where `observed` tells.
        views: what is shown of each image; None for what the kinds of the outputs need.
        ways: for each candidate pixel, mean and norm.
        place: of the input in question among the model's.
        loaded: the order in which its channels are loaded.
        observed: the blob that the first BatchNorm reads, if there is one.
    """

    model: ModelFiles
    outputs: Sequence[str]
    views: Sequence[str] | None
    ways: Sequence[tuple[Pixel, Values, Values]]
    place: int
    loaded: Pixel
    observed: str | None

    def start(self) -> _Probe:
        return _Probe(self)


class _Probe:
    def __init__(self, job: ProbeJob) -> None:
        from pyncnnq.runtime.network import Network

        self._job = job
        self._network = Network(*job.model)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> list[Look]:
        from pyncnnq.runtime.network import array_of

        pixels = np.array(array_of(inputs[self._job.place][1]))
        try:
            return [self._look(inputs, pixels, *way) for way in self._job.ways]
        except FailureError:  # with an image of this size; others are tried
            return []

    def result(self) -> None:
        return None

    def _look(self, inputs: Sequence[tuple[str, Any]], pixels: Array, pixel: Pixel, mean: Values, norm: Values) -> Look:
        def run(view: Array) -> list[Array]:
            return self._run(inputs, _values(view, pixel != self._job.loaded, mean, norm))

        views = self._job.views
        first = run(scrambled(pixels) if views and "plain" not in views else pixels)
        moments = _moments(first.pop(0)) if self._job.observed else None
        kinds = tuple(kind_of(output, pixels) for output in first)
        views = _needed(kinds) if views is None else views
        answers: dict[str, tuple[Array, ...]] = dict.fromkeys(VIEWS, ())
        answers[views[0]] = _kept(first, kinds)
        if "again" in views:
            answers["again"] = self._again(run, pixels, kinds)
        if "null" in views[1:]:
            answers["null"] = _kept(run(scrambled(pixels)), kinds)
        values = _values(pixels, pixel != self._job.loaded, mean, norm)
        return Look(
            kinds,
            shapes=tuple(output.shape for output in first),
            pixels=keep(values, Kind.IMAGE) if Kind.IMAGE in kinds else np.empty(0, np.float32),
            moments=moments,
            **answers,
        )

    def _again(self, run: Callable[[Array], list[Array]], pixels: Array, kinds: tuple[Kind, ...]) -> tuple[Array, ...]:
        """Return the answer to the image moved a little, where there is text; to its mirror image, cut smaller, where
        there are classes alone; or else to its mirror image, maps turned back."""
        if Kind.STEPS in kinds:
            return _kept(run(shifted(pixels)), kinds)
        if set(kinds) == {Kind.CLASSES}:
            return _kept(run(mirrored(narrowed(pixels))), kinds)
        outputs = run(mirrored(pixels))
        turned = [
            output[..., ::-1] if kind is Kind.MAP else output for output, kind in zip(outputs, kinds, strict=True)
        ]
        return _kept(turned, kinds)

    def _run(self, inputs: Sequence[tuple[str, Any]], values: Array) -> list[Array]:
        from pyncnnq.inputs.loading import owning_mat

        given = list(inputs)
        given[self._job.place] = (given[self._job.place][0], owning_mat(values))
        wanted = [*([self._job.observed] if self._job.observed else []), *self._job.outputs]
        return [array for _, array in self._network.arrays(given, wanted)]


def _needed(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Return the views that evidence of outputs needs; see `pyncnnq.suggestion.evidence`."""
    if not kinds or Kind.IMAGE in kinds:
        return VIEWS[:1]
    return VIEWS[:2] if set(kinds) == {Kind.CLASSES} else VIEWS


def _kept(outputs: Sequence[Array], kinds: Sequence[Kind]) -> tuple[Array, ...]:
    return tuple(keep(output, kind) for output, kind in zip(outputs, kinds, strict=True))


def _values(pixels: Array, swapped: bool, mean: Values, norm: Values) -> Array:
    """Return pixels as the network gets them."""
    if swapped:
        pixels = np.concatenate([pixels[2::-1], pixels[3:]])
    offsets, factors = (np.array(numbers, np.float32).reshape(-1, 1, 1) for numbers in (mean, norm))
    return (pixels - offsets) * factors


def _moments(blob: Array) -> Array:
    values = blob.reshape(blob.shape[0], -1).astype(np.float64)
    return np.stack([values.mean(axis=1), np.square(values).mean(axis=1)]).astype(np.float32)
