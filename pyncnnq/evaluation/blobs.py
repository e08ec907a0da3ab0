"""Blobs of the float model and of the int8 model made from it: sums over samples, and errors in the float model's
terms.

An int8 model may store a blob in another way than the float model: shifted by a zero point, perhaps with the other
sign, or each channel shifted or scaled by itself.  Its manifest says so; without a manifest every blob is taken to be
stored as in float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.decibels import decibels
from pyncnnq.errors import ModelError
from pyncnnq.model import Model
from pyncnnq.quantization import manifest_of
from pyncnnq.quantization.storage import PLAIN, BlobStorage, Floats
from pyncnnq.runtime.protocol import Job
from pyncnnq.statistics.channels import channel_rows

AS_FLOAT, SHIFTED, CHANNELS_SHIFTED, CHANNELS_SCALED = "as in float", "shifted", "channels shifted", "channels scaled"

_EXACT = 1e-12
"""Sums of squares are as good as equal where they differ by this share."""


@dataclass(frozen=True, kw_only=True)
class BlobSumsJob(Job):
    """Run several models on samples and sum the channels of their common blobs.

    Attributes:
        models: the files of the float model and of each other model.
        blobs: in the order in which the networks compute them.
    """

    models: Sequence[tuple[Path, Path]]
    blobs: Sequence[str]

    def start(self) -> _Summing:
        return _Summing(self)


@dataclass(frozen=True, kw_only=True)
class BlobSums:
    """Sums of a blob by channel, x in the float model, y in another; arrays of shape (channels,).

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


class _Summing:
    """Sums of the blobs that several models have in common, sample by sample."""

    def __init__(self, job: BlobSumsJob) -> None:
        from pyncnnq.runtime.network import Network

        self._networks = [Network(*files) for files in job.models]
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> list[BlobSums]:
        # Blob by blob, so that no more than one of each model is held.
        blobs = zip(*(network.arrays(inputs, self._blobs) for network in self._networks), strict=True)
        sums = []
        with np.errstate(all="ignore"):
            for (_, exact), *others in blobs:
                sums.append(blob_sums(exact, [rough for _, rough in others]))
        return sums

    def result(self) -> None:
        return None


def blob_sums(exact: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> BlobSums:
    """Return the sums of a blob of one sample in the float model and in others."""
    x = channel_rows(exact.astype(np.float64))
    y, yy, xy = [], [], []
    for other in others:
        if other.shape == exact.shape:
            values = channel_rows(other.astype(np.float64))
            y.append(values.sum(axis=1))
            yy.append(np.square(values).sum(axis=1))
            xy.append((x * values).sum(axis=1))
        else:
            for sums in (y, yy, xy):
                sums.append(np.full(x.shape[0], np.inf))
    return BlobSums(
        shape=exact.shape,
        count=x.shape[1],
        x=x.sum(axis=1),
        xx=np.square(x).sum(axis=1),
        absmax=np.abs(x).max(axis=1, initial=0.0),
        y=tuple(y),
        yy=tuple(yy),
        xy=tuple(xy),
    )


def total(parts: Sequence[BlobSums]) -> BlobSums | None:
    """Return the sums of a blob over all samples, added in their order; None where its number of channels changes."""
    first = parts[0]
    if any(part.x.shape != first.x.shape for part in parts):
        return None
    y, yy, xy = (tuple(np.sum([getattr(part, name) for part in parts], axis=0)) for name in ("y", "yy", "xy"))
    return BlobSums(
        shape=first.shape,
        count=sum(part.count for part in parts),
        x=np.sum([part.x for part in parts], axis=0),
        xx=np.sum([part.xx for part in parts], axis=0),
        absmax=np.max([part.absmax for part in parts], axis=0),
        y=y,
        yy=yy,
        xy=xy,
    )


def storage_of(int8: Model, sums: dict[str, BlobSums]) -> dict[str, BlobStorage]:
    """Return how an int8 model stores blobs, by their names in the float model.

    Raises:
        ModelError: its manifest cannot be read, or says something of another number of channels.
    """
    manifest = manifest_of(int8)
    known = manifest.blobs if manifest else {}
    for blob, storage in known.items():
        channels = sums[blob].x.size if blob in sums else storage.gain.size
        if not {storage.gain.size, storage.offset.size} <= {1, channels}:
            raise ModelError(
                f"{int8.param_path}: its manifest says how {storage.gain.size} channels of blob {blob} are stored, but "
                f"the blob has {channels}; quantize the model again"
            )
    return {blob: known.get(blob, PLAIN) for blob in sums}


def kind_of(storage: BlobStorage) -> str:
    """Return how a blob is stored, in words."""
    gain, offset = storage.gain, storage.offset
    if storage.is_plain:
        return AS_FLOAT
    if not ((np.abs(gain) == 1) & (gain == gain[0])).all():
        return CHANNELS_SCALED
    return SHIFTED if (offset == offset[0]).all() else CHANNELS_SHIFTED


def noise(sums: BlobSums, storage: BlobStorage, other: int) -> Floats:
    """Return sums of (gain * y + offset - x) squared, by channel, of one of the other models."""
    gain, offset = storage.gain, storage.offset
    y, yy, xy = sums.y[other], sums.yy[other], sums.xy[other]
    with np.errstate(all="ignore"):
        squares = gain**2 * yy + 2 * gain * offset * y + offset**2 * sums.count
        powers = squares + sums.xx - 2 * gain * xy - 2 * offset * sums.x
        return np.where(np.isfinite(powers), np.where(powers > _EXACT * (squares + sums.xx), powers, 0.0), np.inf)


def sqnr(sums: BlobSums, storage: BlobStorage, other: int) -> float:
    """Return the signal-to-quantization-noise ratio of a blob in one of the other models, in dB."""
    return decibels(math.fsum(sums.xx), float(noise(sums, storage, other).sum()))
