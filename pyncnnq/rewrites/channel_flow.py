"""What layers do with the channels that they read: copy, add, multiply, keep or rearrange them."""

from __future__ import annotations

from collections.abc import Callable

from pyncnnq.model import Graph, Layer
from pyncnnq.model.quantizable import ACTIVATION_TYPES

NON_LINEAR = ("CELU", "ELU", "GELU", "HardSigmoid", "HardSwish", "Mish", "SELU", "Sigmoid", "Softplus", "Swish", "TanH")
"""Non-linear activation layers, through which no factor of a channel goes."""
HOMOGENEOUS = ("ReLU", "PReLU", "Dropout", "Interp", "Pooling")
"""Layers that write a positive multiple of each channel if they read one."""
REARRANGING = ("Split", "Slice", "Concat", "ShuffleChannel", "Reshape", "Flatten", "Permute", "Squeeze", "ExpandDims")
"""Layers that only move values."""
_KEEPING = (*NON_LINEAR, "BatchNorm", "BinaryOp", "Clip", "PReLU", "ReLU", "Scale", "Split")
"""Layers that write as many channels as they read, if they read one blob."""
_ADD, _MULTIPLY = 0, 2  # op_type of a BinaryOp


def is_addition(layer: Layer) -> bool:
    """Return whether a layer is a BinaryOp that adds two blobs."""
    return layer.type == "BinaryOp" and layer.params.get_int(0, 0) == _ADD and len(set(layer.bottoms)) == 2


def is_product(layer: Layer) -> bool:
    """Return whether a layer is a BinaryOp that multiplies two blobs."""
    return layer.type == "BinaryOp" and layer.params.get_int(0, 0) == _MULTIPLY and len(layer.bottoms) == 2


def is_split(layer: Layer) -> bool:
    """Return whether a layer copies what it reads."""
    return layer.type == "Split"


def keeps_constants(layer: Layer) -> bool:
    """Return whether a constant added to all values of a channel comes out as it is: a Split or an Interp."""
    return layer.type == "Split" or (layer.type == "Interp" and len(layer.bottoms) == 1)


def copies_of(blob: str, graph: Graph, copies: Callable[[Layer], bool] = is_split) -> list[str]:
    """Return a blob, and all blobs that layers which copy make of it."""
    blobs = [blob]
    for name in blobs:
        blobs += [top for layer in graph.consumers(name) if copies(layer) for top in layer.tops]
    return blobs


def channels_from(layer: Layer | None, graph: Graph) -> Layer | None:
    """Return the quantizable layer whose outputs are the channels that a layer writes: itself, or one before it."""
    while layer is not None and layer.type not in ACTIVATION_TYPES:
        layer = graph.producer(layer.bottoms[0]) if layer.type in _KEEPING and len(layer.bottoms) == 1 else None
    return layer
