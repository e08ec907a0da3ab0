"""What layers do with the channels that they read: copy or keep them, and how many they write."""

from __future__ import annotations

from collections.abc import Callable

from pyncnnq.model import Graph, Layer
from pyncnnq.model.ops import ActivationOp, BatchNorm, BinaryOp, Calibrated, Interp, Scale, Split

_KEEPING = (ActivationOp, BatchNorm, BinaryOp, Scale, Split)
"""Layers that write as many channels as they read, if they read one blob."""


def is_sum(layer: Layer) -> bool:
    """Return whether a layer is a BinaryOp that adds two blobs."""
    return isinstance(layer.op, BinaryOp) and layer.op.is_addition


def is_split(layer: Layer) -> bool:
    """Return whether a layer copies the blob that it reads."""
    return isinstance(layer.op, Split)


def keeps_constants(layer: Layer) -> bool:
    """Return whether a constant added to all values of a channel comes out as it is: a Split or an Interp."""
    return isinstance(layer.op, Split) or (isinstance(layer.op, Interp) and len(layer.bottoms) == 1)


def copies_of(blob: str, graph: Graph, copies: Callable[[Layer], bool] = is_split) -> list[str]:
    """Return a blob, and all blobs that layers which copy make of it."""
    blobs = [blob]
    for name in blobs:
        blobs += [top for layer in graph.consumers(name) if copies(layer) for top in layer.tops]
    return blobs


def channels_from(layer: Layer | None, graph: Graph) -> Layer | None:
    """Return the quantizable layer whose outputs are the channels that a layer writes: itself, or one before it."""
    while layer is not None and not isinstance(layer.op, Calibrated):
        keeps = isinstance(layer.op, _KEEPING) and len(layer.bottoms) == 1
        layer = graph.producer(layer.bottoms[0]) if keeps else None
    return layer
