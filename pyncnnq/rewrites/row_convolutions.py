"""Convolutions along rows written as convolutions of pictures of height 1, which stock ncnn runs in int8.

A matrix of channels by elements becomes a blob of channels of one row each:

    Reshape -> Convolution or ConvolutionDepthWise -> Reshape

Between two such layers, and across activations between them, nothing is reshaped.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyncnnq.model import Graph, Layer, Model, Params
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Convolution, Convolution1D, ConvolutionDepthWise, Reshape
from pyncnnq.model.ops.convolution import SAME
from pyncnnq.rewrites.rewritten import Rewritten, unused

_SAME_WORDS = (
    "num_output",
    "kernel_w",
    "dilation_w",
    "stride_w",
    "pad_left",
    "pad_right",
    "pad_value",
    "bias_term",
    "weight_data_size",
    "activation_type",
    "activation_params",
    "feature_mask",
)
"""What both kinds of layers state alike."""


def widen_row_convolutions(model: Model) -> Rewritten:
    """Write Convolution1D and ConvolutionDepthWise1D layers as Convolution and ConvolutionDepthWise layers.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the layers, which keep their names.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    widening = _Widening(model)
    changed = tuple(layer.name for layer in model.layers if widening.take(layer))
    model.layers = widening.finished()
    return Rewritten(model, changed, {})


class _Widening:
    """Makes the new layers, one of the old ones after another."""

    def __init__(self, model: Model) -> None:
        self._graph: Graph = model.graph()
        self._taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
        self._layers: list[Layer] = []
        self._wide: dict[str, str] = {}
        """Blobs that nobody has read yet as matrices, and the pictures of height 1 that they are."""

    def take(self, layer: Layer) -> bool:
        """Add a layer; return whether it became another one."""
        is_convolution = _is_row_convolution(layer)
        follows = layer.op.as_activation() is not None and layer.bottoms[0] in self._wide
        if not is_convolution and not follows:
            self._narrow(layer.bottoms)
            self._layers.append(layer)
            return False
        (bottom,), (top,) = layer.bottoms, layer.tops
        if is_convolution:
            _turn(layer)
        layer.bottoms, layer.tops = [self._widened(bottom)], [unused(f"{top}_wide", self._taken)]
        self._layers.append(layer)
        self._wide[top] = layer.tops[0]
        if len(self._graph.consumers(top)) > 1:
            self._narrow([top])
        return is_convolution

    def finished(self) -> list[Layer]:
        """Return all layers."""
        self._narrow(list(self._wide))
        return self._layers

    def _widened(self, blob: str) -> str:
        """Return the picture that a blob is, made here if it is none yet."""
        if blob in self._wide:
            return self._wide.pop(blob)
        layer = self._reshape(blob, unused(f"{blob}_wide", self._taken))
        shape = layer.as_op(Reshape)
        shape.w, shape.h, shape.c = 0, 1, -1
        return layer.tops[0]

    def _narrow(self, blobs: Iterable[str]) -> None:
        """Write blobs as the matrices that they were."""
        for blob in blobs:
            if blob in self._wide:
                shape = self._reshape(self._wide.pop(blob), blob).as_op(Reshape)
                shape.w, shape.h = 0, -1

    def _reshape(self, bottom: str, top: str) -> Layer:
        layer = Layer("Reshape", unused(f"{top}_reshaped", self._taken), [bottom], [top])
        self._layers.append(layer)
        return layer


def _is_row_convolution(layer: Layer) -> bool:
    op = layer.op
    if not isinstance(op, Convolution1D) or op.has_dynamic_weight or op.forbids_int8:
        return False
    modes = {op.pad_left, op.pad_right}.intersection(SAME)
    return len(layer.bottoms) == len(layer.tops) == 1 and (not modes or op.pad_left == op.pad_right)


def _turn(layer: Layer) -> None:
    """Turn a layer, in place, into the convolution with a kernel of height 1."""
    row = layer.copy().as_op(Convolution1D)
    is_grouped = layer.type == "ConvolutionDepthWise1D"
    layer.type, layer.params = "ConvolutionDepthWise" if is_grouped else "Convolution", Params()
    op = layer.as_op(Convolution)
    op.take_over(row, *_SAME_WORDS)
    op.kernel_h = op.dilation_h = op.stride_h = 1
    op.pad_top = op.pad_bottom = row.pad_left if row.pad_left in SAME else 0
    if isinstance(op, ConvolutionDepthWise):
        op.group = row.group
