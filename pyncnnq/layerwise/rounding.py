"""Weights rounded by what their layer sees, layer by layer, each one seeing what the quantized layers before it make of
the samples."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import gptq_round, quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import scales_of, weight_rows
from pyncnnq.errors import InputError
from pyncnnq.inputs import InputSpec
from pyncnnq.layerwise.activation import rising, without_activation
from pyncnnq.layerwise.layer_walk import LayerWalk, segments
from pyncnnq.layerwise.protocol import UNITS, Differences, Moments, Window
from pyncnnq.layerwise.refitting import covariance, refit_weights
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Calibrated
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.linear import bias, outputs_of, set_bias, set_weights_and_bias
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float64]

OUTPUTS = 8192
"""How many outputs of a layer are looked at, over all samples."""

MEMORY = 2**31
"""How many bytes of blobs workers may hold together; more samples would hardly make weights better."""

LARGEST_SIZE = 6144
"""Layers whose outputs see more inputs than this are rounded to the nearest: their moments would fill gigabytes."""

DAMPING = 0.01
"""What is added to second moments, of their mean."""

LARGEST_RATIO, LEAST_RATIO = 1.15, 0.8
"""Between which shares of the largest weight the largest int8 number may lie."""

CAUTION = 50
"""How many values of an output halve the trust in their mean."""

MOST_CANDIDATES = 24
OPERATIONS = 2e10
"""About how many steps rounding a layer may take: it limits the candidates for scales."""


def round_weights(
    model: Model,
    table: Table,
    quantizers: Mapping[str, Quantizer],
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: WorkerPool,
    *,
    refits: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, Table]:
    """A float model whose weights are int8 numbers divided by their scales, rounded so that outputs change little, with
    biases to match.

    For each layer that will be int8, in the order of the model: the second moments of its input, as the quantized
    layers before it make it, tell how much errors of its weights add up or cancel (GPTQ); the bias takes off what the
    mean of each output still differs by, from errors in the layer and before it.

    Args:
        model: the float model.
        table: its calibration table; layers that lack a row stay in float.
        quantizers: how blobs that will be stored with zero points become int8, by name; others do by their scale in the
            table.
        samples: for each sample one file for each model input.
        inputs: for each model input how a file becomes its blob.
        pool: the processes to use.
        refits: whether weights change before, to make up for errors of the layers before them (see
            `pyncnnq.layerwise.refitting`).
        progress: called with (layers done, layers in all).

    Returns:
        The new model, and the table with other weight scales.

    Raises:
        PyncnnqError: ncnn cannot run a layer on these samples.

    Source: Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", ICLR
    2023; Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section
    4.2.
    """
    rounded, table = model.copy(), copy.deepcopy(table)
    graph, floats = model.graph(), prevented(model, table)
    names = {layer.name for layer in model.layers if layer.name in table and layer.name not in floats}
    outputs = -(-OUTPUTS // len(samples))
    done = 0
    with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
        walk = LayerWalk(model, samples, inputs, pool, Path(folder))
        for layers in segments(model.layers, names):
            if layers[0].name in names:
                (layer,) = layers
                quantizer = quantizers.get(layer.bottoms[0], Quantizer(float(table[layer.name][0]), 0.0))
                new = rounded.layer(layer.name)
                _round_layer(new, table, _Seen(walk, layer, quantizer, outputs), refits=refits)
                linear = without_activation(layer)
                walk.run_quantized(linear, without_activation(new), quantizer)
                _correct_bias(new, walk.contrast(linear, *rising(layer, graph.consumers(layer.tops[0]))))
                walk.run_quantized(layer, new, quantizer, again=linear is layer)
            else:
                walk.run(layers)
            walk.leave(layers)
            done += len(layers)
            if progress is not None:
                progress(done, len(model.layers) - len(model.inputs))
        walk.end()
    return rounded, table


def samples_in_memory(statistics: Statistics) -> int:
    """How many samples `round_weights` should be given, so that their blobs fill no more than about MEMORY bytes."""
    largest = max((seen.count for seen in statistics.blobs.values()), default=0) / max(1, statistics.samples)
    # The largest blob, and another of half its size, in two branches of float32.
    return max(4, int(MEMORY / (1.5 * 2 * 4 * max(1.0, largest))))


class _Seen:
    """What a layer sees of the samples."""

    def __init__(self, walk: LayerWalk, layer: Layer, quantizer: Quantizer, outputs: int) -> None:
        self._walk, self._layer, self._outputs = walk, layer, outputs
        self.quantizer = quantizer
        self.window = window_of(layer)
        self.size = layer.as_op(Calibrated).input_channels() // self.window.groups * math.prod(self.window.kernel)

    def moments(self, *, part: bool | None = None, crosses: bool = False) -> Moments | None:
        return self._walk.look(self._layer, self.window, self.quantizer, self._outputs, crosses=crosses, part=part)


def window_of(layer: Layer) -> Window:
    """What one output of a quantizable layer sees of its input."""
    params = layer.params
    channels = layer.as_op(Calibrated).input_channels()
    if layer.type == "InnerProduct":
        return Window((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 0.0, 1, channels, flattened=True)
    kernel, dilation, stride = (
        (params.get_int(key + 10, w := params.get_int(key, default)), w) for key, default in ((1, 0), (2, 1), (3, 1))
    )
    left = params.get_int(4, 0)
    right, top = params.get_int(15, left), params.get_int(14, left)
    padding = (left, right, top, params.get_int(16, top))
    return Window(
        kernel,
        dilation,
        stride,
        padding,
        params.get_float(18, 0.0),
        layer.as_op(Calibrated).groups,
        channels,
        flattened=False,
    )


def _round_layer(layer: Layer, table: Table, seen: _Seen, *, refits: bool) -> None:
    """Replace the layer's weights and bias, and the scales of its weights in the table."""
    (scaled,) = layer.op.scaled_weights()
    rows, absmax = weight_rows(layer, scaled)
    key = weight_key(layer.name)
    if seen.size > LARGEST_SIZE:
        scales = np.where(absmax == 0, np.float32(1), table[key])
        set_weights_and_bias(layer, quantize_rows(rows, scales) / scales[:, None].astype(np.float64), bias(layer))
        return
    weights = rows.reshape(seen.window.groups, -1, seen.size).astype(np.float64)
    moments, changes = refit_weights(weights, seen.moments) if refits else (seen.moments(), None)
    if moments is None:
        raise InputError("none of the samples could be read")
    candidates = _candidates(absmax, weights.shape)
    fitted = weights if changes is None else weights + changes
    codes, chosen, _ = gptq_round(
        fitted, damped(moments), np.repeat(candidates, outputs_of(layer) // scaled.rows, axis=1)
    )
    best = candidates[chosen.reshape(scaled.rows, -1)[:, 0], np.arange(scaled.rows)]
    table[key] = best
    numbers = codes.reshape(scaled.rows, -1) / best[:, None].astype(np.float64)
    means = seen.quantizer.zero_point + moments.codes / (moments.count * seen.quantizer.scale)
    moved = np.einsum("gri,gi->gr", weights - numbers.reshape(weights.shape), means)
    set_weights_and_bias(layer, numbers, bias(layer) + moved.ravel())


def damped(moments: Moments) -> Floats:
    """The covariance of codes, and DAMPING of their mean variance, more where there are few inputs for their size."""
    found = covariance(moments)
    size = found.shape[1]
    diagonal = np.einsum("gii->gi", found)
    spread = diagonal.mean(axis=1)
    damping = DAMPING * (max(1.0, 10 * size / moments.count) if len(found) == 1 else 1.0)
    diagonal += damping * np.where(spread > 0, spread, 1.0)[:, None]
    return found


def _correct_bias(layer: Layer, differences: Differences) -> None:
    """Take off what the outputs differ by on average where that matters (see `rising`)."""
    means = differences.sums / (np.maximum(differences.counts, 1) * float(UNITS))
    sure = differences.counts / (differences.counts + CAUTION)
    set_bias(layer, bias(layer) + sure * means)


def _candidates(absmax: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scales to try, shape (candidates, rows)."""
    count, outputs, size = shape
    if count > 1 and outputs > 1:  # they share one scale, which each would choose for itself
        return scales_of(absmax, 8)[0][None]
    tried = int(np.clip(OPERATIONS / (count * outputs * size**2), 1, MOST_CANDIDATES))
    ratios = np.linspace(LARGEST_RATIO, LEAST_RATIO, tried, dtype=np.float32) if tried > 1 else [np.float32(1)]
    return np.stack([scales_of(absmax * ratio, 8)[0] for ratio in ratios])
