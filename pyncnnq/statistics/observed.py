"""Which blobs calibration looks at, and what they must look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Layer, Model, ModelFiles
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Calibrated
from pyncnnq.runtime.protocol import FailureError, Job


@dataclass(frozen=True)
class Reader:
    """A quantizable layer that reads a blob.

    Attributes:
        layer: the layer, for messages.
        channels: how many channels it takes: of a 3-D blob its channels, of a flat one its elements.
        flattened: it takes a 3-D blob as one vector, so that all its elements count.
        of_columns: it takes any blob as a matrix, of which the columns count.
    """

    layer: str
    channels: int
    flattened: bool
    of_columns: bool = False


@dataclass(frozen=True)
class ObservedBlob:
    """A blob to observe.

    Attributes:
        name: the blob's name.
        readers: the quantizable layers that read it.
    """

    name: str
    readers: tuple[Reader, ...]


@dataclass(frozen=True, kw_only=True)
class ObservedJob(Job):
    """A job on blobs that feed quantizable layers of a float model.

    Attributes:
        model: its files.
        blobs: in the order in which the network computes them.
    """

    model: ModelFiles
    blobs: Sequence[ObservedBlob]

    @classmethod
    def of(
        cls,
        model: Model,
        samples: Sequence[tuple[Path, ...]],
        inputs: Sequence[InputSpec],
        blobs: Sequence[ObservedBlob],
    ) -> Self:
        """Return the job on samples.

        Raises:
            ModelError: the model is int8 already, or was not read from files.
        """
        require_float(model)
        named = list(zip(model.inputs, inputs, strict=True))
        return cls(inputs=named, samples=samples, model=model.files, blobs=blobs)


def observed_blobs(model: Model, layers: Iterable[Layer] | None = None) -> list[ObservedBlob]:
    """Return the blobs that feed quantizable layers, each once, in the order in which the network computes them.

    Siblings behind a Split read the same numbers, so the blob that the Split copies stands for all of them.  The order
    matters: with light mode on, ncnn frees a blob when its last consumer has run, and a blob's consumers all come after
    the layer that makes it.
    """
    graph = model.graph()
    wanted: dict[str, list[Reader]] = {}
    for layer in model.layers if layers is None else layers:
        op = layer.op
        if not isinstance(op, Calibrated) or not op.needs_activation_scale:
            continue
        name = graph.split_root(layer.bottoms[0])
        wanted.setdefault(name, []).append(Reader(str(layer), op.input_channels(), op.flattens))
    return [ObservedBlob(top, tuple(wanted[top])) for layer in model.layers for top in layer.tops if top in wanted]


def check_readers(blob: ObservedBlob, mat: Any) -> None:
    """Make sure that a blob, as an ncnn.Mat, has the shape that its readers take.

    Raises:
        FailureError: naming the reader, and both numbers of channels.
    """
    dims, w, h, d, c, elempack = mat.dims, mat.w, mat.h, mat.d, mat.c, mat.elempack
    if mat.empty():
        raise FailureError(f"blob {blob.name} is empty, so {blob.readers[0].layer} has nothing to compute on")
    if mat.elemsize != 4 * elempack:
        raise FailureError(f"blob {blob.name} is not float32")
    for reader in blob.readers:
        # ncnn itself checks no shape: a reader would compute garbage from whatever lies behind its input.
        if dims == 1:
            channels = w * elempack
        elif reader.of_columns:
            channels = w
        elif dims == 2:
            # InnerProduct takes each row of a matrix as a vector, unless only the matrix as a whole is as long as it
            # needs.
            channels = w if w == reader.channels else w * h * elempack
        else:
            channels = c * elempack * (w * h * d if reader.flattened else 1)
        if channels != reader.channels:
            shape = f"{w}x{h}x{d}x{c * elempack}" if dims >= 3 else f"{w * h * elempack}"
            raise FailureError(
                f"{reader.layer} takes {reader.channels} input channels, but finds {channels} in its input "
                f"({shape}); check `size=`"
            )


def not_finite(blob: ObservedBlob) -> FailureError:
    """Return the error for a blob that holds an infinity or a NaN."""
    return FailureError(
        f"blob {blob.name} holds an infinity or a NaN; do the weights, `mean=` and `norm=` fit this model?"
    )
