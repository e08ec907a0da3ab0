"""What each int8 layer does by itself: the float model's blobs go into the int8 layer alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, ModelFiles
from pyncnnq.quantization.storage import BlobStorage, Floats
from pyncnnq.runtime.protocol import Job
from pyncnnq.statistics.channels import along_channels

if TYPE_CHECKING:
    from pyncnnq.runtime.network import Network


@dataclass(frozen=True, kw_only=True)
class LoneLayer:
    """A layer of the int8 model, in files of its own.

    Attributes:
        files: a network of this layer and an Input for each bottom.
        bottoms: for each the name in the files, the blob of the float model, and how the int8 model stores that.
        tops: for each the blob, and how the int8 model stores it.
        scale: by which the first bottom becomes int8; None for a layer that finds its scales while running.
    """

    files: ModelFiles
    bottoms: Sequence[tuple[str, str, BlobStorage]]
    tops: Sequence[tuple[str, BlobStorage]]
    scale: float | None


@dataclass(frozen=True, kw_only=True)
class LocalErrorsJob(Job):
    """Run int8 layers alone on blobs of the float model.

    Attributes:
        model: the files of the float model.
        blobs: of the float model that the layers read or write, in the order in which it computes them.
        layers: the layers.
    """

    model: ModelFiles
    blobs: Sequence[str]
    layers: Sequence[LoneLayer]

    def start(self) -> _LocalErrors:
        return _LocalErrors(self)


@dataclass(frozen=True, kw_only=True)
class LocalError:
    """One layer on one sample.

    Attributes:
        signal: the sum of squares of its tops in float.
        noise: of the differences; infinite where the shapes differ or a value is not finite.
        count: how many values its first bottom has.
        saturated: how many of them lie outside of what int8 can represent.
        peak: the largest magnitude among them in steps of int8: 127 where the scale makes full use of it.
        token: of a matrix, the row that reaches farthest, numbered from 0.
        token_ratio: by how much it exceeds the median row; 1 of other blobs.
    """

    signal: float
    noise: float
    count: int
    saturated: int
    peak: float
    token: int
    token_ratio: float


class _LocalErrors:
    """Int8 layers alone on blobs of the float model, sample by sample."""

    def __init__(self, job: LocalErrorsJob) -> None:
        from pyncnnq.runtime.network import Network

        self._network = Network(*job.model)
        self._layers = [(layer, Network(*layer.files)) for layer in job.layers]
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> list[LocalError]:
        exact = dict(self._network.arrays(inputs, self._blobs))
        return [_local_error(layer, network, exact) for layer, network in self._layers]

    def result(self) -> None:
        return None


def _local_error(layer: LoneLayer, network: Network, exact: Mapping[str, NDArray[np.float32]]) -> LocalError:
    from pyncnnq.inputs.loading import owning_mat

    bottoms = [(name, stored(exact[blob], storage)) for name, blob, storage in layer.bottoms]
    mats = [(name, owning_mat(values)) for name, values in bottoms]
    tops = network.arrays(mats, [name for name, _ in layer.tops])
    signal = noise = 0.0
    with np.errstate(all="ignore"):
        for (name, rough), (_, storage) in zip(tops, layer.tops, strict=True):
            signal += float(np.square(exact[name], dtype=np.float64).sum())
            if rough.shape == exact[name].shape:
                noise += float(np.square(meant(rough, storage) - exact[name]).sum())
            else:
                noise = math.inf
        values = bottoms[0][1]
        codes = np.abs(values) * np.float32(layer.scale or 0)
    token, token_ratio = _widest_token(values)
    return LocalError(
        signal=signal,
        noise=noise if math.isfinite(noise) else math.inf,
        count=values.size,
        saturated=int(np.count_nonzero(codes >= 127.5)),  # the first that rounds to 128
        peak=float(codes.max(initial=0)),
        token=token,
        token_ratio=token_ratio,
    )


def _widest_token(values: NDArray[np.float32]) -> tuple[int, float]:
    """Return which row of a matrix reaches farthest, and by how much it exceeds the median one."""
    if values.ndim != 2:
        return 0, 1.0
    reach = np.abs(values).max(axis=1, initial=0)
    middle = float(np.median(reach[reach > 0])) if reach.any() else 0.0
    return (int(reach.argmax()), float(reach.max()) / middle) if middle else (0, 1.0)


def stored(blob: NDArray[np.float32], storage: BlobStorage) -> NDArray[np.float32]:
    """Return a blob of the float model as the int8 model stores it."""
    if storage.is_plain:
        return blob
    gain, offset = along_channels(storage.gain, blob), along_channels(storage.offset, blob)
    return ((blob - offset) / gain).astype(np.float32)


def meant(blob: NDArray[np.float32], storage: BlobStorage) -> Floats:
    """Return the values of the float model that a blob of the int8 model stands for."""
    if storage.is_plain:
        return blob.astype(np.float64)
    return blob * along_channels(storage.gain, blob) + along_channels(storage.offset, blob)


def alone(layer: Layer) -> Model:
    """Return a network of one int8 layer, with an Input for each of its bottoms."""
    return Model([Layer("Input", f"input_{bottom}", [], [bottom]) for bottom in dict.fromkeys(layer.bottoms)] + [layer])
