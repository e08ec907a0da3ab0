"""Int8 models in which some layers are in float, to see what these layers cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import parts_of
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Layer, Model, ModelFiles
from pyncnnq.model.ops import Convolution
from pyncnnq.optimization.candidate import LARGEST_RATIO
from pyncnnq.optimization.ranking import error_shares, measured
from pyncnnq.quantization.faults import may_break_on_x86
from pyncnnq.quantization.quantize_layer import set_weights
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update


def wrong_unchained(int8: Model) -> list[str]:
    """Return the names of layers that stock ncnn computes right as long as they hand their output on as int8."""
    convolutions = [layer for layer in int8.layers if isinstance(layer.op, Convolution) and layer.op.is_chained]
    return [layer.name for layer in convolutions if may_break_on_x86(layer)]


def unchained(int8: Model, dequantized: Model) -> Model:
    """Return the int8 model with float blobs between all layers: convolutions hand nothing on as int8.

    What stock ncnn would compute wrong then is in float, with the weights that the int8 ones stand for.
    """
    result = int8.copy()
    exact = {layer.name: layer for layer in dequantized.layers}
    wrong = wrong_unchained(int8)
    for place, layer in enumerate(result.layers):
        if layer.name in wrong:
            other = exact[layer.name].copy()
            other.bottoms, other.tops = layer.bottoms, layer.tops
            result.layers[place] = other
    for layer in result.layers:
        op = layer.op
        if isinstance(op, Convolution) and op.is_chained:
            op.unchain()
            set_weights(layer, layer.weights)
    return result


class Hybrids:
    """Makes and judges models between the int8 model and the float model."""

    def __init__(
        self,
        model: Model,
        int8: Model,
        dequantized: Model,
        storage: Mapping[str, BlobStorage],
        folder: Path,
        samples: CalibrationData,
        pool: WorkerPool,
        update: Update | None,
    ) -> None:
        """Take the models and what is known of them.

        Args:
            model: the float model, as read from its files.
            int8: the int8 model, unchained.
            dequantized: the float model that the int8 weights stand for.
            storage: how the int8 model stores blobs, by name of what a Split copies.
            folder: to write models into.
            samples: to run models on.
            pool: the processes to use.
            update: called with (models measured, models in all) of each method.
        """
        self._model, self._int8, self._folder = model, int8, folder
        self._samples, self._pool, self._update = samples, pool, update
        exact, roots = {layer.name: layer for layer in model.layers}, int8.graph()
        # Of the int8 model: where a Softmax or Sigmoid is fused into another layer, there is nothing before it.
        self._parts, self._graph = [part for part in parts_of(int8) if part.decides], roots
        self._float: dict[str, Layer] = {}
        for layer in dequantized.layers:
            blobs = map(roots.split_root, (*layer.bottoms, *layer.tops))
            plain = all(blob in storage and storage[blob].is_plain for blob in blobs)
            # Where the int8 model stores blobs otherwise, the float layer does not fit: the one that its int8 weights
            # stand for does.
            original = exact.get(layer.name)
            fits = (
                plain
                and original is not None
                and len(original.bottoms) == len(layer.bottoms)
                and len(original.tops) == len(layer.tops)
            )
            self._float[layer.name] = original if fits and original is not None else layer

    def judge(self, choices: Sequence[Collection[str]]) -> list[float]:
        """Return the mean SQNR in dB of the parts of the outputs by which models are chosen (see
        `pyncnnq.compare.parts`), for each choice of layers in float.

        Raises:
            PyncnnqError: ncnn cannot run a model on these samples.
        """
        return list(map(_mean, self._ratios(self._model.files, choices)))

    def shares(self, layers: Sequence[str]) -> list[float]:
        """Return the share of each of these layers in the error of the outputs (see `judge` and `error_shares`).

        Raises:
            PyncnnqError: ncnn cannot run a model on these samples.
        """
        int8 = {layer.name for layer in self._int8.layers if layer.op.is_int8}
        # Not the float model: where a layer in float has int8 weights still, their error would be in each share.
        reference = self._write("float", int8)
        return error_shares(self._ratios(reference, [int8 - {layer} for layer in layers]))

    def _ratios(self, reference: ModelFiles, choices: Sequence[Collection[str]]) -> list[list[float]]:
        """Return the SQNR of each part in dB, for each choice of layers in float."""
        inputs = list(zip(self._model.inputs, self._samples.inputs, strict=True))
        parts, graph, pool = self._parts, self._graph, self._pool

        def measure(some: Sequence[Collection[str]]) -> list[list[float]]:
            files = [self._write(f"hybrid{number}", names) for number, names in enumerate(some)]
            models = [reference, *files]
            return compare_outputs(models, self._samples.samples, inputs, parts, graph, pool).ratios

        return list(measured(choices, measure, self._update))

    def _write(self, name: str, in_float: Collection[str]) -> ModelFiles:
        model = self._int8.copy()
        for place, layer in enumerate(model.layers):
            if layer.name in in_float:
                other = self._float[layer.name].copy()
                other.bottoms, other.tops = layer.bottoms, layer.tops
                model.layers[place] = other
        return model.stored(self._folder, name).files


def _mean(ratios: Sequence[float]) -> float:
    return math.fsum(min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO) for ratio in ratios) / len(ratios)
