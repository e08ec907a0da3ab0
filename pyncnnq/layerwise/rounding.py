"""Weights rounded by what their layer sees, layer by layer, each one seeing what the quantized layers before it make of
the samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.inputs import InputSpec
from pyncnnq.layerwise.codes import LARGEST_SIZE, choose_codes
from pyncnnq.layerwise.dynamic_rounding import CAUTION, DynamicRounding
from pyncnnq.layerwise.recurrent_rounding import RecurrentRounding
from pyncnnq.layerwise.walk.contrast import UNITS
from pyncnnq.layerwise.walk.layer_walk import LayerWalk, segments
from pyncnnq.layerwise.walk.look import Moments, Window
from pyncnnq.layerwise.walk.run import PIECEWISE
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import NONE, Calibrated, Recurrent
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.dynamic import readings
from pyncnnq.rewrites.linear import bias, set_bias, set_weights_and_bias
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float64]

OUTPUTS = 8192
"""How many outputs of a layer are looked at, over all samples: more hardly change its weights."""

MEMORY = 2**31
"""How many bytes of blobs workers may hold together; more samples would hardly make weights better."""


UNSEEN = 128
"""How many samples of blobs of unknown size: a few hundred tokens each, of some thousand features, fill as much."""


def round_weights(
    model: Model,
    table: Table,
    quantizers: Mapping[str, Quantizer],
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: Engine,
    *,
    in_float: Collection[str] = (),
    refits: bool = False,
    progress: Update | None = None,
) -> tuple[Model, Table]:
    """Return a float model whose weights are int8 numbers divided by their scales, rounded so that outputs change
    little, with biases to match.

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
        in_float: the names of layers that stay in float though the table does not tell, such as Gemm layers.
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
    rounded, table = model.copy(), table.copy()
    by_name = {layer.name: layer for layer in rounded.layers}
    graph, floats = model.graph(), prevented(model, table).keys() | set(in_float)
    names = {layer.name for layer in model.layers if layer.name in table and layer.name not in floats}
    dynamic = {layer.name for layer in model.layers if readings(layer) and layer.name not in floats}
    outputs = -(-OUTPUTS // len(samples))
    done = 0
    with temporary_folder() as folder:
        walk = LayerWalk(model, samples, inputs, pool, Path(folder))
        for layers in segments(model.layers, names | dynamic):
            if layers[0].name in dynamic:
                rounding = RecurrentRounding if isinstance(layers[0].op, Recurrent) else DynamicRounding
                rounding(walk, layers[0], by_name[layers[0].name], table, outputs, refits=refits).run()
            elif layers[0].name in names:
                (layer,) = layers
                quantizer = quantizers.get(layer.bottoms[0], Quantizer(float(table[layer.name][0]), 0.0))
                seen = _Seen(walk, layer, quantizer, outputs)
                _round_layer(by_name[layer.name], table, seen, refits=refits)
                _run_rounded(by_name[layer.name], seen, graph.consumers(layer.tops[0]))
            else:
                walk.run(layers)
            walk.leave(layers)
            if progress is not None:
                progress(done := done + len(layers), len(model.layers) - len(model.inputs))
        walk.end()
    return rounded, table


def samples_in_memory(statistics: Statistics) -> int:
    """Return how many samples to give `round_weights`, so that their blobs fill no more than about MEMORY bytes; UNSEEN
    where no blob was observed, as in transformers without convolutions."""
    if not statistics.blobs:
        return UNSEEN
    largest = max((seen.count for seen in statistics.blobs.values()), default=0) / max(1, statistics.samples)
    # The largest blob, and another of half its size, in two branches of float32.
    return max(4, int(MEMORY / (1.5 * 2 * 4 * max(1.0, largest))))


class _Seen:
    """What a layer, as it is in float, sees of the samples."""

    def __init__(self, walk: LayerWalk, layer: Layer, quantizer: Quantizer, outputs: int) -> None:
        self.walk, self.layer, self._outputs = walk, layer, outputs
        self.quantizer = quantizer
        self.window = Window.of(layer)

    def moments(self, *, part: bool | None = None, crosses: bool = False) -> Moments | None:
        return self.walk.look(self.layer, self.window, self.quantizer, self._outputs, crosses=crosses, part=part)


def _round_layer(layer: Layer, table: Table, seen: _Seen, *, refits: bool) -> None:
    """Replace the layer's weights and bias, and the scales of its weights in the table."""
    (scaled,) = layer.op.scaled_weights()
    rows, absmax = weight_rows(layer, scaled)
    key = weight_key(layer.name)
    if seen.window.size > LARGEST_SIZE:
        scales = np.where(absmax == 0, np.float32(1), table[key])
        set_weights_and_bias(layer, quantize_rows(rows, scales) / scales[:, None].astype(np.float64), bias(layer))
        return
    weights = rows.reshape(seen.window.groups, -1, seen.window.size).astype(np.float64)
    codes = choose_codes(weights, absmax, seen.moments, refits=refits)
    table[key], moments = codes.scales, codes.moments
    means = seen.quantizer.zero_point + moments.codes / (moments.count * seen.quantizer.scale)
    moved = np.einsum("gri,gi->gr", weights - codes.numbers, means)
    set_weights_and_bias(layer, codes.numbers, bias(layer) + moved.ravel())


def _run_rounded(layer: Layer, seen: _Seen, readers: Sequence[Layer]) -> None:
    """Correct the bias of a layer with rounded weights by what its outputs differ by, and run it on the samples.

    Args:
        layer: with rounded weights; gets another bias.
        seen: by the layer as it is in float.
        readers: the layers that read what it writes.
    """
    own = seen.layer.op.activation
    linear, rounded = (_without_activation(full) if own != NONE else full for full in (seen.layer, layer))
    seen.walk.run_quantized(linear, rounded, seen.quantizer)
    behind = own
    if own == NONE and len(readers) == 1:  # an activation may be a layer of its own
        behind = readers[0].op.as_activation() or NONE
    differences = seen.walk.contrast(linear, *behind.rises_between)  # where a change comes through
    means = differences.sums / (np.maximum(differences.counts, 1) * float(UNITS))
    change = differences.counts / (differences.counts + CAUTION) * means
    set_bias(layer, bias(layer) + change)
    if own.kind in PIECEWISE:
        seen.walk.finish(linear, change, own)
    else:
        seen.walk.run_quantized(seen.layer, layer, seen.quantizer)


def _without_activation(layer: Layer) -> Layer:
    """Return the layer without the activation that it applies to its result."""
    linear = layer.copy()
    linear.as_op(Calibrated).activation = NONE
    return linear
