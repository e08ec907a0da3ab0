"""Rows of a calibration table from the steps of a QDQ model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import quantize_rows
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.model import Weight
from pyncnnq.qdq.mapping import Pair
from pyncnnq.qdq.quantizers import ActivationQuantizer

LARGEST = 127
"""The largest int8 number of ncnn, which has no -128."""

_SAME = 1 + 1e-6
_MOST = np.finfo(np.float32).max  # of a denormal step the scale would be infinite


def fit_weights(pair: Pair) -> tuple[NDArray[np.float32], list[str]]:
    """Return the scales with which a layer's weights become the integers that they were, wherever ncnn has them.

    Where it has not, the layer's weights are changed, in place, to those that its int8 numbers stand for: so whatever
    makes up for a zero point by the sum of the weights is exact in float too.

    Returns:
        One scale for each output, or group of a ConvolutionDepthWise; and a line for each thing that could not be kept.
    """
    layer = pair.layer
    (scaled,) = layer.op.scaled_weights()
    rows, absmax = weight_rows(layer, scaled)
    steps = pair.steps.reshape(rows.shape).astype(np.float64)
    step = steps.max(axis=1)
    common = step <= steps.min(axis=1) * _SAME
    levels = np.divide(absmax, step, out=np.zeros_like(step), where=step > 0)
    beyond = common & (np.rint(levels) == LARGEST + 1)
    coarser = ~common | (np.rint(levels) > LARGEST + 1)
    scales = np.divide(
        np.where(coarser, LARGEST, 1), np.where(coarser, absmax, step), out=np.ones_like(step), where=absmax > 0
    )
    scales = np.minimum(scales, _MOST).astype(np.float32)
    warnings = []
    if beyond.any():
        count = np.count_nonzero(np.rint(np.abs(rows[beyond]) / step[beyond, None]) > LARGEST)
        warnings.append(
            f"{_title(pair)}: {count} weights are -128 (or 128) steps; ncnn's int8 ends at 127, which they become"
        )
    if not common.all():
        warnings.append(
            f"{_title(pair)}: its outputs have scales of their own, and ncnn one for each group of channels: "
            "the weights are rounded anew"
        )
    elif coarser.any():
        factor = (absmax[coarser] / step[coarser]).max() / LARGEST
        outputs = f"{np.count_nonzero(coarser)} of {len(step)} outputs"
        warnings.append(
            f"{_title(pair)}: its weights have a zero point, and ncnn's have none: those of {outputs} are "
            "rounded anew, "
            f"to steps up to {factor:.2f} times as large"
        )
    if warnings:
        name = scaled.weight
        layer.weights[name] = Weight.tagged_float32(name, quantize_rows(rows, scales) / scales[:, None])
    return scales, warnings


def shifted_range(quantizer: ActivationQuantizer) -> tuple[float, float]:
    """Return the values that ncnn's 255 numbers stand for, stored less a zero point such that they are multiples of the
    quantizer's step.

    The quantizer has 256 of them; the highest is lost, as the lowest may be the much more frequent zero.
    """
    middle = max(quantizer.lowest + LARGEST, -LARGEST)
    return (middle - LARGEST) * quantizer.step, (middle + LARGEST) * quantizer.step


def describe_coarser(pair: Pair, quantizer: ActivationQuantizer, scale: float) -> str | None:
    """Return a line for an input that ncnn rounds to larger steps than the quantizer did."""
    factor = 1 / (quantizer.step * scale)
    if abs(factor - 1) < 1e-5:
        return None
    low, high = quantizer.lowest * quantizer.step, quantizer.highest * quantizer.step
    return (
        f"{_title(pair)}: its input, of {low:.4g} to {high:.4g}, needs a zero point of its own, for which ncnn "
        "has no place here: "
        f"it is rounded to steps {factor:.2f} times as large"
    )


def _title(pair: Pair) -> str:
    return f"layer {pair.layer.name!r} ({pair.source.type} {pair.source.name!r})"
