"""What one run of a model in stock ncnn tells: the shapes of its blobs, and ncnn's version and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Model, ModelFiles
from pyncnnq.model.ops import Shape
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Conversation, Failed

_OPTIONS = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
    "use_packing_layout",
    "use_winograd_convolution",
    "use_sgemm_convolution",
)
"""Of ncnn's options those that change the time of layers."""


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What a run told.

    Attributes:
        shapes: of all blobs, in NumPy's order, by name.
        ncnn: the version of ncnn.
        options: ncnn's default options on this CPU.
    """

    shapes: dict[str, Shape]
    ncnn: str
    options: dict[str, bool]


def survey(model: Model, inputs: Mapping[str, Shape]) -> Surveyed:
    """Run a model once on random numbers.

    Args:
        model: a model that has files.
        inputs: the shapes of its inputs, in NumPy's order.

    Raises:
        PyncnnqError: ncnn cannot run the model on inputs of these shapes.
    """
    blobs = [top for layer in model.layers for top in layer.tops]
    with WorkerPool(1) as pool:
        pool.tell([Survey(files=model.files, inputs=inputs, blobs=blobs)])
        (answer,) = pool.ask(True)
    if isinstance(answer, Failed):
        raise PyncnnqError(answer.reason)
    assert isinstance(answer, Surveyed)
    return answer


@dataclass(frozen=True, kw_only=True)
class Survey(Conversation):
    """Run a model once; the answer to any request is a `Surveyed`.

    Attributes:
        files: of the model.
        inputs: the shapes of its inputs.
        blobs: all of them, in the order in which the network computes them.
    """

    files: ModelFiles
    inputs: Mapping[str, Shape]
    blobs: Sequence[str]

    def start(self) -> _Surveyor:
        return _Surveyor(self)


class _Surveyor:
    def __init__(self, asked: Survey) -> None:
        self._asked = asked

    def answer(self, _request: Any) -> Surveyed:
        import ncnn  # in workers only

        from pyncnnq.latency.random_inputs import random_inputs
        from pyncnnq.runtime.network import Network, shape_of

        network = Network(*self._asked.files)
        blobs = network.blobs(random_inputs(self._asked.inputs), self._asked.blobs, packed=True)
        options = ncnn.Net().opt
        return Surveyed(
            shapes={name: shape_of(mat) for name, mat in blobs},
            ncnn=ncnn.__version__,
            options={name: bool(getattr(options, name)) for name in _OPTIONS if hasattr(options, name)},
        )
