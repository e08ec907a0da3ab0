"""Times that are made up: what each layer of a model takes, by whether it, its input and its output are int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyncnnq import load_model
from pyncnnq.latency.timing import Seconds, TimedModel
from pyncnnq.model.ops import Convolution, Int8Op


@dataclass(frozen=True)
class Truth:
    """Milliseconds of a layer in float, and in int8 between floats; and what reading and writing int8 saves."""

    in_float: float
    in_int8: float = 0.0
    reads: float = 0.0
    writes: float = 0.0


class MadeUpTimes:
    """Stands in for `time_models`: it reads the files of models as ncnn would.

    Attributes:
        truth: of layers by name; all others take no time.
        wholes: the names of the layers in float of each whole model that was timed alone.
    """

    def __init__(self, truth: Mapping[str, Truth]) -> None:
        self.truth = truth
        self.wholes: list[frozenset[str]] = []

    def __call__(
        self, models: Sequence[TimedModel], _inputs: object, _threads: int, _effort: object, *, by_layer: bool, **_: Any
    ) -> list[Seconds]:
        return [self._seconds(model, by_layer) for model in models]

    def _seconds(self, timed: TimedModel, by_layer: bool) -> Seconds:
        model = load_model(*timed.files[:2])
        graph, layers, in_float = model.graph(), {}, set()
        for layer in model.layers:
            if not layer.bottoms:
                continue
            truth, op = self.truth.get(layer.name, Truth(0.0)), layer.op
            is_int8 = isinstance(op, Int8Op) and op.is_int8
            milliseconds = truth.in_int8 if is_int8 else truth.in_float
            if isinstance(op, Convolution) and is_int8:
                writer = graph.producer(graph.split_root(layer.bottoms[0]))
                reads_int8 = writer is not None and isinstance(writer.op, Convolution) and writer.op.is_chained
                milliseconds -= truth.reads * reads_int8 + truth.writes * op.is_chained
            if op.runs_int8 and not is_int8:
                in_float.add(layer.name)
            layers[layer.tops[0]] = milliseconds / 1000
        if not by_layer:
            self.wholes.append(frozenset(in_float))
        return Seconds(layers=layers if by_layer else {}, whole=[sum(layers.values())])
