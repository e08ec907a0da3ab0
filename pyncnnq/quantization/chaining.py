"""Which int8 convolutions hand their output on as int8 (ncnn's tools/quantize/ncnn2int8.cpp, fuse_requantize)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyncnnq.calibration.table import Scales
from pyncnnq.model import Graph, Layer
from pyncnnq.quantization.layers import chain_layer

_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")


@dataclass(frozen=True)
class Chain:
    """A convolution whose output is read by int8 convolutions only.

    Attributes:
        producer: its name.
        consumers: the names of those that read it, directly or behind one Split.
        common_scale: whether their input scales are one and the same; if not, the producer is left to write float.
    """

    producer: str
    consumers: tuple[str, ...]
    common_scale: bool


def chain(layers: Sequence[Layer]) -> list[Chain]:
    """Chain, in place, every convolution that can be; returns these, and those that only lack a common scale.

    ncnn2int8 takes the first consumer's scale when there are several, and the others then read wrong numbers.
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
    """The int8 convolutions that read the output of an int8 convolution; empty when anything else reads it too."""
    if not _is_int8_convolution(layer):
        return []
    blobs = layer.tops
    readers = graph.consumers(blobs[0])
    if len(readers) == 1 and readers[0].type == "Split":
        blobs = readers[0].tops
    found = []
    for blob in blobs:
        readers = graph.consumers(blob)
        if len(readers) != 1 or not _is_int8_convolution(readers[0]):  # none: the blob is an output of the model
            return []
        found.append(readers[0])
    return found


def _is_int8_convolution(layer: Layer) -> bool:
    return layer.type in _CONVOLUTIONS and layer.op.is_int8 and not layer.op.has_dynamic_weight


def _input_scale(layer: Layer) -> Scales:
    return layer.weights["bottom_blob_int8_scales"].float32()
