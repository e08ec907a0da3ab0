"""Heads that end in a layer which picks detections: SSD, and YOLO of Darknet."""

from __future__ import annotations

import numpy as np

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.head import Form, Scene
from pyncnnq.compare.tasks.task import Outputs

PICKING = ("DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput")
"""Layer types whose rows are class (from 1), score, left, top, right and bottom from 0 to 1 (ncnn's
src/layer/detectionoutput.cpp and the others)."""


def picked(outputs: Outputs, scene: Scene) -> Form | None:
    """Read rows that DetectionOutput, YoloDetectionOutput or Yolov3DetectionOutput writes: any number, also none."""
    names = sorted(scene.picked)
    if not names or any(outputs[name].size and outputs[name].shape[1:] != (6,) for name in names):
        return None

    def decode(outputs: Outputs) -> Candidates:
        rows = np.concatenate([outputs[name].reshape(-1, 6) for name in names]).astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        return Candidates(
            classes=rows[:, 0].astype(np.int64) - 1,
            scores=rows[:, 1],
            boxes=rows[:, 2:],
            places=np.arange(len(rows)),
        )

    return Form(decode=decode, relative=True, any_count=True)
