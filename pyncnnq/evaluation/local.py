"""What each int8 layer does by itself: the float model's blobs go into the int8 layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.evaluation.blobs import Floats, Reading
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Layer, Model
from pyncnnq.model.text import encode
from pyncnnq.runtime.protocol import Work
from pyncnnq.statistics.channels import along_channels


@dataclass(frozen=True)
class LoneLayer:
    """A layer of the int8 model, in files of its own.

    Attributes:
        files: a network of this layer and an Input for each bottom.
        bottoms: for each the name in the files, the blob of the float model, and how the int8 model stores that.
        tops: for each the blob, and how the int8 model stores it.
        scale: by which the first bottom becomes int8; None for a layer that finds its scales while running.
    """

    files: tuple[Path, Path]
    bottoms: Sequence[tuple[str, str, Reading]]
    tops: Sequence[tuple[str, Reading]]
    scale: float | None


@dataclass(frozen=True)
class Localizing:
    """Run int8 layers alone on blobs of the float model.

    Attributes:
        model: the files of the float model.
        inputs, samples: as in `pyncnnq.runtime.protocol.Job`.
        blobs: of the float model that the layers read or write, in the order in which it computes them.
        layers: the layers.
    """

    model: tuple[Path, Path]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    blobs: Sequence[str]
    layers: Sequence[LoneLayer]

    def start(self) -> Work:
        """See `pyncnnq.runtime.protocol.Job`."""
        from pyncnnq.evaluation.worker import LocalErrors  # which imports ncnn: in workers only

        return LocalErrors(self)


@dataclass(frozen=True)
class LocalError:
    """One layer on one sample.

    Attributes:
        signal: the sum of squares of its tops in float.
        noise: of the differences; infinite where the shapes differ or a value is not finite.
        count: how many values its first bottom has.
        saturated: how many of them lie outside of what int8 can represent.
        peak: the largest magnitude among them in steps of int8: 127 where the scale makes full use of it.
    """

    signal: float
    noise: float
    count: int
    saturated: int
    peak: float


def stored(blob: NDArray[np.float32], reading: Reading) -> NDArray[np.float32]:
    """A blob of the float model as the int8 model stores it."""
    if reading.is_plain:
        return blob
    return ((blob - along_channels(reading.offset, blob)) / along_channels(reading.gain, blob)).astype(np.float32)


def meant(blob: NDArray[np.float32], reading: Reading) -> Floats:
    """What a blob of the int8 model stands for, in the float model's terms."""
    values = blob.astype(np.float64)
    return (
        values
        if reading.is_plain
        else values * along_channels(reading.gain, blob) + along_channels(reading.offset, blob)
    )


def alone(layer: Layer, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a network of one layer."""
    return write(
        Model([Layer("Input", f"input_{bottom}", [], [bottom]) for bottom in layer.bottoms] + [layer]), folder, name
    )


def write(model: Model, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a model that is soon read again and then gone: unlike `Model.save`, without waiting for the disk."""
    files = folder / f"{name}.param", folder / f"{name}.bin"
    files[0].write_bytes(encode(model.param_text()))
    files[1].write_bytes(model.bin_bytes())
    return files
