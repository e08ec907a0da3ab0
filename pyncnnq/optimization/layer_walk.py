"""Going through a network layer by layer, in float and with what has been quantized so far, on samples that workers hold."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Layer, Model
from pyncnnq.model.text import encode
from pyncnnq.statistics.messages import Failed, Look, Moments, Quantizer, Step, Walk, Window
from pyncnnq.statistics.pool import WorkerPool


def segments(layers: Sequence[Layer], alone: Collection[str]) -> Iterator[list[Layer]]:
    """The layers in their order, cut into runs: the layers with names in `alone` are by themselves, and no Input is in any."""
    waiting: list[Layer] = []
    for layer in layers:
        if layer.name not in alone:
            waiting += [layer] if layer.type != "Input" else []
            continue
        if waiting:
            yield waiting
        yield [layer]
        waiting = []
    if waiting:
        yield waiting


class LayerWalk:
    """The blobs of some samples on their way through a network, in two branches: as they are, and as a quantized network has them.

    Blobs are known by the name of what a Split copies.  They are dropped after their last reader.
    """

    def __init__(
        self, model: Model, samples: Sequence[tuple[Path, ...]], inputs: Sequence[InputSpec], pool: WorkerPool, folder: Path
    ) -> None:
        """Let workers load the samples.

        Args:
            model: whose layers will be walked through, each once and in their order.
            samples: for each sample one file for each model input; those that cannot be read are left out.
            inputs: for each model input how a file becomes its blob.
            pool: the processes, which the walk needs until its end.
            folder: for the files of layers.
        """
        self._graph = model.graph()
        self._pool = pool
        self._folder = folder
        self._files = itertools.count()
        self._last_reader = {self._graph.split_root(bottom): place for place, layer in enumerate(model.layers) for bottom in layer.bottoms}
        self._places = {layer.name: place for place, layer in enumerate(model.layers)}
        numbered = list(enumerate(samples))
        named = list(zip(model.inputs, inputs, strict=True))
        pool.tell([Walk(named, dict(numbered[worker :: pool.size])) for worker in range(pool.size)])

    def look(self, layer: Layer, window: Window, quantizer: Quantizer, outputs: int) -> Moments:
        """The moments of what a layer sees, of so many of its outputs in each sample.

        Raises:
            PyncnnqError: its input has another shape than it takes, or no sample could be read.
        """
        request = Look(self._graph.split_root(layer.bottoms[0]), window, quantizer, outputs, self._places[layer.name])
        found: list[Moments] = [moments for moments in self._ask(request, str(layer)) if moments is not None]
        if not found:
            raise InputError("none of the samples could be read")
        for other in found[1:]:
            found[0].add(other)
        return found[0]

    def run(self, layers: Sequence[Layer], quantized: Layer | None = None, quantizer: Quantizer | None = None) -> None:
        """Run some layers.

        Args:
            layers: those that follow what was run before.
            quantized: for a single one: how it is in the quantized branch, in float, with weights that int8 numbers stand for.
            quantizer: how its input becomes int8 there.

        Raises:
            PyncnnqError: ncnn cannot run them.
        """
        produced = [top for layer in layers for top in layer.tops]
        bottoms = list(dict.fromkeys(bottom for layer in layers for bottom in layer.bottoms if bottom not in produced))
        roots = {bottom: self._graph.split_root(bottom) for bottom in bottoms}
        end = self._places[layers[-1].name]
        kept = dict.fromkeys(self._graph.split_root(top) for top in produced)
        read = [self._graph.split_root(bottom) for layer in layers for bottom in layer.bottoms]
        step = Step(
            self._write(bottoms, layers),
            self._write(bottoms, [quantized]) if quantized is not None else None,
            list(roots.items()),
            {roots[bottoms[0]]: quantizer} if quantizer is not None else {},
            [top for top in kept if top in produced and self._last_reader.get(top, -1) > end],
            [root for root in dict.fromkeys(read) if root not in produced and self._last_reader[root] <= end],
        )
        self._ask(step, str(layers[0]))

    def _ask(self, request: object, place: str) -> list[Any]:
        answers = self._pool.ask(request)
        for answer in answers:
            if isinstance(answer, Failed):
                raise PyncnnqError(f"{place}: {answer.reason}")
        return answers

    def _write(self, bottoms: Sequence[str], layers: Sequence[Layer]) -> tuple[Path, Path]:
        """The files of a network of some layers."""
        network = Model([Layer("Input", f"input {bottom}".replace(" ", "_"), [], [bottom]) for bottom in bottoms] + list(layers))
        name = str(next(self._files) % 2)  # those before the last are not needed any more
        param, bin_path = self._folder / f"{name}.param", self._folder / f"{name}.bin"
        param.write_bytes(encode(network.param_text()))
        bin_path.write_bytes(network.bin_bytes())
        return param, bin_path
