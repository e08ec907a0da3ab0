"""Deconvolutions in one, two and three dimensions (ncnn's src/layer/deconvolution*.cpp); none has an int8 form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pyncnnq.model.ops.base import Shape, layer_types
from pyncnnq.model.ops.fields import Flag
from pyncnnq.model.ops.linear import Linear


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

    dynamic_weight = Flag(28)

    dims = 3

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight


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
