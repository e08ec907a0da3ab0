"""Deconvolutions in one, two and three dimensions (ncnn's src/layer/deconvolution*.cpp); none has an int8 form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pyncnnq.model.ops.base import Shape, layer_types
from pyncnnq.model.ops.convolution import Sliding, Sliding2D, Sliding3D
from pyncnnq.model.ops.fields import Flag, Int
from pyncnnq.model.ops.linear import Linear


class _Deconvolving(Linear):
    """The fields, dimensions and MACs of all deconvolutions.

    Attributes:
        dims: the number of dimensions of the output.
    """

    __slots__ = ()

    output_pad_right = Int(18)

    dims: ClassVar[int]

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return self.dims

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return self.weight_data_size * math.prod(bottoms[0][1:])


@layer_types("Deconvolution")
class Deconvolution(_Deconvolving, Sliding2D):
    """A deconvolution of a blob with channels."""

    __slots__ = ()

    output_pad_bottom = Int(19, "output_pad_right")
    output_w = Int(20)
    output_h = Int(21, "output_w")
    dynamic_weight = Flag(28)

    dims = 3

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight


@layer_types("DeconvolutionDepthWise")
class DeconvolutionDepthWise(Deconvolution):
    """A deconvolution in groups of channels."""

    __slots__ = ()

    groups = Int(7, 1)


@layer_types("Deconvolution1D")
class Deconvolution1D(_Deconvolving, Sliding):
    """A deconvolution along the rows of a matrix."""

    __slots__ = ()

    output_w = Int(20)
    dynamic_weight = Flag(28)

    dims = 2

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight


@layer_types("DeconvolutionDepthWise1D")
class DeconvolutionDepthWise1D(Deconvolution1D):
    """A Deconvolution1D in groups of channels."""

    __slots__ = ()

    groups = Int(7, 1)


@layer_types("Deconvolution3D")
class Deconvolution3D(_Deconvolving, Sliding3D):
    """A deconvolution of a blob of four dimensions; its weights are never a blob."""

    __slots__ = ()

    output_pad_bottom = Int(19, "output_pad_right")
    output_pad_behind = Int(20, "output_pad_right")
    output_w = Int(25)
    output_h = Int(26, "output_w")
    output_d = Int(27, "output_w")

    dims = 4


@layer_types("DeconvolutionDepthWise3D")
class DeconvolutionDepthWise3D(Deconvolution3D):
    """A Deconvolution3D in groups of channels."""

    __slots__ = ()

    groups = Int(7, 1)
