"""One pass over a model that fuses layers into others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import BatchNorm, BinaryOp, Dropout, InnerProduct, Linear, MemoryData, Scale, Split
from pyncnnq.model.params import FLOAT_LIMIT
from pyncnnq.rewrites.fusing.affine import Affine, as_affine, as_operation
from pyncnnq.rewrites.fusing.borders import border, widen_border
from pyncnnq.rewrites.linear import multiply_and_add, outputs_of, takes_affine, turn_into_scale

_GATED = {"Sigmoid": "Swish", "HardSigmoid": "HardSwish"}
"""The layer that computes x * gate(x), with the parameters of the gate."""


@dataclass(frozen=True)
class Fused:
    """A model with fewer layers that computes the same.

    Attributes:
        model: the fused model; the very model that was given if nothing could be fused.  All blobs that are left have
            the values that they had.
        changes: what became of the layers that the fused model no longer has, in words, by their names in model order.
        reweighted: the names of the layers whose weights or biases took in a factor or an offset: weight scales from
            before do not fit them.
    """

    model: Model
    changes: dict[str, str] = field(default_factory=dict)
    reweighted: list[str] = field(default_factory=list)


def fuse(model: Model) -> Fused:
    """Fuse layers that ncnn can compute as one, and remove those that do nothing, as ncnn's ncnnoptimize does where it
    matters to int8.

    - BatchNorm, Scale, Bias, Dropout with a factor, and the addition or multiplication of a MemoryData with a number
      for each channel become part of the weights and bias of the Convolution, ConvolutionDepthWise, InnerProduct,
      Deconvolution or DeconvolutionDepthWise before them; BatchNorms and Scales in a row become one Scale.
    - ReLU, leaky ReLU, PReLU with one slope, Clip, Sigmoid, Mish and HardSwish become the activation of such a layer.
    - The product of a blob with its own Sigmoid or HardSigmoid becomes a Swish or HardSwish (pnnx leaves them where a
      Split stands between, as in the residual blocks of YOLOv8).
    - Padding with zeros becomes the border of the Convolution or ConvolutionDepthWise behind it.
    - Dropout, Noop, Padding and Split that copy one blob to one other are removed.

    All of this only where nothing else reads the blob between the two.  Model inputs, outputs and all blobs that are
    left keep their names, as do layers with weights.  New weights are computed in float64 and stored as float32.

    Args:
        model: a float model; it is not changed.

    Raises:
        ModelError: a model that is int8 already, weights that are not finite or not those that a layer needs, or a
            BatchNorm with a negative variance.
    """
    require_sound_float(model)
    fused = model.copy()
    fusion = _Fusion(fused)
    try:
        for layer in fused.layers:
            fusion.visit(layer)
    except ModelError as error:
        raise ModelError(f"{model.bin_path}: {error}" if model.bin_path else str(error)) from None
    if not fusion.changes:
        return Fused(model)
    fused.layers = [layer for layer in fused.layers if layer.name not in fusion.changes]
    in_order = [layer.name for layer in model.layers]
    return Fused(
        fused,
        {name: fusion.changes[name] for name in in_order if name in fusion.changes},
        [name for name in in_order if name in fusion.reweighted],
    )


class _Fusion:
    """A walk over the layers of a model, in their order.

    Attributes:
        changes: the layers to remove, and what becomes of each.
        reweighted: the layers whose weights or biases changed.
    """

    def __init__(self, model: Model) -> None:
        self.changes: dict[str, str] = {}
        self.reweighted: set[str] = set()
        self._writers = {top: layer for layer in model.layers for top in layer.tops}
        self._readers = Counter(bottom for layer in model.layers for bottom in layer.bottoms)
        self._dims = dimensions(model.layers)

    def visit(self, layer: Layer) -> None:
        """Fuse a layer into the layers before it, or a Padding before it into the layer."""
        if not layer.bottoms:
            return
        writers = [self._only_for(bottom) for bottom in layer.bottoms]
        before = writers[0]
        if len(writers) == 2 and isinstance(layer.op, BinaryOp):
            if self._fuse_gate(layer, writers):
                self.visit(layer)  # a HardSwish may be the activation of the layer before it
                return
            self._fuse_operation(layer, writers)
        if before is None or (len(layer.bottoms), len(layer.tops)) != (1, 1) or layer.name in self.changes:
            return
        if (added := border(before)) and widen_border(layer, added, self._dims):
            self.changes[before.name] = f"{before.type}: now the border of {layer.name}"
            layer.bottoms = list(before.bottoms)
            self.visit(layer)  # there may be another one
        elif _does_nothing(layer):
            if before.type != "Input":  # whose blob keeps its name
                self._replace(layer, before, "removed, it does nothing")
        elif (affine := as_affine(layer)) is not None:
            self._fuse_affine(layer, before, affine)
        elif (activation := layer.op.as_activation()) and activation.is_fusible and takes_affine(before):
            before.as_op(Linear).activation = activation
            self._replace(layer, before, f"now the activation of {before.name}")

    def _only_for(self, blob: str) -> Layer | None:
        """Return the layer that writes a blob; None if the blob is read more than once."""
        return self._writers[blob] if self._readers[blob] == 1 else None

    def _fuse_operation(self, layer: Layer, writers: list[Layer | None]) -> None:
        """Fuse the addition or product of a blob and a MemoryData into the layer that writes the blob."""
        for before, data in (writers, reversed(writers)):
            if before is not None and data is not None and isinstance(data.op, MemoryData):
                affine = as_operation(layer, data)
                if affine is not None and self._take_in(before, affine):
                    layer.bottoms = [bottom for bottom in layer.bottoms if bottom in before.tops]
                    self._replace(layer, before, f"now part of the weights of {before.name}")
                    self.changes[data.name] = f"MemoryData: now part of the weights of {before.name}"
                    return

    def _fuse_gate(self, layer: Layer, writers: list[Layer | None]) -> bool:
        """Turn the product of a blob with its own Sigmoid or HardSigmoid into one layer; return whether it was one."""
        if not (isinstance(layer.op, BinaryOp) and layer.op.is_multiplication):
            return False
        for gate, blob in zip(writers, reversed(layer.bottoms), strict=True):
            if gate is None or gate.type not in _GATED or self._root(gate.bottoms[0]) != self._root(blob):
                continue
            layer.type, layer.params = _GATED[gate.type], gate.params.copy()
            layer.bottoms = [self._without_copy(blob, gate.bottoms[0])]
            self.changes[gate.name] = f"{gate.type}: now part of the {layer.type} {layer.name}"
            return True
        return False

    def _without_copy(self, blob: str, unread: str) -> str:
        """Return the blob to read in place of a blob, now that a copy or a reader of it is gone."""
        self._readers[unread] -= 1
        split = self._writers[unread]
        if unread == blob or not isinstance(split.op, Split):
            return blob
        split.tops.remove(unread)
        if split.tops != [blob]:
            return blob
        self.changes[split.name] = "Split: removed, it does nothing"
        return split.bottoms[0]

    def _root(self, blob: str) -> str:
        """Return the blob that a blob is a copy of."""
        while isinstance(self._writers[blob].op, Split):
            blob = self._writers[blob].bottoms[0]
        return blob

    def _fuse_affine(self, layer: Layer, before: Layer, affine: Affine) -> None:
        """Fuse a layer that computes an affine function into the layer before it."""
        if self._take_in(before, affine):
            self._replace(layer, before, f"now part of the weights of {before.name}")
        elif isinstance(layer.op, (BatchNorm, Scale)) and isinstance(before.op, (BatchNorm, Scale)):
            first = as_affine(before)
            if first is None or first.factor.size != affine.factor.size:
                return
            factors, offsets = affine.factor * first.factor, affine.factor * first.offset + affine.offset
            if (np.abs([factors, offsets]) < FLOAT_LIMIT).all():
                turn_into_scale(before, factors, offsets)
                self._replace(layer, before, f"now part of the Scale {before.name}")

    def _take_in(self, before: Layer, affine: Affine) -> bool:
        """Let a layer with weights and without activation multiply and add too; return whether it can."""
        if not takes_affine(before) or affine.factor.size not in (1, outputs_of(before)):
            return False
        dims = self._dims.get(before.tops[0])
        possible = {dims} if dims else {1, 2 if isinstance(before.op, InnerProduct) else 3}
        if not possible.issubset(affine.dims):
            return False
        if not multiply_and_add(before, affine.factor, affine.offset):
            return False
        self.reweighted.add(before.name)
        return True

    def _replace(self, layer: Layer, before: Layer, words: str) -> None:
        """Let the layer before a layer write the blob that the layer wrote, and note what becomes of the layer."""
        (bottom,), (top,) = layer.bottoms, layer.tops
        before.tops[before.tops.index(bottom)] = top
        self._writers[top] = before
        self.changes[layer.name] = f"{layer.type}: {words}"


def _does_nothing(layer: Layer) -> bool:
    """Return whether a layer with one input and one output copies it."""
    if isinstance(layer.op, Dropout):
        return layer.op.scale == 1
    return layer.type == "Noop" or isinstance(layer.op, Split) or border(layer) == (0, 0, 0, 0)
