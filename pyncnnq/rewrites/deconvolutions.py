"""Deconvolutions written as convolutions whose outputs become neighbouring pixels, which stock ncnn runs in int8.

With a kernel of m times the stride s, each output pixel sees m x m input pixels, and those of one phase (its place in a
square of s x s) see them by the same weights.  So a convolution with m x m kernels computes all phases as channels:

    Convolution -> PixelShuffle (where s > 1) -> Crop (where the border is no multiple of s)

The multiplications are as many as before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.model.ops import UNSET, Convolution, Crop, Deconvolution, PixelShuffle
from pyncnnq.rewrites.rewritten import Rewritten, unused, with_layers_replaced


def shuffle_deconvolutions(model: Model) -> Rewritten:
    """Write Deconvolution layers as Convolution, PixelShuffle and Crop layers.

    The kernel must be a multiple of the stride, which is the same in both directions, as in most networks: 2 and 2, or
    4 and 2 with a border of 1.  What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the layers, of which the convolutions keep the names.

    Raises:
        ModelError: a model that is int8 already.
    """

    def replacing(layer: Layer, taken: set[str]) -> list[Layer] | None:
        plan = _Plan.of(layer)
        return None if plan is None else list(plan.layers(layer, taken))

    return with_layers_replaced(model, replacing)


@dataclass(frozen=True)
class _Plan:
    """How to write a deconvolution.

    Attributes:
        stride: s.
        kernel: m in height and width.
        border: of the convolution: (left, right, top, bottom).
        cut: what is cut off in the end: (left, right, top, bottom).
    """

    stride: int
    kernel: tuple[int, int]
    border: tuple[int, int, int, int]
    cut: tuple[int, int, int, int]

    @classmethod
    def of(cls, layer: Layer) -> _Plan | None:
        """Return the plan; None for another layer, and for one that cannot be written so."""
        op = layer.op
        if layer.type != "Deconvolution" or not isinstance(op, Deconvolution):
            return None
        if op.has_dynamic_weight or op.forbids_int8 or len(layer.bottoms) != 1 or "weight_data" not in layer.weights:
            return None
        stride, sizes = op.stride_w, (op.kernel_h, op.kernel_w)
        if stride < 1 or op.stride_h != stride or any(size < stride or size % stride for size in sizes):
            return None
        pads = (op.pad_left, op.pad_right, op.pad_top, op.pad_bottom)
        stated = op.output_w > 0 and op.output_h > 0 and not any(pads)  # ncnn cuts nothing then, and writes nothing
        if (op.dilation_w, op.dilation_h) != (1, 1) or op.output_pad_right or op.output_pad_bottom or stated:
            return None
        height, width = (size // stride for size in sizes)
        border = tuple(m - 1 - pad // stride for m, pad in zip((width, width, height, height), pads, strict=True))
        if min(pads) < 0 or min(border) < 0:
            return None
        left, right, top, bottom = (pad % stride for pad in pads)
        return cls(stride, (height, width), (border[0], border[1], border[2], border[3]), (left, right, top, bottom))

    def layers(self, layer: Layer, taken: set[str]) -> list[Layer]:
        """Return the layers in place of a deconvolution."""
        (top,) = layer.tops
        result = [self._convolution(layer)]
        if self.stride > 1:
            shuffle = _after(result, "PixelShuffle", f"{top}_shuffled", taken)
            shuffle.as_op(PixelShuffle).upscale_factor = self.stride
        if any(self.cut):
            crop = _after(result, "Crop", f"{top}_cropped", taken).as_op(Crop)
            crop.woffset, crop.woffset2, crop.hoffset, crop.hoffset2 = self.cut
            crop.outw = crop.outh = crop.outc = UNSET
        result[-1].tops = [top]
        return result

    def _convolution(self, layer: Layer) -> Layer:
        """Return the convolution that computes all phases."""
        old, (height, width), phases = layer.as_op(Deconvolution), self.kernel, self.stride**2
        new = Layer("Convolution", layer.name, list(layer.bottoms), list(layer.tops), Params(), line=layer.line)
        op = new.as_op(Convolution)
        op.num_output, op.kernel_w, op.kernel_h = old.num_output * phases, width, height
        op.border = self.border
        op.take_over(old, "bias_term", "weight_data_size", "activation_type", "activation_params", "feature_mask")
        # ncnn's order is (outputs, inputs, height, width); the last input pixel sees the first part of the kernel.
        weights = layer.weights["weight_data"].float32()
        parts = weights.reshape(old.num_output, -1, height, self.stride, width, self.stride)[:, :, ::-1, :, ::-1]
        phased = parts.transpose(0, 3, 5, 1, 2, 4)
        new.weights = {"weight_data": Weight.tagged_float32("weight_data", phased.ravel())}
        if old.bias_term:
            bias = np.repeat(layer.weights["bias_data"].float32(), phases)
            new.weights["bias_data"] = Weight.raw("bias_data", bias)
        return new


def _after(layers: list[Layer], kind: str, name: str, taken: set[str]) -> Layer:
    """Add a layer that reads what the last one writes, under a name of its own from now on, and return it."""
    name = unused(name, taken)
    blob = unused(f"{name}_from", taken)
    layers[-1].tops = [blob]
    layers.append(Layer(kind, name, [blob], []))
    return layers[-1]
