"""The shapes of blobs, as stock ncnn computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model, ModelFiles
from pyncnnq.model.ops import Shape
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job


def blob_shapes(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    blobs: Sequence[str],
    pool: Engine,
) -> list[dict[str, Shape]]:
    """Return for each sample the shapes of blobs when stock ncnn runs the model, in NumPy's order.

    Args:
        model, samples, inputs, pool: see `observe_samples`.
        blobs: their names, in the order of the layers that write them.

    Raises:
        ModelError, InputError, PyncnnqError: see `observe_samples`.
    """
    named = list(zip(model.inputs, inputs, strict=True))
    answers = run_job(ShapesJob(inputs=named, samples=samples, model=model.files, blobs=blobs), pool)
    return [dict(zip(blobs, shapes, strict=True)) for shapes in answers.samples]


@dataclass(frozen=True, kw_only=True)
class ShapesJob(Job):
    """Tell the shapes of blobs of a model.

    Attributes:
        model: its files.
        blobs: their names, in the order in which the network computes them.
    """

    model: ModelFiles
    blobs: Sequence[str]

    def start(self) -> _Shapes:
        return _Shapes(self)


class _Shapes:
    """The shapes of blobs, sample by sample, in the order of the job."""

    def __init__(self, job: ShapesJob) -> None:
        from pyncnnq.runtime.network import Network, shape_of

        self._network, self._shape_of = Network(*job.model), shape_of
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> tuple[Shape, ...]:
        return tuple(self._shape_of(mat) for _, mat in self._network.blobs(inputs, self._blobs, packed=True))

    def result(self) -> None:
        return None
