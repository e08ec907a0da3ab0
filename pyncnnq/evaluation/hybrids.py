"""Int8 models in which some layers are in float, to see what these layers cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Layer, Model
from pyncnnq.quantization.layers import CHAINED, set_weights
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update

LARGEST_RATIO = 100.0
"""In dB: better than this is as good as equal; -100 dB is as bad as can be."""

_AT_ONCE = 8
"""How many models a worker holds."""


def unchained(int8: Model) -> Model:
    """Return the int8 model with float blobs between all layers: convolutions hand nothing on as int8."""
    result = int8.copy()
    for layer in result.layers:
        if layer.type in ("Convolution", "ConvolutionDepthWise") and layer.params.get_int(8, 0) > CHAINED:
            layer.params.set(8, layer.params.get_int(8, 0) - CHAINED)
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
        pool: WorkerPool,
    ) -> None:
        """Take the models and what is known of them.

        Args:
            model: the float model, as read from its files.
            int8: the int8 model, unchained.
            dequantized: the float model that the int8 weights stand for.
            storage: how the int8 model stores blobs, by name of what a Split copies.
            folder: to write models into.
            pool: the processes to use.
        """
        self._model, self._int8, self._folder, self._pool = model, int8, folder, pool
        exact, roots = {layer.name: layer for layer in model.layers}, int8.graph()
        self._judged = list(
            map(roots.before_saturation, model.outputs)
        )  # where that is fused into another layer, there is nothing before
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

    def judge(
        self,
        choices: Sequence[Collection[str]],
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[tuple[str, InputSpec]],
        progress: Update | None,
    ) -> list[float]:
        """Return the mean SQNR of the outputs in dB, for each choice of layers in float; where a Softmax or Sigmoid
        writes an output, of what that reads.

        Probabilities that are nearly 0 and 1 would tell little of few samples.

        Raises:
            PyncnnqError: ncnn cannot run a model on these samples.
        """
        means: list[float] = []
        for first in range(0, len(choices), _AT_ONCE):
            files = [self._write(number, names) for number, names in enumerate(choices[first : first + _AT_ONCE])]
            likeness = compare_outputs([self._model.files, *files], samples, inputs, self._judged, self._pool)
            means += map(_mean, likeness.ratios)
            if progress is not None:
                progress(min(first + _AT_ONCE, len(choices)), len(choices))
        return means

    def _write(self, number: int, in_float: Collection[str]) -> tuple[Path, Path]:
        model = self._int8.copy()
        for place, layer in enumerate(model.layers):
            if layer.name in in_float:
                other = self._float[layer.name].copy()
                other.bottoms, other.tops = layer.bottoms, layer.tops
                model.layers[place] = other
        return model.stored(self._folder, f"hybrid{number}").files


def _mean(ratios: Sequence[float]) -> float:
    return math.fsum(min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO) for ratio in ratios) / len(ratios)
