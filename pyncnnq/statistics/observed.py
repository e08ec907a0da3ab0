"""Which blobs calibration looks at, and what they must look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyncnnq.model import Layer, Model
from pyncnnq.quantizable import input_channels, needs_activation_scale


@dataclass(frozen=True)
class ObservedBlob:
    """A blob to observe.

    Attributes:
        name: the blob's name.
        reader: the first quantizable layer that reads it, for messages.
        channels: how many channels the reader takes: of a 3-D blob its channels, of a flat one its elements.
        flattened: the reader takes a 3-D blob as one vector, so that all its elements count.
    """

    name: str
    reader: str
    channels: int
    flattened: bool


def observed_blobs(model: Model, layers: Iterable[Layer] | None = None) -> list[ObservedBlob]:
    """The blobs that feed quantizable layers, each once, in the order in which the network computes them.

    Siblings behind a Split read the same numbers, so the blob that the Split copies stands for all of them.  The order matters: with light
    mode on, ncnn frees a blob when its last consumer has run, and a blob's consumers all come after the layer that makes it.
    """
    graph = model.graph()
    wanted: dict[str, ObservedBlob] = {}
    for layer in filter(needs_activation_scale, model.layers if layers is None else layers):
        name = graph.split_root(layer.bottoms[0])
        wanted.setdefault(name, ObservedBlob(name, str(layer), input_channels(layer), layer.type == "InnerProduct"))
    return [wanted[top] for layer in model.layers for top in layer.tops if top in wanted]
