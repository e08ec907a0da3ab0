"""How much errors of a blob's values matter at the outputs of the layers that read it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated

Floats = NDArray[np.float64]


def importance(readers: Iterable[Layer], absmax: NDArray[np.float32], bins: int) -> Floats:
    """Weights for squared errors of values, by magnitude: shape (bins,), for equal bins over [0, the largest].

    An error in a channel reaches the outputs times the squares of the weights that it meets.  Large values lie in a few
    channels, and those
    meet small weights often: then clipping them costs little, and finer steps gain much.  A value of a bin may be of
    any channel that gets as far as its middle; each is taken to be as likely.  All readers count alike.

    Args:
        readers: layers of ACTIVATION_TYPES, with their weights.
        absmax: the largest magnitude in each channel of the blob, not all zero.
        bins: how many.
    """
    descending = np.argsort(-absmax, kind="stable")
    middles = (np.arange(bins) + 0.5) / bins * float(absmax.max())
    reaching = np.searchsorted(-absmax[descending].astype(np.float64), -middles, side="right")
    weights = np.zeros(bins)
    for reader in readers:
        met = squared_weights(reader).reshape(absmax.size, -1).sum(axis=1)[descending]
        if met.any():
            means = np.add.accumulate(met) / np.arange(1, met.size + 1)
            weights += means[np.maximum(reaching, 1) - 1] / means[-1]
    return weights if weights.any() else np.ones(bins)


def squared_weights(layer: Layer) -> Floats:
    """The sum of the squared weights that each input channel (InnerProduct: element) meets, shape (input channels,)."""
    groups = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    squares = layer.weights["weight_data"].float32().astype(np.float64) ** 2
    outputs = layer.params.get_int(0, 0)
    by_group = squares.reshape(groups, outputs // groups, layer.as_op(Calibrated).input_channels() // groups, -1)
    return np.add.accumulate(by_group.sum(axis=1), axis=2)[:, :, -1].ravel()  # in this order on every CPU
