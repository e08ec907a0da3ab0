"""The importance of errors in a blob at the outputs of the layers that read it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated

Floats = NDArray[np.float64]


def importance(readers: Iterable[Layer], absmax: NDArray[np.float32], bins: int) -> Floats:
    """Return weights for squared errors of values by magnitude, for equal bins over [0, the largest magnitude].

    An error in a channel reaches the outputs times the squares of the weights that it meets.  Large values lie in a
    few channels, which often meet small weights: then clipping costs little, and finer steps gain much.  A value of a
    bin may be of any channel that gets as far as the middle of the bin; all these channels are taken to be as likely.
    All readers count alike.

    Args:
        readers: layers whose input has a scale in the table, with their weights.
        absmax: the largest magnitude in each channel of the blob, not all zero, shape (channels,).
        bins: the number of bins.

    Returns:
        Shape (bins,).
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
    """Return the sum of the squared weights that each input channel meets, shape (input channels,).

    The channels of an InnerProduct's input are its elements.
    """
    op = layer.as_op(Calibrated)
    squares = layer.weights["weight_data"].float32().astype(np.float64) ** 2
    shape = op.groups, op.num_output // op.groups, op.input_channels() // op.groups, -1
    by_group = squares.reshape(shape)
    return np.add.accumulate(by_group.sum(axis=1), axis=2)[:, :, -1].ravel()  # in this order on every CPU
