"""Blobs of the float model and of the int8 model made from it: sums over samples, and how the int8 model stores what
float has.

An int8 model may store a blob in another way than the float model: shifted by a zero point, perhaps with the other
sign, or each channel shifted or scaled by itself (pyncnnq/optimization).  Its numbers y then stand for x = gain * y +
offset.  This reading is taken from the float model that the int8 weights stand for (`pyncnnq.dequantize`), so that no
rounding of activations disturbs it, and from the median
channel: what a few channels do otherwise is an error of theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.decibels import decibels
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Model
from pyncnnq.runtime.protocol import Work
from pyncnnq.statistics.channels import channel_rows

Floats = NDArray[np.float64]

AS_FLOAT, SHIFTED, CHANNELS_SHIFTED, CHANNELS_SCALED = "as in float", "shifted", "channels shifted", "channels scaled"

_TECHNIQUES = {"zero points": (SHIFTED,), "centring": (CHANNELS_SHIFTED, CHANNELS_SCALED)}
_TECHNIQUES |= dict.fromkeys(("scalar folding", "scale layers", "equalization"), (CHANNELS_SCALED,))

_SURE, _LIKELY = 6.0, 20.0
"""In dB: a blob that most channels match better than this is taken as it is; the second, where the int8 model is said
to be rewritten."""
_IMPROVEMENT = 10.0
"""In dB: a reading that is not better by so much is not believed."""
_EXACT = 1e-12
"""Sums of squares are as good as equal where they differ by this share."""


@dataclass(frozen=True)
class Summing:
    """Run several models on samples and sum the channels of their common blobs.

    Attributes:
        models: the files of the float model, of the float model that the int8 weights stand for, and of the int8 model.
        inputs, samples: as in `pyncnnq.runtime.protocol.Job`.
        blobs: in the order in which the networks compute them.
    """

    models: Sequence[tuple[Path, Path]]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    blobs: Sequence[str]

    def start(self) -> Work:
        """See `pyncnnq.runtime.protocol.Job`."""
        from pyncnnq.evaluation.worker import BlobSums  # which imports ncnn: in workers only

        return BlobSums(self)


@dataclass(frozen=True)
class Sums:
    """Of one blob, by channel: x in the float model, y in another.  Arrays of shape (channels,).

    Attributes:
        shape: of the blob, in NumPy's order.
        count: how many values a channel has.
        x, xx: sums of x and of its squares.
        absmax: the largest magnitude of x.
        y, yy, xy: for each other model sums of y, of its squares and of the products; infinite where the shapes differ.
    """

    shape: tuple[int, ...]
    count: int
    x: Floats
    xx: Floats
    absmax: Floats
    y: tuple[Floats, ...]
    yy: tuple[Floats, ...]
    xy: tuple[Floats, ...]


def sums(exact: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> Sums:
    """Of one sample."""
    x = channel_rows(exact.astype(np.float64))
    y, yy, xy = [], [], []
    for other in others:
        if other.shape == exact.shape:
            values = channel_rows(other.astype(np.float64))
            y.append(values.sum(axis=1))
            yy.append(np.square(values).sum(axis=1))
            xy.append((x * values).sum(axis=1))
        else:
            for found in (y, yy, xy):
                found.append(np.full(x.shape[0], np.inf))
    return Sums(
        exact.shape,
        x.shape[1],
        x.sum(axis=1),
        np.square(x).sum(axis=1),
        np.abs(x).max(axis=1, initial=0.0),
        tuple(y),
        tuple(yy),
        tuple(xy),
    )


def total(parts: Sequence[Sums]) -> Sums | None:
    """Of all samples, in their order; None where the number of channels is not always the same."""
    first = parts[0]
    if any(part.x.shape != first.x.shape for part in parts):
        return None
    return Sums(
        first.shape,
        sum(part.count for part in parts),
        np.sum([part.x for part in parts], axis=0),
        np.sum([part.xx for part in parts], axis=0),
        np.max([part.absmax for part in parts], axis=0),
        *(tuple(np.sum([getattr(part, name) for part in parts], axis=0)) for name in ("y", "yy", "xy")),
    )


@dataclass(frozen=True)
class Reading:
    """How the int8 model stores a blob: x = gain * y + offset, by channel.

    Attributes:
        kind: in words.
        gain, offset: shape (channels,).
    """

    kind: str
    gain: Floats
    offset: Floats

    @property
    def is_plain(self) -> bool:
        """Whether it is stored as in float."""
        return self.kind == AS_FLOAT


def plain(count: int) -> Reading:
    """Of a blob with so many channels that is stored as in float."""
    return Reading(AS_FLOAT, np.ones(count), np.zeros(count))


def noise(found: Sums, reading: Reading, other: int) -> Floats:
    """Sums of (gain * y + offset - x) squared, by channel, of one of the other models."""
    gain, offset = reading.gain, reading.offset
    y, yy, xy = found.y[other], found.yy[other], found.xy[other]
    with np.errstate(all="ignore"):
        squares = gain**2 * yy + 2 * gain * offset * y + offset**2 * found.count
        result = squares + found.xx - 2 * gain * xy - 2 * offset * found.x
        return np.where(np.isfinite(result), np.where(result > _EXACT * (squares + found.xx), result, 0.0), np.inf)


def sqnr(found: Sums, reading: Reading, other: int) -> float:
    """Signal-to-quantization-noise ratio of a blob in dB."""
    return decibels(math.fsum(found.xx), float(noise(found, reading, other).sum()))


def allowed_readings(int8: Model) -> Collection[str] | None:
    """What the JSON file that `pyncnnq quantize` writes beside an int8 model says of how its blobs are stored; None
    without such a file."""
    if int8.param_path is None:
        return None
    try:
        techniques = json.loads(int8.param_path.with_suffix(".json").read_text())["chosen"]["techniques"]
        return {kind for technique in techniques for kind in _TECHNIQUES.get(technique, ())}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(found: Sums, allowed: Collection[str] | None) -> Reading:
    """How the int8 model stores a blob.

    Args:
        found: its sums; of the other models the first is the float model that the int8 weights stand for.
        allowed: kinds of readings that there may be beside "as in float"; None if that is not known.
    """
    as_it_is = plain(found.x.size)
    x, y = found.x / found.count, found.y[0] / found.count
    with np.errstate(all="ignore"):
        spread, other_spread = found.xx / found.count - x**2, found.yy[0] / found.count - y**2
        common = found.xy[0] / found.count - x * y
        active = np.isfinite(common) & (spread > _EXACT * found.xx) & (other_spread > _EXACT * found.yy[0])
        if not active.any():
            return as_it_is
        sign = -1.0 if np.median(common[active]) < 0 else 1.0
        shift = x - sign * y
        slope = np.where(active, common / np.where(active, other_spread, 1), sign)
    signs = np.full(x.size, sign)
    choices = [
        as_it_is,
        Reading(SHIFTED, signs, np.full(x.size, np.median(shift[active]))),
        Reading(CHANNELS_SHIFTED, signs, np.where(np.isfinite(shift), shift, 0.0)),
        Reading(CHANNELS_SCALED, np.where(slope == 0, 1.0, slope), np.where(np.isfinite(shift), x - slope * y, 0.0)),
    ]
    chosen = _choose(found, choices, active, allowed)
    return (
        _with_scaled_channels(found, chosen, choices[-1], active) if allowed and CHANNELS_SCALED in allowed else chosen
    )


def _choose(
    found: Sums, choices: Sequence[Reading], active: NDArray[np.bool_], allowed: Collection[str] | None
) -> Reading:
    """The simplest reading that fits the median channel, of choices that begin with "as in float"."""
    typical = [_typical(found, one, active) for one in choices]
    if typical[0] >= (_LIKELY if allowed else _SURE):
        return choices[0]
    usable = [place for place, one in enumerate(choices) if place == 0 or allowed is None or one.kind in allowed]
    best = max(typical[place] for place in usable)
    if best < typical[0] + _IMPROVEMENT:
        return choices[0]
    return next(choices[place] for place in usable if typical[place] > best - _IMPROVEMENT / 2)


def _with_scaled_channels(found: Sums, reading: Reading, scaled: Reading, active: NDArray[np.bool_]) -> Reading:
    """The same, but for the channels that are known to be scaled: equalization may scale few of them."""
    apart = active & (noise(found, reading, 0) > 10 ** (_IMPROVEMENT / 10) * noise(found, scaled, 0))
    if not apart.any():
        return reading
    return Reading(
        CHANNELS_SCALED, np.where(apart, scaled.gain, reading.gain), np.where(apart, scaled.offset, reading.offset)
    )


def _typical(found: Sums, reading: Reading, active: NDArray[np.bool_]) -> float:
    """The SQNR of the median channel in dB, by what varies in it; at most 60."""
    share = noise(found, reading, 0)[active] / found.xx[active]
    return -10 * math.log10(max(float(np.median(share)), 1e-6))
