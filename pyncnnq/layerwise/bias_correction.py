"""Biases that make up for what rounding the weights does to the mean of each output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.model import Layer, Model
from pyncnnq.model.quantizable import has_dynamic_weight, needs_activation_scale, scaled_weights
from pyncnnq.rewrites.linear import bias, set_bias
from pyncnnq.statistics.moments import input_means
from pyncnnq.statistics.observe import Statistics


def correct_biases(model: Model, table: Table, statistics: Statistics) -> tuple[Model, list[str]]:
    """Return a float model whose int8 layers, by this table, have the right mean of each output; and their names.

    Rounded weights w_q / s instead of w move the mean of an output by the sum over its inputs of (w_q / s - w) E[x].
    Biases stay float32 in int8 inference, so taking that off costs nothing at run time.  Where a layer pads, the mean
    over the border is a little smaller than E[x]; that is left as it is.

    Args:
        model: the float model; it is not changed.
        table: its calibration table; layers without both rows are left alone, as they stay in float.
        statistics: of the blobs that feed its quantizable layers, whose channel means are E[x].

    Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section
    4.2, with measured means.
    """
    corrected = model.copy()
    graph = corrected.graph()
    names = []
    for layer in corrected.layers:
        if (
            not needs_activation_scale(layer)
            or has_dynamic_weight(layer)
            or not all(key in table for key in (layer.name, weight_key(layer.name, 0)))
        ):
            continue
        blob = statistics.blobs.get(graph.split_root(layer.bottoms[0]))
        means = input_means(layer, blob.channel_means()) if blob is not None else None
        if means is not None:
            set_bias(layer, bias(layer) - _mean_error(layer, table[weight_key(layer.name, 0)], means))
            names.append(layer.name)
    return corrected, names


def _mean_error(layer: Layer, scales: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much rounding the weights moves the mean of each output, shape (outputs,)."""
    (weight,) = scaled_weights(layer)
    rows, _ = weight_rows(layer, weight)
    error = quantize_rows(rows, scales) / scales[:, None].astype(np.float64) - rows
    outputs = layer.params.get_int(0, 0)
    group = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    # (groups, outputs of a group, input channels of a group, kernel) times (groups, input channels of a group)
    by_channel = error.reshape(group, outputs // group, means.size // group, -1).sum(axis=3)
    moved: NDArray[np.float64] = np.einsum("goi,gi->go", by_channel, means.reshape(group, -1)).reshape(outputs)
    return moved
