"""Which blobs calibration looks at, and what they must look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyncnnq.model import Layer, Model
from pyncnnq.quantizable import input_channels, needs_activation_scale


@dataclass(frozen=True)
class Reader:
    """What a quantizable layer takes.

    Attributes:
        layer: the layer, for messages.
        channels: how many channels it takes: of a 3-D blob its channels, of a flat one its elements.
        flattened: it takes a 3-D blob as one vector, so that all its elements count.
    """

    layer: str
    channels: int
    flattened: bool


@dataclass(frozen=True)
class ObservedBlob:
    """A blob to observe.

    Attributes:
        name: the blob's name.
        readers: the quantizable layers that read it.
    """

    name: str
    readers: tuple[Reader, ...]


def observed_blobs(model: Model, layers: Iterable[Layer] | None = None) -> list[ObservedBlob]:
    """The blobs that feed quantizable layers, each once, in the order in which the network computes them.

    Siblings behind a Split read the same numbers, so the blob that the Split copies stands for all of them.  The order matters: with light
    mode on, ncnn frees a blob when its last consumer has run, and a blob's consumers all come after the layer that makes it.
    """
    graph = model.graph()
    wanted: dict[str, list[Reader]] = {}
    for layer in filter(needs_activation_scale, model.layers if layers is None else layers):
        name = graph.split_root(layer.bottoms[0])
        wanted.setdefault(name, []).append(Reader(str(layer), input_channels(layer), layer.type == "InnerProduct"))
    return [ObservedBlob(top, tuple(wanted[top])) for layer in model.layers for top in layer.tops if top in wanted]
