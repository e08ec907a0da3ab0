"""Chains of int8 convolutions, which hand their output on as int8 (fuse_requantize in ncnn's
tools/quantize/ncnn2int8.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyncnnq.calibration.table import Scales
from pyncnnq.model import Graph, Layer
from pyncnnq.model.ops import Convolution
from pyncnnq.quantization.quantize_layer import chain_layer


@dataclass(frozen=True)
class Chain:
    """A convolution whose output is read by int8 convolutions only.

    Attributes:
        producer: the name of the convolution.
        consumers: the names of the convolutions that read it, directly or behind one Split.
        common_scale: whether the consumers have one common input scale; if not, the producer is left to write float.
    """

    producer: str
    consumers: tuple[str, ...]
    common_scale: bool


def chain(layers: Sequence[Layer]) -> list[Chain]:
    """Let every int8 convolution that is read by int8 convolutions only write int8, in place.

    ncnn2int8 takes the first consumer's scale when there are several, and the others then read wrong numbers.

    Returns:
        These convolutions, and those that only lack a common scale.
    """
    graph = Graph(layers)
    chains = []
    for layer in layers:
        consumers = _int8_consumers(layer, graph)
        if consumers:
            scales = [_input_scale(consumer) for consumer in consumers]
            common = len({scale.tobytes() for scale in scales}) == 1
            if common:
                chain_layer(layer, scales[0])
            chains.append(Chain(layer.name, tuple(consumer.name for consumer in consumers), common))
    return chains


def _int8_consumers(layer: Layer, graph: Graph) -> list[Layer]:
    """Return the int8 convolutions that read the output of an int8 convolution; none if anything else reads it."""
    if not _is_int8_convolution(layer):
        return []
    blobs = layer.tops
    readers = graph.consumers(blobs[0])
    if len(readers) == 1 and readers[0].type == "Split":
        blobs = readers[0].tops
    consumers = []
    for blob in blobs:
        readers = graph.consumers(blob)
        if len(readers) != 1 or not _is_int8_convolution(readers[0]):  # none: the blob is an output of the model
            return []
        consumers.append(readers[0])
    return consumers


def _is_int8_convolution(layer: Layer) -> bool:
    op = layer.op
    return isinstance(op, Convolution) and op.is_int8 and not op.has_dynamic_weight


def _input_scale(layer: Layer) -> Scales:
    return layer.weights["bottom_blob_int8_scales"].float32()
