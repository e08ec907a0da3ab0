"""Layer types of ncnn without weights, of which nothing more is asked than how many blobs they need."""

from __future__ import annotations

from pyncnnq.model.ops.base import Keeping, Op, layer_types
from pyncnnq.model.ops.fields import UNSET, FloatArray, Int

_KEEPING = "BNLL Cast CumulativeSum DeepCopy Erf Exp Flip GLU LRN Log MVN Power Shrink Threshold UnaryOp"
_OTHERS = """
ArgMax Diag Einsum Fold InverseSpectrogram Packing SPP Spectrogram StatisticsPooling Unfold YoloDetectionOutput
Yolov3DetectionOutput
"""

layer_types(*_KEEPING.split())(Keeping)
layer_types(*_OTHERS.split())(Op)


@layer_types("CopyTo", "GridSample", "PSROIPooling", "ROIAlign", "ROIPooling")
class OfTwo(Op):
    """A layer of two blobs: of values, and of places in the other one or of values for them."""

    __slots__ = ()

    @property
    def least_bottoms(self) -> int:
        return 2


@layer_types("DetectionOutput", "Proposal", "RotaryEmbed")
class OfThree(Op):
    """A layer of three blobs, none of which it can do without."""

    __slots__ = ()

    @property
    def least_bottoms(self) -> int:
        return 3


@layer_types("PriorBox")
class PriorBox(Op):
    """Boxes for each place of a blob; a second blob, the image, states the size that the line leaves open."""

    __slots__ = ()

    max_sizes = FloatArray(1)
    image_width = Int(9)
    image_height = Int(10)

    @property
    def least_bottoms(self) -> int:
        sizes = (self.image_width, self.image_height)
        of_mxnet = sizes == (UNSET, UNSET) and not self.max_sizes and len(self.layer.bottoms) < 2
        return 2 if UNSET in sizes and not of_mxnet else 1


@layer_types("Noop")
class Noop(Keeping):
    """Nothing; Caffe's Silence, which reads a blob so that it is no output, becomes one without outputs."""

    __slots__ = ()

    @property
    def least_bottoms(self) -> int:
        return 0

    @property
    def least_tops(self) -> int:
        return 0
