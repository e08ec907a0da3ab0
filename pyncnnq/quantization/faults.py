"""Int8 layers that stock ncnn computes wrong."""

from __future__ import annotations

from pyncnnq.model import Layer
from pyncnnq.model.ops import ConvolutionDepthWise

WRONG_ON_X86 = "stock ncnn computes it wrong in int8 on x86: grouped, outputs of a group a multiple of 8"
"""Why a layer of which `breaks_on_x86` is true stays in float."""


def may_break_on_x86(layer: Layer) -> bool:
    """Return whether a layer, in float or int8, is a grouped convolution with a multiple of 8 outputs in each group.

    In int8 `breaks_on_x86` is true of it unless it hands its output on as int8.
    """
    op = layer.op
    return isinstance(op, ConvolutionDepthWise) and not op.is_depthwise and op.num_output // op.groups % 8 == 0


def breaks_on_x86(layer: Layer) -> bool:
    """Return whether it is an int8 convolution whose output stock ncnn 1.0.20261020 leaves uninitialised on x86.

    In src/layer/x86/convolutiondepthwise_x86.cpp, forward_int8_x86, the float output of a group with a multiple of 8
    outputs is expected in packs of another size than the group's convolution writes.  Depthwise and chained
    convolutions go other ways.  Activation, kernel, stride and channels do not matter.
    """
    op = layer.op
    return (
        may_break_on_x86(layer)
        and isinstance(op, ConvolutionDepthWise)
        and op.is_int8
        and op.int8_scale_term == op.int8_term
    )
