"""What each channel of a blob holds: its range, mean and variance over all images and positions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.channels import channel_rows
from pyncnnq.statistics.observed import ObservedBlob, ObservedJob, check_readers, not_finite, observed_blobs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelRanges:
    """What the channels of one blob hold, in its own units; each array has shape (channels,).

    Attributes:
        min, max: the smallest and the largest value.
        mean, variance: over all values of all images.
        spread: how far an image's own extreme lies from that of other images: the standard deviation over images of the
            largest value or of the smallest, whichever is larger.
        zeros: the share of values that are 0.
    """

    min: Floats
    max: Floats
    mean: Floats
    variance: Floats
    spread: Floats
    zeros: Floats

    @property
    def absmax(self) -> Floats:
        """The largest magnitude of each channel."""
        return np.maximum(-self.min, self.max)

    def shifted(self, offsets: Floats) -> ChannelRanges:
        """Return the ranges of x + offset, with one offset for each channel; where that is not 0, no value is taken to
        be 0 any more."""
        zeros = np.where(offsets == 0, self.zeros, 0)
        return replace(self, min=self.min + offsets, max=self.max + offsets, mean=self.mean + offsets, zeros=zeros)

    def scaled(self, factors: Floats) -> ChannelRanges:
        """Return the ranges of x * factor, with one positive factor for each channel."""
        return replace(
            self,
            min=self.min * factors,
            max=self.max * factors,
            mean=self.mean * factors,
            variance=self.variance * factors**2,
            spread=self.spread * factors,
        )


def channel_ranges(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: Engine,
    *,
    strict: bool = False,
    progress: Update | None = None,
) -> dict[str, ChannelRanges]:
    """Run the model over all samples in stock ncnn and measure each channel of the blobs that feed quantizable layers.

    The result is the same for any number of workers.

    Args:
        model, samples, inputs, pool, strict, progress: see `observe_samples`.

    Returns:
        For each observed blob, by name, its ranges; copies behind a Split go by the name of the blob that the Split
        copies.  A blob whose number of channels changes from sample to sample is left out.

    Raises:
        ModelError, InputError, PyncnnqError: see `observe_samples`.
    """
    blobs = observed_blobs(model)
    job = RangesJob.of(model, samples, inputs, blobs)
    answers = run_job(job, pool, strict=strict, progress=progress)
    measured = {
        blob.name: merge_sums([sample[index] for sample in answers.samples]) for index, blob in enumerate(blobs)
    }
    return {name: ranges for name, ranges in measured.items() if ranges is not None}


@dataclass(frozen=True, kw_only=True)
class RangesJob(ObservedJob):
    """Measure the channels of blobs of a model."""

    def start(self) -> _Measurement:
        return _Measurement(self)


class _Measurement:
    """The sums of channels, sample by sample, of each blob in the order of the job."""

    def __init__(self, job: RangesJob) -> None:
        from pyncnnq.runtime.network import Network

        self._network = Network(*job.model)
        self._blobs = {blob.name: blob for blob in job.blobs}

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> tuple[ChannelSums, ...]:
        blobs = self._network.blobs(inputs, list(self._blobs), packed=False)
        return tuple(_measure(self._blobs[name], mat) for name, mat in blobs)

    def result(self) -> None:
        return None


def _measure(blob: ObservedBlob, mat: Any) -> ChannelSums:
    check_readers(blob, mat)
    with np.errstate(invalid="ignore"):
        sums = channel_sums(np.array(mat, np.float64))
    if not (np.isfinite(sums.min).all() and np.isfinite(sums.max).all()):
        raise not_finite(blob)
    return sums


@dataclass(frozen=True, kw_only=True)
class ChannelSums:
    """What one sample adds to the ranges of a blob; each array has shape (channels,).

    Attributes:
        count: how many values each channel has.
        min, max: the smallest and the largest value.
        sum, squares: of the values and of their squares.
        zeros: how many values are 0.
    """

    count: int
    min: Floats
    max: Floats
    sum: Floats
    squares: Floats
    zeros: Floats


def channel_sums(blob: Floats) -> ChannelSums:
    """Return what one sample's blob adds to the ranges of its channels."""
    channels = channel_rows(blob)
    return ChannelSums(
        count=channels.shape[1],
        min=channels.min(axis=1),
        max=channels.max(axis=1),
        sum=channels.sum(axis=1),
        squares=np.einsum("ij,ij->i", channels, channels),
        zeros=(channels == 0).sum(axis=1).astype(np.float64),
    )


def merge_sums(parts: Sequence[ChannelSums]) -> ChannelRanges | None:
    """Return the ranges of a blob over all samples, added up in their order; None if its number of channels changes
    from sample to sample."""
    if len({part.min.size for part in parts}) != 1:
        return None
    count = sum(part.count for part in parts)
    mean = _added(part.sum for part in parts) / count
    squares = _added(part.squares for part in parts) / count
    lows, highs = [part.min for part in parts], [part.max for part in parts]
    return ChannelRanges(
        min=np.minimum.reduce(lows),
        max=np.maximum.reduce(highs),
        mean=mean,
        variance=np.maximum(squares - mean**2, 0),
        spread=np.maximum(_deviation(lows), _deviation(highs)),
        zeros=_added(part.zeros for part in parts) / count,
    )


def _added(arrays: Iterable[Floats]) -> Floats:
    """Return the sum in the order given: the same on every CPU."""
    return functools.reduce(np.add, arrays)


def _deviation(arrays: Sequence[Floats]) -> Floats:
    mean = _added(arrays) / len(arrays)
    return np.sqrt(_added(np.square(array - mean) for array in arrays) / len(arrays))
