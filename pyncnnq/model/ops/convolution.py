"""Convolutions in one, two and three dimensions (ncnn's src/layer/convolution*.cpp, deformableconv2d.cpp)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pyncnnq.model.ops.base import NO_WINOGRAD, Expected, ScaledWeight, layer_types, raw
from pyncnnq.model.ops.fields import UNSET, Flag, Float, Int
from pyncnnq.model.ops.linear import Calibrated, Linear
from pyncnnq.model.ops.shape import Misfit, Shape, spell

SAME = (UNSET, UNSET - 1)
"""Borders that keep the size, up to the stride: of an odd number the larger half at the end, or at the beginning."""

CHAINED = 100
"""Added to a convolution's int8_scale_term: it writes int8 by a top scale of its own instead of float."""


class _Convolving(Linear):
    """The dimensions and MACs of all convolutions.

    Attributes:
        dims: the number of dimensions of the output.
    """

    __slots__ = ()

    dims: ClassVar[int]

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return self.dims

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        weights = self.weight_data_size or math.prod(bottoms[1])
        return weights * math.prod(tops[0][1:])


def extent(kernel: int, dilation: int) -> int:
    """Return how many elements a kernel spans."""
    return dilation * (kernel - 1) + 1


def bordered(length: int, span: int, stride: int, before: int, after: int) -> int:
    """Return a length with its border."""
    if before == after and before in SAME:
        return max(length, span + (length - 1) // stride * stride)
    return length + max(before, 0) + max(after, 0)


@layer_types("Convolution")
class Convolution(_Convolving, Calibrated):
    """A convolution of a blob with channels; every output takes all of them."""

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
    pad_value = Float(18)
    """What the border holds; in an int8 layer an int8 number."""
    dynamic_weight = Flag(19)

    dims = 3

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight

    @property
    def kernel_size(self) -> int:
        return self.kernel_w * self.kernel_h

    @property
    def border(self) -> tuple[int, int, int, int]:
        """The width of the border at the left, right, top and bottom; negative numbers stand for modes of ncnn."""
        return self.pad_left, self.pad_right, self.pad_top, self.pad_bottom

    @border.setter
    def border(self, sizes: tuple[int, int, int, int]) -> None:
        self.pad_left, self.pad_right, self.pad_top, self.pad_bottom = sizes

    @property
    def pads(self) -> bool:
        return any(self.border)

    @property
    def pads_with_value(self) -> bool:
        return self.pad_value != 0 and self.pads

    def weights(self) -> Iterator[Expected]:
        yield from super().weights()
        if self.is_int8 and not self.has_dynamic_weight:
            yield from self.int8_scales(self.stored_scales())
            if self.is_chained:
                yield raw("top_blob_int8_scales", 1)

    def stored_scales(self) -> int:
        """Return the number of weight scales that the int8 layer stores.

        Raises:
            ValueError: an int8 scale term that ncnn does not have.
        """
        return self.num_output

    @property
    def is_chained(self) -> bool:
        """Whether the int8 layer writes int8, by a top scale of its own."""
        return self.int8_scale_term > CHAINED

    def chain(self) -> None:
        """Let the int8 layer write int8; it needs a weight `top_blob_int8_scales` then."""
        self.int8_scale_term += CHAINED

    def unchain(self) -> None:
        """Let the chained int8 layer write float, without its weight `top_blob_int8_scales`."""
        self.int8_scale_term -= CHAINED

    @property
    def _is_1x1(self) -> bool:
        return self.kernel_w == 1 and self.kernel_h == 1

    def takes_vector(self, dims: Mapping[str, int]) -> bool | None:
        if self.pads or not self._is_1x1 or len(self.layer.bottoms) != 1:
            return False
        found = dims.get(self.layer.bottoms[0])
        return None if found is None else found == 1

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        first = inputs[0]
        if first == 1 and self._is_1x1:
            return 1
        return None if first is None and self._is_1x1 else 3

    @property
    def _extents(self) -> tuple[int, int]:
        return extent(self.kernel_h, self.dilation_h), extent(self.kernel_w, self.dilation_w)

    def _bordered(self, shape: Shape) -> Shape:
        """Return the height and width of an input with its border."""
        (_, height, width), (span_h, span_w), (left, right, top, bottom) = shape, self._extents, self.border
        return (
            bordered(height, span_h, self.stride_h, top, bottom),
            bordered(width, span_w, self.stride_w, left, right),
        )

    def _reads_vector(self, shape: Shape) -> bool:
        """Return whether ncnn computes the layer as an InnerProduct."""
        return self._is_1x1 and shape == (self.input_channels(),)

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        if self._reads_vector(inputs[0]):
            return [(self.num_output,)]
        if self.has_dynamic_weight or len(inputs[0]) != 3:
            return ()
        lengths = zip(self._bordered(inputs[0]), self._extents, (self.stride_h, self.stride_w), strict=True)
        return [(self.num_output, *((length - span) // stride + 1 for length, span, stride in lengths))]

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        shape = inputs[0]
        if self.has_dynamic_weight or len(shape) != 3:
            return None
        channels = self.input_channels()
        if shape[0] != channels:
            return Misfit(f"takes {channels} input channels, but finds {shape[0]} in its input ({spell(shape)})")
        (height, width), (span_h, span_w) = self._bordered(shape), self._extents
        if height < span_h or width < span_w:
            kernel, size = f"{span_w} x {span_h}", f"{width} x {height}"
            return Misfit(f"has a kernel that spans {kernel}, which does not fit in {size}, border included", -1)
        return None

    @property
    def may_use_winograd(self) -> bool:
        """Whether it is 3x3, neither strided nor dilated, and its feature mask allows winograd."""
        sizes = (self.kernel_w, self.kernel_h, self.dilation_w, self.dilation_h, self.stride_w, self.stride_h)
        return sizes == (3, 3, 1, 1, 1, 1) and not self.feature_mask & NO_WINOGRAD


@layer_types("ConvolutionDepthWise")
class ConvolutionDepthWise(Convolution):
    """A convolution in groups of channels, not only of one channel each."""

    __slots__ = ()

    group = Int(7, 1)

    int8_term = 1  # a scale for each group; 2 would be one for all

    @property
    def groups(self) -> int:
        return self.group

    @property
    def is_depthwise(self) -> bool:
        return self.num_output == self.groups == self.input_channels()

    def scaled_weights(self) -> list[ScaledWeight]:
        return [ScaledWeight.by_rows("weight_data", self.groups)]

    def stored_scales(self) -> int:
        term = self.int8_scale_term
        if term not in (1, 2, CHAINED + 1, CHAINED + 2):
            raise ValueError(
                f"{type(self).int8_scale_term.key}={term} is no int8 scale term of it; ncnn has 1, 2, 101 and 102"
            )
        return self.groups if term in (1, CHAINED + 1) else 1

    def takes_vector(self, dims: Mapping[str, int]) -> bool | None:
        return False

    def _reads_vector(self, shape: Shape) -> bool:
        return False

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3

    @property
    def may_use_winograd(self) -> bool:
        return False


@layer_types("Convolution1D", "ConvolutionDepthWise1D")
class Convolution1D(_Convolving):
    """A convolution along the rows of a matrix; ncnn has no int8 form of it."""

    __slots__ = ()

    kernel_w = Int(1)
    dilation_w = Int(2, 1)
    stride_w = Int(3, 1)
    pad_left = Int(4)
    pad_right = Int(15, "pad_left")
    pad_value = Float(18)
    group = Int(7, 1)
    """Of a ConvolutionDepthWise1D."""
    dynamic_weight = Flag(19)

    dims = 2

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        if self.has_dynamic_weight or len(inputs[0]) != 2:
            return ()
        span = extent(self.kernel_w, self.dilation_w)
        length = bordered(inputs[0][1], span, self.stride_w, self.pad_left, self.pad_right)
        return [(self.num_output, (length - span) // self.stride_w + 1)]

    @property
    def has_dynamic_weight(self) -> bool:
        return self.dynamic_weight


@layer_types("Convolution3D", "ConvolutionDepthWise3D")
class Convolution3D(_Convolving):
    """A convolution of a blob of four dimensions; ncnn has no int8 form of it."""

    __slots__ = ()

    dims = 4


@layer_types("DeformableConv2D")
class DeformableConv2D(Linear):
    """A convolution whose kernel elements are moved by another blob, and weighed by a third, if there is one."""

    __slots__ = ()

    @property
    def least_bottoms(self) -> int:
        return 2

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return 3
