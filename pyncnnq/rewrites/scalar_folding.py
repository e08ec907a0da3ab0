"""Scalars folded: x * m + a, written as BinaryOp layers, becomes part of the layer before it, or one Scale layer.

Some networks (PP-OCR's "learnable affine blocks") multiply whole blobs by a number and add another number.  Such layers
cost time, and stand in the way of rewrites that change the channels of a blob each by itself, such as cross-layer
equalization.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pyncnnq.model import Graph, Layer, Model, dimensions
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import BinaryOp, Calibrated, InnerProduct, Operation
from pyncnnq.model.params import FLOAT_LIMIT
from pyncnnq.rewrites.channel_flow import channels_from
from pyncnnq.rewrites.linear import is_linear, multiply_and_add, outputs_of, turn_into_scale
from pyncnnq.rewrites.rewritten import Rewritten

_AFFINE: Mapping[Operation, Callable[[float], tuple[float, float]]] = {
    Operation.ADD: lambda number: (1.0, number),
    Operation.SUB: lambda number: (1.0, -number),
    Operation.MUL: lambda number: (number, 0.0),
    Operation.DIV: lambda number: (1 / number if number else math.inf, 0.0),
    Operation.RSUB: lambda number: (-1.0, number),
}
"""m and a of x * m + a, by the operation of x and a number."""


def fold_scalars(model: Model) -> Rewritten:
    """Remove BinaryOp layers that add, subtract, multiply or divide by a number, wherever another layer can do it.

    Chains of such layers, in which each blob but the last has one reader, go

    - into the weights and bias of a Convolution, ConvolutionDepthWise or InnerProduct without activation whose output
      nothing else reads;
    - or, if convolutions that can be int8 read the result, or if there are several layers, into one Scale with a factor
      and a bias for each channel, in place of the last BinaryOp.  For this the blob must have 3 dimensions for certain;
      the weights of a convolution that reads the result, or that the blob comes from, tell how many channels it has.

    What the model computes in float stays as it is, to rounding; its inputs and outputs keep their names, and all blobs
    that are left keep their values.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the layers that were removed.

    Raises:
        ModelError: a model that is int8 already, or sizes that no layer can have.
    """
    require_float(model)
    folded = model.copy()
    graph = folded.graph()
    dims = dimensions(folded.layers)
    removed: set[str] = set()
    for chain in _chains(folded.layers, graph):
        bottom, tops = chain[0].bottoms[0], chain[-1].tops
        factor, offset = _composed(chain)
        producer = graph.producer(bottom)
        if not all(abs(number) < FLOAT_LIMIT for number in (factor, offset)):
            continue
        if producer is not None and is_linear(producer) and graph.consumers(bottom) == [chain[0]]:
            if multiply_and_add(producer, factor, offset):
                producer.tops = tops
                removed.update(layer.name for layer in chain)
        elif dims.get(bottom) == 3 and (channels := _channels(chain, graph)):
            turn_into_scale(chain[-1], np.full(channels, factor), np.full(channels, offset))
            chain[-1].bottoms = [bottom]
            removed.update(layer.name for layer in chain[:-1])
    names = tuple(layer.name for layer in folded.layers if layer.name in removed)
    folded.layers = [layer for layer in folded.layers if layer.name not in removed]
    return Rewritten(folded, names, {})


def _chains(layers: Sequence[Layer], graph: Graph) -> list[list[Layer]]:
    """Return the chains of BinaryOps with a number, in model order: each but the first alone reads the one before."""
    chains: dict[str, list[Layer]] = {}  # by the blob that the last layer writes
    for layer in layers:
        if _affine(layer) is not None:
            bottom = layer.bottoms[0]
            before = chains.pop(bottom) if bottom in chains and graph.consumers(bottom) == [layer] else []
            chains[layer.tops[0]] = [*before, layer]
    return list(chains.values())


def _affine(layer: Layer) -> tuple[float, float] | None:
    """Return m and a of a layer that computes x * m + a; None for another layer."""
    op = layer.op
    if not isinstance(op, BinaryOp) or not op.with_scalar or len(layer.bottoms) != 1 or op.op_type not in _AFFINE:
        return None
    return _AFFINE[op.op_type](op.b)


def _composed(chain: Sequence[Layer]) -> tuple[float, float]:
    """Return m and a of all layers after one another."""
    factor, offset = 1.0, 0.0
    for m, a in filter(None, map(_affine, chain)):
        factor, offset = m * factor, m * offset + a
    return factor, offset


def _channels(chain: Sequence[Layer], graph: Graph) -> int | None:
    """Return how many channels the blob has, by convolutions; None if they do not tell, or a Scale would be of no use.

    A Scale is of use where a convolution reads the result (an InnerProduct knows the elements alone), or where it
    replaces several layers.
    """
    readers = [
        layer
        for layer in graph.readers(chain[-1].tops[0])
        if layer.op.needs_activation_scale and not isinstance(layer.op, InnerProduct)
    ]
    if readers:
        return readers[0].as_op(Calibrated).input_channels()
    producer = channels_from(graph.producer(chain[0].bottoms[0]), graph)
    if len(chain) == 1 or producer is None or isinstance(producer.op, InnerProduct):
        return None
    return outputs_of(producer)
