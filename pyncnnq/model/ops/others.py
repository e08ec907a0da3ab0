"""Layer types of ncnn without weights, of which nothing more is asked."""

from __future__ import annotations

from pyncnnq.model.ops.base import Keeping, Op, layer_types

_KEEPING = "BNLL Cast CumulativeSum DeepCopy Erf Exp Flip LRN Log MVN Noop Power Shrink Threshold UnaryOp"
_OTHERS = """
ArgMax CopyTo DetectionOutput Diag Einsum Fold GLU GridSample InverseSpectrogram PSROIPooling Packing PriorBox Proposal
ROIAlign ROIPooling RotaryEmbed SPP Spectrogram StatisticsPooling Unfold YoloDetectionOutput Yolov3DetectionOutput
"""

layer_types(*_KEEPING.split())(Keeping)
layer_types(*_OTHERS.split())(Op)
