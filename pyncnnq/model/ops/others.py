"""Layer types of ncnn without weights, of which nothing more is asked."""

from __future__ import annotations

from pyncnnq.model.ops.base import Keeping, Op, layer_types

_KEEPING = "BNLL Cast CumulativeSum DeepCopy Erf Exp Flip LRN Log MVN Power Shrink Threshold UnaryOp"
_OTHERS = """
ArgMax CopyTo DetectionOutput Diag Einsum Fold GLU GridSample InverseSpectrogram PSROIPooling Packing Proposal
ROIAlign ROIPooling RotaryEmbed SPP Spectrogram StatisticsPooling Unfold YoloDetectionOutput Yolov3DetectionOutput
"""

layer_types(*_KEEPING.split())(Keeping)
layer_types(*_OTHERS.split())(Op)


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
