"""Deconvolutions in one, two and three dimensions (ncnn's src/layer/deconvolution*.cpp); none has an int8 form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pyncnnq.model.ops.base import layer_types
from pyncnnq.model.ops.convolution import extent
from pyncnnq.model.ops.fields import Flag, Int
from pyncnnq.model.ops.linear import Linear
from pyncnnq.model.ops.shape import Shape


class _Deconvolving(Linear):
    """The dimensions and MACs of all deconvolutions.

    Attributes:
        dims: the number of dimensions of the output.
    """

    __slots__ = ()

    dims: ClassVar[int]

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return self.dims

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return self.weight_data_size * math.prod(bottoms[0][1:])


@layer_types("Deconvolution", "DeconvolutionDepthWise")
class Deconvolution(_Deconvolving):
    """A deconvolution of a blob with channels."""

    __slots__ = ()

    kernel_w = Int(1)
    kernel_h = Int(11, "kernel_w")
    dilation_w = Int(2, 1)
    dilation_h = Int(12, "dilation_w")
    stride_w = Int(3, 1)
    stride_h = Int(13, "stride_w")
    pad_left = Int(4)
    pad_top = Int(14, "pad_left")
    pad_right = Int(15, "pad_left")
    pad_bottom = Int(16, "pad_top")
    output_pad_right = Int(18)
    output_pad_bottom = Int(19, "output_pad_right")
    output_w = Int(20)
    output_h = Int(21, "output_w")
    dynamic_weight = Flag(28)

    dims = 3

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        if self.has_dynamic_weight or len(inputs[0]) != 3:
            return ()
        _, height, width = inputs[0]
        height = (height - 1) * self.stride_h + extent(self.kernel_h, self.dilation_h) + self.output_pad_bottom
        width = (width - 1) * self.stride_w + extent(self.kernel_w, self.dilation_w) + self.output_pad_right
        left, right, top, bottom = self.pad_left, self.pad_right, self.pad_top, self.pad_bottom
        if max(left, right, top, bottom) > 0:
            height, width = height - top - bottom, width - left - right
        elif self.output_w > 0 and self.output_h > 0:
            if min(left, right, top, bottom) == 0:  # ncnn cuts by its modes alone
                return ()
            height, width = self.output_h, self.output_w
        return [(self.num_output, height, width)]


@layer_types("Deconvolution1D", "DeconvolutionDepthWise1D")
class Deconvolution1D(_Deconvolving):
    """A deconvolution along the rows of a matrix."""

    __slots__ = ()

    dynamic_weight = Flag(28)

    dims = 2

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight


@layer_types("Deconvolution3D", "DeconvolutionDepthWise3D")
class Deconvolution3D(_Deconvolving):
    """A deconvolution of a blob of four dimensions; its weights are never a blob."""

    __slots__ = ()

    dims = 4
