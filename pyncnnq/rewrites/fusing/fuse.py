"""One pass over a model that fuses layers into others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.params import FLOAT_LIMIT
from pyncnnq.rewrites.fusing.activations import as_activation, set_activation
from pyncnnq.rewrites.fusing.affine import Affine, as_affine, as_operation
from pyncnnq.rewrites.fusing.borders import border, widen_border
from pyncnnq.rewrites.linear import multiply_and_add, outputs_of, turn_into_scale

_MULTIPLY = 2  # op_type of a BinaryOp (src/layer/binaryop.h)
_GATED = {"Sigmoid": "Swish", "HardSigmoid": "HardSwish"}
"""What computes x * gate(x), with the parameters of the gate."""
_WEIGHTED = ("Convolution", "ConvolutionDepthWise", "InnerProduct", "Deconvolution", "DeconvolutionDepthWise")


@dataclass(frozen=True)
class Fused:
    """A model with fewer layers that computes the same.

    Attributes:
        model: it; the very model that was given if nothing could be fused.
        changes: what became of the layers that it no longer has, in words, by their names in model order.
        reweighted: the layers whose weights or biases took in a factor or an offset; scales of the weights that they
            had do not fit them.
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
    """Visits layers in model order; of those that it has visited, `changes` has the ones that are to go."""

    def __init__(self, model: Model) -> None:
        self.changes: dict[str, str] = {}
        self.reweighted: set[str] = set()
        self._writers = {top: layer for layer in model.layers for top in layer.tops}
        self._readers = Counter(bottom for layer in model.layers for bottom in layer.bottoms)
        self._dims = dimensions(model.layers)

    def visit(self, layer: Layer) -> None:
        """Fuse the layer into those before it, or a Padding before it into the layer."""
        if not layer.bottoms:
            return
        writers = [self._only_for(bottom) for bottom in layer.bottoms]
        before = writers[0]
        if len(writers) == 2 and layer.type == "BinaryOp":
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
        elif (activation := as_activation(layer)) is not None and _is_linear(before):
            set_activation(before, *activation)
            self._replace(layer, before, f"now the activation of {before.name}")

    def _only_for(self, blob: str) -> Layer | None:
        """The layer that writes a blob that is read once."""
        return self._writers[blob] if self._readers[blob] == 1 else None

    def _fuse_operation(self, layer: Layer, writers: list[Layer | None]) -> None:
        for before, data in (writers, reversed(writers)):
            if before is not None and data is not None and data.type == "MemoryData":
                affine = as_operation(layer, data)
                if affine is not None and self._take_in(before, affine):
                    layer.bottoms = [bottom for bottom in layer.bottoms if bottom in before.tops]
                    self._replace(layer, before, f"now part of the weights of {before.name}")
                    self.changes[data.name] = f"MemoryData: now part of the weights of {before.name}"
                    return

    def _fuse_gate(self, layer: Layer, writers: list[Layer | None]) -> bool:
        """Turn the product of a blob with its own Sigmoid or HardSigmoid into one layer; whether it was one."""
        if layer.params.get_int(0, 0) != _MULTIPLY:
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
        """What to read in place of a blob, now that a copy of it, or one reader of it, is gone."""
        self._readers[unread] -= 1
        split = self._writers[unread]
        if unread == blob or split.type != "Split":
            return blob
        split.tops.remove(unread)
        if split.tops != [blob]:
            return blob
        self.changes[split.name] = "Split: removed, it does nothing"
        return split.bottoms[0]

    def _root(self, blob: str) -> str:
        """The blob that this one is a copy of."""
        while self._writers[blob].type == "Split":
            blob = self._writers[blob].bottoms[0]
        return blob

    def _fuse_affine(self, layer: Layer, before: Layer, affine: Affine) -> None:
        if self._take_in(before, affine):
            self._replace(layer, before, f"now part of the weights of {before.name}")
        elif {layer.type, before.type} <= {"BatchNorm", "Scale"}:
            first = as_affine(before)
            if first is None or first.factor.size != affine.factor.size:
                return
            factors, offsets = affine.factor * first.factor, affine.factor * first.offset + affine.offset
            if (np.abs([factors, offsets]) < FLOAT_LIMIT).all():
                turn_into_scale(before, factors, offsets)
                self._replace(layer, before, f"now part of the Scale {before.name}")

    def _take_in(self, before: Layer, affine: Affine) -> bool:
        """Let a layer with weights, and without activation, multiply and add too; whether it can."""
        if not _is_linear(before) or affine.factor.size not in (1, outputs_of(before)):
            return False
        dims = self._dims.get(before.tops[0])
        possible = {dims} if dims else {1, 2 if before.type == "InnerProduct" else 3}
        if not possible.issubset(affine.dims):
            return False
        if not multiply_and_add(before, affine.factor, affine.offset):
            return False
        self.reweighted.add(before.name)
        return True

    def _replace(self, layer: Layer, before: Layer, words: str) -> None:
        """Let the layer before write what the layer wrote."""
        (bottom,), (top,) = layer.bottoms, layer.tops
        before.tops[before.tops.index(bottom)] = top
        self._writers[top] = before
        self.changes[layer.name] = f"{layer.type}: {words}"


def _is_linear(layer: Layer) -> bool:
    """Whether it has weights of its own and no activation."""
    if layer.type not in _WEIGHTED or "weight_data" not in layer.weights or layer.op.has_dynamic_weight:
        return False
    return layer.params.get_int(9, 0) == 0 and len(layer.bottoms) == 1


def _does_nothing(layer: Layer) -> bool:
    """Whether a layer with one input and one output copies it."""
    if layer.type == "Dropout":
        return layer.params.get_float(0, 1.0) == 1
    return layer.type in ("Noop", "Split") or border(layer) == (0, 0, 0, 0)
