"""Heads of the YOLO family that write logits for each cell and anchor, and leave the rest to programs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.grids import Grid, stride_of
from pyncnnq.compare.tasks.detection.head import Form, Scene, around, sigmoid
from pyncnnq.compare.tasks.task import Outputs

_ANCHORS = 3

_SIZES = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
"""Width and height of the anchors that YOLOv5 has for COCO.  Others scale the boxes of both models alike."""

_MOSTLY = 0.75
"""The share of places at which there is nothing, at least, also in a crowd."""


def anchored(outputs: Outputs, scene: Scene) -> Form | None:
    """Read YOLOv5 and v7 without their last layers, as ncnn's examples do: for strides 8, 16 and 32 the logits of
    centre, width and height, of whether there is anything, and of each class, of shape
    (3 * (5 + classes), height, width) or (3, height * width, 5 + classes)."""
    if scene.size is None or len(outputs) != len(_SIZES) or any(values.ndim != 3 for values in outputs.values()):
        return None
    names = sorted(outputs, key=lambda name: -outputs[name].size)
    levels = [_rows(outputs[name]) for name in names]
    if any(rows is None or len(rows) % _ANCHORS for rows in levels) or len({_width(rows) for rows in levels}) != 1:
        return None
    strides = tuple(stride_of(scene.size, len(rows) // _ANCHORS) for rows in levels if rows is not None)
    if strides != tuple(_SIZES) or not all(_is_mostly_nothing(rows) for rows in levels if rows is not None):
        return None
    grid = Grid.over(scene.size, tuple(_SIZES), _ANCHORS)
    cells = [len(rows) // _ANCHORS for rows in levels if rows is not None]
    sizes = np.concatenate(
        [np.repeat(_SIZES[stride], count, axis=0) for stride, count in zip(_SIZES, cells, strict=True)]
    )

    def decode(outputs: Outputs) -> Candidates:
        rows = np.concatenate([rows for name in names if (rows := _rows(outputs[name])) is not None])
        values = sigmoid(rows)
        centres = grid.corners + (values[:, :2] * 2 - 0.5) * grid.strides
        return Candidates.best(values[:, 4:5] * values[:, 5:], around(centres, (values[:, 2:4] * 2.0) ** 2 * sizes))

    return Form(decode=decode)


def _rows(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return a row for each place, all cells of the first anchor first; None where the shape is another."""
    if len(values) == _ANCHORS:
        return values.reshape(-1, values.shape[2]) if values.shape[2] > 5 else None
    if len(values) % _ANCHORS or len(values) // _ANCHORS < 6:
        return None
    numbers = len(values) // _ANCHORS
    return values.reshape(_ANCHORS, numbers, -1).transpose(0, 2, 1).reshape(-1, numbers)


def _width(rows: NDArray[np.float32] | None) -> int:
    return 0 if rows is None else rows.shape[1]


def _is_mostly_nothing(rows: NDArray[np.float32]) -> bool:
    """Return whether each anchor sees nothing nearly everywhere, so that this is no map of features."""
    objectness = rows[:, 4].reshape(_ANCHORS, -1)
    return bool(((objectness < -1).mean(axis=1) >= _MOSTLY).all())
