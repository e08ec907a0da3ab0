"""Shifts of blobs of both signs that are not symmetric, where a convolution that pads reads them.

ncnn quantizes by a scale alone, so a blob with values in [-0.4, 6] leaves nearly half of int8 unused.  It is stored
shifted by the middle of its range instead (see pyncnnq/rewrites/shifts.py), where a linear layer writes it and
quantizable layers alone read it.  The middle is one of the int8 numbers, so that the border is exact.

Blobs that no reader pads are better shifted channel by channel; a border has the same value in all channels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pyncnnq.calibration.table import Table
from pyncnnq.model import Model
from pyncnnq.model.checks import require_sound_float
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.channel_flow import copies_of
from pyncnnq.rewrites.linear import is_linear_or_scale
from pyncnnq.rewrites.rewritten import RewrittenWithTable
from pyncnnq.rewrites.shifts import Shift, can_read_shifted, fold_shifts, quantizers_of

SMALLEST_GAIN = 1.035
"""0.3 dB: with less, a shift is not worth it."""

Ranges = Mapping[str, tuple[float, float]]


def fold_asymmetric(
    model: Model, table: Table, ranges: Ranges, smallest_gain: float = SMALLEST_GAIN
) -> RewrittenWithTable:
    """Store blobs shifted by the middle of their range, where a linear layer writes and a layer that pads reads them.

    The writer is a Convolution, ConvolutionDepthWise or InnerProduct without activation, or a Scale.  The readers,
    directly or through Split, must be of these types too, except Scale; the readers that become int8, one at least,
    must have the same activation scale.  Neither may the blob be an output of the model.  Values that the table's
    threshold clips stay clipped.

    The layers to leave in float must be chosen before, by removing their rows from the table; later changes of weights
    or their scales must change the biases too.

    Args:
        model: a float model.
        table: its calibration table; 127 / scale of an activation row is the threshold of the blob.
        ranges: the smallest and the largest value of the blobs that feed quantizable layers; copies of a Split are
            found under the name of the blob that the Split copies.
        smallest_gain: by what factor the steps of int8 must get smaller to make a shift worth it.

    Returns:
        The new model, to be quantized, and its table, with the activation rows of readers changed; `changed` names the
        blobs that are stored shifted, copies included.

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
        TableError: a table that does not fit the model.
    """
    require_sound_float(model)
    table.check(model)
    floats = prevented(model, table)
    return fold_shifts(model, table, _shifts(model, table, floats, ranges, smallest_gain), floats)


def quantizers(model: Model, table: Table, ranges: Ranges) -> dict[str, Quantizer]:
    """Return how the blobs that `fold_asymmetric` would store shifted become int8, by name, but for the sign."""
    return quantizers_of(_shifts(model, table, prevented(model, table), ranges))


def _shifts(
    model: Model, table: Table, floats: Collection[str], ranges: Ranges, smallest_gain: float = SMALLEST_GAIN
) -> dict[str, Shift]:
    """Return the shifts of the blobs for which a shift is worth it, and of their copies, in model order."""
    graph = model.graph()
    shifts: dict[str, Shift] = {}
    for layer in model.layers:
        if not is_linear_or_scale(layer) or layer.tops[0] not in ranges:
            continue
        copies = copies_of(layer.tops[0], graph)
        readers = graph.readers(layer.tops[0])
        scales = [
            float(table[reader.name][0]) for reader in readers if can_read_shifted(reader) and reader.name not in floats
        ]
        if (
            scales
            and all(map(can_read_shifted, readers))
            and any(reader.op.pads for reader in readers)
            and all(map(graph.consumers, copies))  # no output of the model
        ):
            shift = _shift(*ranges[layer.tops[0]], scales, smallest_gain)
            shifts |= dict.fromkeys(copies, shift) if shift is not None else {}
    return {top: shifts[top] for layer in model.layers for top in layer.tops if top in shifts}


def _shift(low: float, high: float, scales: Sequence[float], smallest_gain: float) -> Shift | None:
    """Return the shift of values from `low` to `high`; None if it gains nothing, or the readers' scales differ."""
    threshold = 127 / scales[0]
    low, high = max(min(low, 0.0), -threshold), min(max(high, 0.0), threshold)  # zeros of a border belong to it
    half, largest = (high - low) / 2, max(high, -low)
    if len(set(scales)) > 1 or half == 0 or largest < smallest_gain * half:
        return None
    scale = scales[0] * largest / half  # a threshold with headroom above the largest keeps it
    middle = float(np.rint((low + high) / 2 * scale)) / scale
    return Shift(-1 if middle > 0 else 1, middle, scale)
