"""What layers add to the error of the outputs when they alone are int8, all others in float.

No model is made for that.  The float network runs once for each sample, and its blobs are kept.  Then, for each trial,
the layers of the trial run on what they read in float, rounded as int8 rounds it, and the float network goes on from
what they write: layers before them are not run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyncnnq.compare.outputs import OutputPair, compare_output, output_figures
from pyncnnq.compare.parts import Part
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.inputs import InputSpec
from pyncnnq.layerwise.walk.run import quantized_and_back
from pyncnnq.model import Layer, Model, ModelFiles
from pyncnnq.optimization.draft import Draft
from pyncnnq.quantization.dequantize import dequantize
from pyncnnq.quantization.quantize_layer import quantize_layer
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job

if TYPE_CHECKING:
    from pyncnnq.runtime.network import Network

MEMORY = 2**28
"""How many bytes a worker may hold beside the float model: the weights of layers, and what they read."""

Trial = Mapping[str, Quantizer | None]
"""The names of layers that are int8 together, with how their inputs become int8; None: the layer sees to that.

Layers of one trial read the same blob, or copies of it."""


class LoneLayers:
    """Measures trials on samples.

    Attributes:
        telling: the names of the parts of the outputs that models are chosen by.
    """

    def __init__(
        self,
        draft: Draft,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[tuple[str, InputSpec]],
        parts: Sequence[Part],
        pool: Engine,
    ) -> None:
        """Take the models and the samples.

        Args:
            draft: its layers and table are those of the int8 layers; the float network is that of its source, which
                must have files.
            samples: for each sample one file for each model input; those that cannot be read do not count.
            inputs: the blob of each model input, and how a file becomes it.
            parts: of the outputs, to compare.
            pool: the processes to use.
        """
        self._draft, self._samples, self._inputs, self._parts, self._pool = draft, samples, inputs, parts, pool
        self.telling = [part.name for part in parts if part.decides]
        self._model = draft.source.model
        self._graph = self._model.graph()
        self._judged = self._graph.in_order(blob for part in parts for blob in part.blobs)
        self._places = {layer.name: place for place, layer in enumerate(self._model.layers)}
        self._written = {top: place for place, layer in enumerate(self._model.layers) for top in layer.tops}
        self._read = {bottom: place for place, layer in enumerate(self._model.layers) for bottom in layer.bottoms}
        self._layers = {layer.name: layer for layer in draft.model.layers}

    def trial(self, *layers: str) -> Trial:
        """Return the trial of some layers, with the draft's scales."""
        return {name: self._quantizer(self._layers[name]) for name in layers}

    def ratios(self, trials: Sequence[Trial], update: Update | None = None) -> list[dict[str, float]]:
        """Return the signal-to-quantization-noise ratio in dB of each part, by name, for each trial.

        Args:
            trials: what to measure.
            update: called with (samples done, samples in all) of each pass.

        Raises:
            InputError: no sample could be read.
            PyncnnqError: ncnn cannot run a model on these samples.
        """
        return [found for some in self._batches(trials) for found in self._measured(some, update)]

    def _quantizer(self, layer: Layer) -> Quantizer | None:
        if not layer.op.needs_activation_scale:
            return None
        plain = Quantizer(float(self._draft.table[layer.name][0]), 0.0)
        return self._draft.quantizers.get(layer.bottoms[0], plain)

    def _batches(self, trials: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """Yield trials, as many at a time as there is memory for."""
        first, held, size = 0, set[str](), 0
        for place, trial in enumerate(trials):
            more = sum(self._size(name) for name in trial if name not in held)
            if first < place and size + more > MEMORY:
                yield trials[first:place]
                first, held, size = place, set(), 0
                more = sum(map(self._size, trial))
            held.update(trial)
            size += more
        if trials:
            yield trials[first:]

    def _size(self, name: str) -> int:
        """Return how many bytes the weights of a layer have in float32, and what it reads of a sample."""
        layer, statistics = self._layers[name], self._draft.source.statistics
        read = statistics.blobs.get(self._graph.split_root(layer.bottoms[0]))
        elements = read.count // max(1, statistics.samples) if read is not None else 0
        return 4 * (elements + sum(weight.data.size for weight in layer.weights.values()))

    def _measured(self, trials: Sequence[Trial], update: Update | None) -> list[dict[str, float]]:
        with temporary_folder() as folder:
            names = dict.fromkeys(name for trial in trials for name in trial)
            layers = {name: self._written_layer(name, folder, place) for place, name in enumerate(names)}
            resumed = [self._resumed(trial) for trial in trials]
            kept = {blob for each in resumed for blob in each.blobs} | {
                blob for layer in layers.values() for blob in layer.bottoms
            }
            job = LoneLayersJob(
                inputs=self._inputs,
                samples=self._samples,
                model=self._model.files,
                blobs=self._graph.in_order(kept.union(self._judged)),
                judged=self._judged,
                layers=layers,
                trials=resumed,
            )
            samples: list[list[list[OutputPair]]] = run_job(job, self._pool, progress=update).samples
        places = {blob: place for place, blob in enumerate(self._judged)}
        return [
            {
                part.name: output_figures(
                    "", [sample[number][places[blob]] for sample in samples for blob in part.blobs]
                ).sqnr
                for part in self._parts
            }
            for number in range(len(trials))
        ]

    def _written_layer(self, name: str, folder: Path, place: int) -> _OneLayer:
        """Return a network of one layer, in files: in float, with weights that int8 numbers stand for, where its input
        gets rounded before; else in int8."""
        layer = self._layers[name].copy()
        bottoms, tops = tuple(layer.bottoms), tuple(layer.tops)
        quantize_layer(layer, self._draft.table, as_ncnn2int8=False)
        layer.bottoms = [f"bottom{number}" for number in range(len(bottoms))]  # a layer may read a blob twice
        model = Model([*(Layer("Input", f"input_{blob}", [], [blob]) for blob in layer.bottoms), layer])
        if layer.op.needs_activation_scale:
            model = dequantize(model)
        return _OneLayer(files=model.stored(folder, str(place)).files, bottoms=bottoms, tops=tops)

    def _resumed(self, trial: Trial) -> _Resumed:
        """Return a trial with what the float network needs to go on from its layers."""
        first = min(self._places[name] for name in trial)
        changed = {top for name in trial for top in self._layers[name].tops}
        if self._model.custom_layers is None:
            before = [blob for blob, place in self._read.items() if place > first and self._written[blob] <= first]
        else:  # Python computes layers, which it cannot go on from
            before = list(self._model.inputs)
        return _Resumed(
            quantizers=trial,
            blobs=tuple(blob for blob in before if blob not in changed),
            judged=frozenset(blob for blob in self._judged if blob in changed or self._written[blob] > first),
        )


@dataclass(frozen=True, kw_only=True)
class _OneLayer:
    """A network of one layer.

    Attributes:
        files: those of the network, whose inputs are `bottom0` and so on.
        bottoms: the blobs of the float network that the layer reads.
        tops: the blobs that it writes.
    """

    files: ModelFiles
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Resumed:
    """A trial, and what of the float network is run for it.

    Attributes:
        quantizers: the trial.
        blobs: what the float network is given beside the tops of the trial's layers.
        judged: the blobs that may differ then.
    """

    quantizers: Trial
    blobs: tuple[str, ...]
    judged: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class LoneLayersJob(Job):
    """Compare the outputs of a network in which some layers are int8 with those of the float network.

    The answer to a sample has for each trial each judged blob beside that of the float network.

    Attributes:
        model: the files of the float network.
        blobs: what of it to keep, in the order in which it computes them.
        judged: the blobs to compare, in that order too.
        layers: the int8 layers, by name.
        trials: which of them are int8, each time.
    """

    model: ModelFiles
    blobs: Sequence[str]
    judged: Sequence[str]
    layers: Mapping[str, _OneLayer]
    trials: Sequence[_Resumed]

    def start(self) -> _Work:
        return _Work(self)


class _Work:
    """Goes through the trials, sample by sample."""

    def __init__(self, job: LoneLayersJob) -> None:
        from pyncnnq.runtime.network import Network  # which imports ncnn: in workers only

        self._job = job
        self._network = Network(*job.model)
        self._layers: dict[str, Network] = {name: Network(*layer.files) for name, layer in job.layers.items()}

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> list[list[OutputPair]]:  # noqa: ARG002
        from pyncnnq.runtime.network import array_of

        exact = dict(self._network.blobs(inputs, self._job.blobs, packed=False))
        equal = {blob: compare_output(array_of(exact[blob]), array_of(exact[blob])) for blob in self._job.judged}
        pairs = []
        for trial in self._job.trials:
            rough = self._outputs(trial, exact)
            pairs.append(
                [
                    compare_output(array_of(exact[blob]), array_of(rough[blob])) if blob in rough else equal[blob]
                    for blob in self._job.judged
                ]
            )
        return pairs

    def _outputs(self, trial: _Resumed, exact: Mapping[str, Any]) -> dict[str, Any]:
        """Return the judged blobs that may differ from those of the float network."""
        given = [(blob, exact[blob]) for blob in trial.blobs]
        for name, quantizer in trial.quantizers.items():
            given += self._tops(name, quantizer, exact)
        wanted = [blob for blob in self._job.judged if blob in trial.judged]
        return dict(self._network.resumed(given, wanted))

    def _tops(self, name: str, quantizer: Quantizer | None, exact: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield what a layer writes, as ncnn.Mat."""
        from pyncnnq.inputs.loading import owning_mat
        from pyncnnq.runtime.network import array_of

        layer = self._job.layers[name]
        mats = [exact[blob] for blob in layer.bottoms]
        if quantizer is not None:
            mats = [owning_mat(quantized_and_back(array_of(mat), quantizer)) for mat in mats]
        given = [(f"bottom{number}", mat) for number, mat in enumerate(mats)]
        yield from self._layers[name].resumed(given, layer.tops)

    def result(self) -> None:
        return None
