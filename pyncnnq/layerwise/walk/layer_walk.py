"""The main process's side of a walk: through a network layer by layer, in float and with what has been quantized so
far, on samples that workers hold."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputSpec
from pyncnnq.layerwise.walk.contrast import Contrast, Differences
from pyncnnq.layerwise.walk.conversation import Request, Walk, joined
from pyncnnq.layerwise.walk.gates import GateErrors, LookAtGates
from pyncnnq.layerwise.walk.look import Look, Moments, Window
from pyncnnq.layerwise.walk.run import Finish, Forget, Run
from pyncnnq.model import Layer, Model, ModelFiles
from pyncnnq.model.ops import Activation
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.protocol import Failed


def segments(layers: Sequence[Layer], alone: Collection[str]) -> Iterator[list[Layer]]:
    """Yield the layers in their order, cut into runs: those with names in `alone` are by themselves, and no Input is in
    any."""
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
    """Leads the blobs of some samples through a network, in two branches: as they are, and as a quantized network has
    them.

    Blobs are known by the name of what a Split copies.
    """

    def __init__(
        self,
        model: Model,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[InputSpec],
        pool: Engine,
        folder: Path,
    ) -> None:
        """Let workers load the samples.

        Args:
            model: whose layers will be walked through, each once and in their order.
            samples: for each sample one file for each model input; those that cannot be read are left out.
            inputs: for each model input how a file becomes its blob.
            pool: the processes, which do nothing else until its end.
            folder: for the files of layers.
        """
        self._graph, self._custom_layers = model.graph(), model.custom_layers
        self._pool = pool.here()
        self._folder = folder
        self._files = itertools.count()
        self._held = set(model.inputs)
        self._last_reader = {
            self._graph.split_root(bottom): place
            for place, layer in enumerate(model.layers)
            for bottom in layer.bottoms
        }
        self._places = {layer.name: place for place, layer in enumerate(model.layers)}
        numbered = list(enumerate(samples))
        named = list(zip(model.inputs, inputs, strict=True))
        self._pool.tell([Walk(named, dict(numbered[worker :: self._pool.size])) for worker in range(self._pool.size)])

    def look(
        self,
        layer: Layer,
        window: Window,
        quantizer: Quantizer | None,
        outputs: int,
        *,
        blob: str | None = None,
        crosses: bool = False,
        part: bool | None = None,
    ) -> Moments | None:
        """Return the moments of what a layer sees in the quantized branch; None if no sample is of that part.

        Args:
            layer: the next layer.
            blob: what it sees; default: its first input.
            window, quantizer, outputs, crosses, part: see `Look`.

        Raises:
            PyncnnqError: its input has another shape than it takes, or no sample could be read.
        """
        request = Look(
            blob=self._root(layer) if blob is None else self._graph.split_root(blob),
            window=window,
            quantizer=quantizer,
            outputs=outputs,
            seed=self._places[layer.name],
            crosses=crosses,
            part=part,
        )
        return joined(self._ask(request, layer))

    def run(self, layers: Sequence[Layer]) -> None:
        """Run the layers that follow, in both branches.

        Raises:
            PyncnnqError: ncnn cannot run them.
        """
        self._run(layers, self._write(layers), None, {})

    def run_quantized(
        self, layer: Layer, quantized: Layer, quantizer: Quantizer | None, *, again: bool = False
    ) -> None:
        """Run a layer that is another one in the quantized branch.

        Args:
            layer: as it is in float.
            quantized: as it is in the quantized branch: with weights that int8 numbers stand for, or in int8.
            quantizer: how its input becomes int8 there; None if the layer does that itself.
            again: the float branch has been through.

        Raises:
            PyncnnqError: ncnn cannot run it.
        """
        files = None if again else self._write([layer])
        quantizers = {} if quantizer is None else {self._root(layer): quantizer}
        self._run([layer], files, self._write([quantized]), quantizers)

    def contrast(self, layer: Layer, low: float, high: float) -> Differences:
        """Return how far the branches differ in what a layer writes, where that is between two bounds in float.

        Raises:
            InputError: no sample could be read.
        """
        differences: Differences | None = joined(self._ask(Contrast(layer.tops[0], low, high), layer))
        if differences is None:
            raise InputError("none of the samples could be read")
        return differences

    def finish(self, layer: Layer, change: NDArray[np.float64], activation: Activation) -> None:
        """Add to what a layer has written in the quantized branch, and apply an activation in both.

        Args:
            layer: the last that ran, without its activation.
            change: what to add, of each channel.
            activation: of a kind in `pyncnnq.layerwise.walk.run.PIECEWISE`.
        """
        self._ask(Finish(blob=layer.tops[0], change=change, activation=activation), layer)

    def look_at_gates(self, layer: Layer, rounded: Layer, outputs: int) -> GateErrors:
        """Return what int8 does to the gates of a recurrent layer that both branches have run.

        Args:
            layer: as it is in float.
            rounded: with weights that int8 numbers stand for.
            outputs: how many elements of each sample to look at.

        Raises:
            InputError: no sample could be read.
        """
        request = LookAtGates(
            elements=self._root(layer),
            states=layer.tops[0],
            exact=layer,
            rough=rounded,
            outputs=outputs,
            seed=self._places[layer.name],
        )
        errors: GateErrors | None = joined(self._ask(request, layer))
        if errors is None:
            raise InputError("none of the samples could be read")
        return errors

    def leave(self, layers: Sequence[Layer]) -> None:
        """Drop the blobs around these layers that no layer after them reads."""
        end = self._places[layers[-1].name]
        around = {self._graph.split_root(blob) for layer in layers for blob in (*layer.bottoms, *layer.tops)}
        gone = around.intersection(self._held) - {root for root in around if self._last_reader.get(root, -1) > end}
        self._ask(Forget(sorted(gone)), layers[0])
        self._held -= gone

    def forget(self, blob: str) -> None:
        """Drop a blob that is none of the model's."""
        self._pool.ask(Forget([blob]))
        self._held.discard(blob)

    def end(self) -> None:
        """Let the workers drop everything and be free for other jobs."""
        self._pool.tell([None] * self._pool.size)

    def _root(self, layer: Layer) -> str:
        return self._graph.split_root(layer.bottoms[0])

    def _run(
        self,
        layers: Sequence[Layer],
        files: ModelFiles | None,
        quantized: ModelFiles | None,
        quantizers: Mapping[str, Quantizer],
    ) -> None:
        produced = [top for layer in layers for top in layer.tops]
        end = self._places[layers[-1].name]
        read_later = (
            top for top in dict.fromkeys(map(self._graph.split_root, produced)) if self._last_reader.get(top, -1) > end
        )
        tops = [top for top in read_later if top in produced] if quantized is None else produced
        bottoms = [(bottom, self._graph.split_root(bottom)) for bottom in _bottoms(layers)]
        self._ask(Run(exact=files, rough=quantized, bottoms=bottoms, quantizers=quantizers, tops=tops), layers[0])
        self._held.update(tops)

    def _ask(self, request: Request, layer: Layer) -> list[Any]:
        """Return the answers of the workers that had any."""
        answers = self._pool.ask(request)
        for answer in answers:
            if isinstance(answer, Failed):
                raise PyncnnqError(f"{layer}: {answer.reason}")
        return [answer for answer in answers if answer is not None]

    def _write(self, layers: Sequence[Layer]) -> ModelFiles:
        """Return the files of a network of some layers."""
        inputs = [Layer("Input", f"input_{bottom}", [], [bottom]) for bottom in _bottoms(layers)]
        network = Model([*inputs, *layers], custom_layers=self._custom_layers)
        name = str(next(self._files) % 2)  # those before the last are not needed any more
        return network.stored(self._folder, name).files


def _bottoms(layers: Sequence[Layer]) -> list[str]:
    """Return the blobs that layers read and none of them writes."""
    produced = {top for layer in layers for top in layer.tops}
    return list(dict.fromkeys(bottom for layer in layers for bottom in layer.bottoms if bottom not in produced))
