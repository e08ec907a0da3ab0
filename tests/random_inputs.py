"""Random inputs of sizes that a model may work at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs import InputLayer
from pyncnnq.inputs.data import stated_inputs
from pyncnnq.model import Graph, Model
from pyncnnq.model.ops import SDPA, Embed, InnerProduct, MemoryData, Reshape, Shape
from pyncnnq.model.ops.convolution import Convolution1D
from pyncnnq.model.ops.recurrent import Recurrent

SIDES = (224, 256, 320, 640, 416, 384, 512, 550, 128, 112, 64, 32, 300, 608)
"""Widths and heights that models without stated sizes are made for, the commonest first."""

_STEPS = 16
"""The length of a sequence."""

_WIDTHS = {"Gemm": "k", "LayerNorm": "affine_size", "RMSNorm": "affine_size", "MultiHeadAttention": "embed_dim"}
"""How layers call the length of the vectors that they read."""

_IMAGE_INFO = 2
"""Which blob of a Proposal is the height, the width and the scale of the image."""

_LEAST_AREA = 196
"""Smaller numbers may as well be a number of channels."""

Inputs = dict[str, NDArray[np.float32]]
"""An array for each input blob."""


def candidates(model: Model) -> Iterator[Inputs]:
    """Return inputs of several sizes; of one where the model states all."""
    stated = dict(zip(model.inputs, stated_inputs(model), strict=True))
    seen = set()
    for side in _likely_first(model):
        shapes = {blob: _whole(known) or _shape(model, blob, known, side) for blob, known in stated.items()}
        if tuple(shapes.values()) not in seen:
            seen.add(tuple(shapes.values()))
            yield random_inputs(model, shapes)


def _likely_first(model: Model) -> list[int]:
    """Return the sides, those first of whose maps at strides of 2 to 64 a Reshape or a constant states the size."""
    sizes = {
        size
        for layer in model.layers
        if isinstance(layer.op, Reshape | MemoryData)
        for size in (layer.op.w, layer.op.h, layer.op.c)
    }

    def found(side: int) -> int:
        areas = {(-(-side // stride)) ** 2 for stride in (2, 4, 8, 16, 32, 64)}
        return sum(size for size in sizes & areas if size >= _LEAST_AREA)

    return sorted(SIDES, key=found, reverse=True)


def smaller(model: Model, inputs: Inputs, part: float) -> Inputs:
    """Return inputs whose images have about `part` of the pixels, where the model leaves their sizes open: sides that
    are multiples of 32."""
    shapes = {name: array.shape for name, array in inputs.items()}
    for blob, known in zip(model.inputs, stated_inputs(model), strict=True):
        shape = shapes[blob]
        if len(shape) == 3 and _whole(known) is None:
            h, w = (max(32, round(size * part**0.5 / 32) * 32) for size in shape[1:])
            shapes[blob] = (shape[0], h, w)
    return random_inputs(model, shapes)


def random_inputs(model: Model, shapes: Mapping[str, Shape]) -> Inputs:
    """Return numbers from 0 to 1; what a layer takes as an index or as the size of an image is one."""
    rng = np.random.default_rng(0)
    image = max(shapes.values(), key=len, default=())
    inputs = {}
    for name, shape in shapes.items():
        types = {reader.type for reader in model.graph().readers(name)}
        if "Proposal" in types and len(shape) == 1:
            inputs[name] = np.array([*image[-2:], 1], np.float32)[: shape[0]]
        elif "Embed" in types:
            inputs[name] = rng.integers(0, 2, shape).astype(np.float32)
        else:
            inputs[name] = rng.uniform(0, 1, shape).astype(np.float32)
    return inputs


def _whole(stated: InputLayer) -> Shape | None:
    """Return the shape that a model states for an input; None if it leaves sizes open."""
    if not stated.w or (stated.c and not stated.h):
        return None
    return tuple(size for size in (stated.c, stated.d, stated.h, stated.w) if size)


def _heads(graph: Graph, blob: str) -> tuple[int, int]:
    """Return the number of heads and the length of their vectors, as the Reshape that writes a blob says, if it is not
    the one before."""
    layer = graph.producer(blob)
    while layer is not None and not isinstance(layer.op, Reshape):
        layer = graph.producer(layer.bottoms[0]) if layer.bottoms else None
    if layer is None:
        return 1, _STEPS
    op = layer.as_op(Reshape)
    return (op.c if op.c > 0 else op.h), op.w


def _shape(model: Model, blob: str, stated: InputLayer, side: int) -> Shape:
    """Return a shape that the first reader of a blob takes: a sequence, the state of an LSTM, or an image."""
    graph = model.graph()
    for reader in graph.readers(blob):
        place = [graph.split_root(bottom) for bottom in reader.bottoms].index(blob)
        op = reader.op
        if isinstance(op, Recurrent):
            return (1, op.num_output) if place else (_STEPS, op.weight_data_size // op.rows)
        if isinstance(op, InnerProduct):
            return (op.input_channels(),)
        if isinstance(op, Embed):
            return (_STEPS,)
        if reader.type in _WIDTHS:
            return (_STEPS, getattr(op, _WIDTHS[reader.type]))
        if isinstance(op, Convolution1D):
            return (op.input_channels(), side)
        if reader.type == "Proposal" and place == _IMAGE_INFO:
            return (3,)
        if reader.type == "RotaryEmbed" and place:
            return (_STEPS, _heads(graph, reader.bottoms[0])[1] // 2)
        if isinstance(op, SDPA):
            heads, width = _heads(graph, reader.bottoms[1])
            is_mask = place == len(reader.bottoms) - 3
            return (_STEPS, 2 * _STEPS) if is_mask else (heads, _STEPS, width)
    return (stated.c or 3, stated.h or side, stated.w or side)
