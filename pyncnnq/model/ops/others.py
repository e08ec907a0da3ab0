"""Layer types of ncnn without weights, of which nothing more is asked than how many blobs they need."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.model.ops.base import Keeping, Op, layer_types

_KEEPING = "BNLL Cast CumulativeSum DeepCopy Erf Exp Flip LRN Log MVN Power Shrink Threshold UnaryOp"
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


@layer_types("GLU")
class Glu(Op):
    """One half of a blob times the sigmoid of the other."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return inputs[0] if inputs else None


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
