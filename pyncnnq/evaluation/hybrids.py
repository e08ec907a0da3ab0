"""Int8 models in which some layers are in float, to see what these layers cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.evaluation.blobs import Reading
from pyncnnq.evaluation.local import write
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Convolution
from pyncnnq.quantization.layers import set_weights
from pyncnnq.runtime.pool import WorkerPool

LARGEST_RATIO = 100.0
"""In dB: better than this is as good as equal; -100 dB is as bad as can be."""

_AT_ONCE = 8
"""How many models a worker holds."""


def unchained(int8: Model) -> Model:
    """The same int8 model with float blobs between all layers: convolutions hand nothing on as int8."""
    result = int8.copy()
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
        readings: Mapping[str, Reading],
        folder: Path,
        pool: WorkerPool,
    ) -> None:
        """Take the models and what is known of them.

        Args:
            model: the float model, as read from its files.
            int8: the int8 model, unchained.
            dequantized: the float model that the int8 weights stand for.
            readings: how the int8 model stores blobs, by name of what a Split copies.
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
            plain = all(blob in readings and readings[blob].is_plain for blob in blobs)
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
        progress: Callable[[int, int], None] | None,
    ) -> list[float]:
        """The mean SQNR of the outputs in dB, for each choice of layers in float; of what a Softmax or Sigmoid reads
        that writes one.

        Probabilities that are nearly 0 and 1 would tell little of few samples.

        Raises:
            PyncnnqError: ncnn cannot run a model on these samples.
        """
        found: list[float] = []
        for first in range(0, len(choices), _AT_ONCE):
            files = [self._write(number, names) for number, names in enumerate(choices[first : first + _AT_ONCE])]
            likeness = compare_outputs([self._model.files, *files], samples, inputs, self._judged, self._pool)
            found += map(_mean, likeness.ratios)
            if progress is not None:
                progress(min(first + _AT_ONCE, len(choices)), len(choices))
        return found

    def _write(self, number: int, in_float: Collection[str]) -> tuple[Path, Path]:
        model = self._int8.copy()
        for place, layer in enumerate(model.layers):
            if layer.name in in_float:
                other = self._float[layer.name].copy()
                other.bottoms, other.tops = layer.bottoms, layer.tops
                model.layers[place] = other
        return write(model, self._folder, f"hybrid{number}")


def _mean(ratios: Sequence[float]) -> float:
    return math.fsum(min(max(ratio, -LARGEST_RATIO), LARGEST_RATIO) for ratio in ratios) / len(ratios)
