"""Going through a network layer by layer, in float and with what has been quantized so far, on samples that workers
hold."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputSpec
from pyncnnq.layerwise.protocol import Contrast, Differences, Forget, Look, Moments, Step, Walk, Window
from pyncnnq.model import Layer, Model
from pyncnnq.model.text import encode
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Failed


def segments(layers: Sequence[Layer], alone: Collection[str]) -> Iterator[list[Layer]]:
    """The layers in their order, cut into runs: the layers with names in `alone` are by themselves, and no Input is in
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
    """The blobs of some samples on their way through a network, in two branches: as they are, and as a quantized
    network has them.

    Blobs are known by the name of what a Split copies.
    """

    def __init__(
        self,
        model: Model,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[InputSpec],
        pool: WorkerPool,
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
        self._graph = model.graph()
        self._pool = pool
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
        pool.tell([Walk(named, dict(numbered[worker :: pool.size])) for worker in range(pool.size)])

    def look(
        self,
        layer: Layer,
        window: Window,
        quantizer: Quantizer,
        outputs: int,
        *,
        crosses: bool = False,
        part: bool | None = None,
    ) -> Moments | None:
        """The moments of what a layer sees in the quantized branch, of so many of its outputs in each sample; see
        `Look`.

        None if no sample is of that part.

        Raises:
            PyncnnqError: its input has another shape than it takes, or no sample could be read.
        """
        found: list[Moments] = self._ask(
            Look(self._root(layer), window, quantizer, outputs, self._places[layer.name], crosses, part), layer
        )
        for other in found[1:]:
            found[0].add(other)
        return found[0] if found else None

    def run(self, layers: Sequence[Layer]) -> None:
        """Run the layers that follow, in both branches.

        Raises:
            PyncnnqError: ncnn cannot run them.
        """
        self._run(layers, self._write(layers), None, {})

    def run_quantized(self, layer: Layer, quantized: Layer, quantizer: Quantizer, *, again: bool = False) -> None:
        """Run a layer that is another one in the quantized branch.

        Args:
            layer: as it is in float.
            quantized: as it is in the quantized branch: with weights that int8 numbers stand for.
            quantizer: how its input becomes int8 there.
            again: the float branch has been through.

        Raises:
            PyncnnqError: ncnn cannot run it.
        """
        files = None if again else self._write([layer])
        self._run([layer], files, self._write([quantized]), {self._root(layer): quantizer})

    def contrast(self, layer: Layer, low: float, high: float) -> Differences:
        """How far the branches differ in what a layer writes, where that is between two bounds in float."""
        found: list[Differences] = self._ask(Contrast(layer.tops[0], low, high), layer)
        for other in found[1:]:
            found[0].add(other)
        return found[0]

    def leave(self, layers: Sequence[Layer]) -> None:
        """Drop the blobs around these layers that no layer after them reads."""
        end = self._places[layers[-1].name]
        around = {self._graph.split_root(blob) for layer in layers for blob in (*layer.bottoms, *layer.tops)}
        gone = around.intersection(self._held) - {root for root in around if self._last_reader.get(root, -1) > end}
        self._ask(Forget(sorted(gone)), layers[0])
        self._held -= gone

    def end(self) -> None:
        """Let the workers drop everything and be free for other jobs."""
        self._pool.tell([None] * self._pool.size)

    def _root(self, layer: Layer) -> str:
        return self._graph.split_root(layer.bottoms[0])

    def _run(
        self,
        layers: Sequence[Layer],
        files: tuple[Path, Path] | None,
        quantized: tuple[Path, Path] | None,
        quantizers: Mapping[str, Quantizer],
    ) -> None:
        produced = [top for layer in layers for top in layer.tops]
        end = self._places[layers[-1].name]
        read_later = (
            top for top in dict.fromkeys(map(self._graph.split_root, produced)) if self._last_reader.get(top, -1) > end
        )
        tops = produced if quantizers else [top for top in read_later if top in produced]
        bottoms = [(bottom, self._graph.split_root(bottom)) for bottom in _bottoms(layers)]
        self._ask(Step(files, quantized, bottoms, quantizers, tops), layers[0])
        self._held.update(tops)

    def _ask(self, request: object, layer: Layer) -> list[Any]:
        """The answers of the workers that had any."""
        answers = self._pool.ask(request)
        for answer in answers:
            if isinstance(answer, Failed):
                raise PyncnnqError(f"{layer}: {answer.reason}")
        answers = [answer for answer in answers if answer is not None]
        if isinstance(request, Contrast) and not answers:
            raise InputError("none of the samples could be read")
        return answers

    def _write(self, layers: Sequence[Layer]) -> tuple[Path, Path]:
        """The files of a network of some layers."""
        network = Model([Layer("Input", f"input_{bottom}", [], [bottom]) for bottom in _bottoms(layers)] + list(layers))
        name = str(next(self._files) % 2)  # those before the last are not needed any more
        param, bin_path = self._folder / f"{name}.param", self._folder / f"{name}.bin"
        param.write_bytes(encode(network.param_text()))
        bin_path.write_bytes(network.bin_bytes())
        return param, bin_path


def _bottoms(layers: Sequence[Layer]) -> list[str]:
    """What they read that none of them writes."""
    produced = {top for layer in layers for top in layer.tops}
    return list(dict.fromkeys(bottom for layer in layers for bottom in layer.bottoms if bottom not in produced))
