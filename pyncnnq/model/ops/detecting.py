"""Layers of detectors (ncnn's src/layer/priorbox.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.model.ops.base import Op, layer_types
from pyncnnq.model.ops.fields import UNSET, Flag, FloatArray, Int
from pyncnnq.model.ops.shape import Shape


@layer_types("PriorBox")
class PriorBox(Op):
    """Boxes at each place of a blob, of each size and aspect ratio: a row with their corners, one with variances."""

    __slots__ = ()

    min_sizes = FloatArray(0)
    max_sizes = FloatArray(1)
    aspect_ratios = FloatArray(2)
    flip = Flag(7, True)
    image_width = Int(9)
    image_height = Int(10)

    @property
    def least_bottoms(self) -> int:
        sizes = (self.image_width, self.image_height)
        of_mxnet = sizes == (UNSET, UNSET) and not self.max_sizes and len(self.layer.bottoms) < 2
        return 2 if UNSET in sizes and not of_mxnet else 1  # the second, the image, states what the line leaves open

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        _, height, width = inputs[0]
        sizes, ratios = len(self.min_sizes), len(self.aspect_ratios)
        if len(inputs) == 1 and self.image_width == self.image_height == UNSET and not self.max_sizes:  # of MXNet
            return [(4 * width * height * (sizes - 1 + ratios),)]
        boxes = sizes * (1 + ratios * (2 if self.flip else 1)) + len(self.max_sizes)
        return [(2, 4 * width * height * boxes)]
