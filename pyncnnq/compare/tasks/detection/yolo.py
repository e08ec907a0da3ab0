"""Heads of the YOLO family that write one matrix: a row or a column for each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.grids import Grid
from pyncnnq.compare.tasks.detection.head import (
    Form,
    Scene,
    around,
    between_0_and_1,
    beyond,
    expected_distances,
    sigmoid,
)
from pyncnnq.compare.tasks.task import Outputs

Matrix = NDArray[np.float32]

_BINS = 16
"""Of the distances of YOLOv8 and its successors."""

_ANCHORS = 3
"""Of each cell of YOLOv5 and its relatives."""

_CERTAIN = 0.999
"""What YOLOv6 writes for whether there is anything, at all places, is 1: its classes say so alone."""

_FAR = 4.0
"""Strides that the median centre of a decoded box may be from the middle of its cell."""


def only_matrix(outputs: Outputs) -> Matrix | None:
    """Return the one output, if it is a matrix."""
    first = next(iter(outputs.values()))
    return first if len(outputs) == 1 and first.ndim == 2 else None


def columns(outputs: Outputs) -> Matrix:
    """Return the one output with a row for each place: there are more places than numbers for each."""
    matrix = next(iter(outputs.values()))
    return matrix if matrix.shape[0] > matrix.shape[1] else matrix.T


def is_decoded(centres: Matrix, grid: Grid) -> bool:
    """Return whether centres are in pixels, near the cells that they belong to; else they may be in cells, from the
    corner of their own, and are near 0.5."""
    in_pixels = np.median(np.abs(centres - grid.centres) / grid.strides)
    return bool(in_pixels < min(_FAR, np.median(np.abs(centres - 0.5))))


def ultralytics(outputs: Outputs, scene: Scene) -> Form | None:
    """Read YOLOv8, v9, v11 and others as ultralytics exports them: centre, width and height in pixels, and the score of
    each class after its sigmoid; (4 + classes) x places, or transposed."""
    matrix = only_matrix(outputs)
    if matrix is None or min(matrix.shape) < 5 or not between_0_and_1(columns(outputs)[:, 4:]):
        return None
    rows = columns(outputs)
    grid = Grid.of_count(scene.size, len(rows)) if scene.size else None
    if not scene.forced and (grid is None or not is_decoded(rows[:, :2], grid)):
        return None
    return Form(decode=lambda outputs: in_pixels(columns(outputs), columns(outputs)[:, 4:]))


def with_objectness(outputs: Outputs, scene: Scene) -> Form | None:
    """Read YOLOv5, v6 and v7 as they are exported: centre, width and height in pixels, whether there is anything, and
    if so of which class; three places for each cell, or one (v6); places x (5 + classes), or transposed."""
    matrix = only_matrix(outputs)
    if matrix is None or scene.size is None or min(matrix.shape) < 6:
        return None
    rows = columns(outputs)
    grid = Grid.of_count(scene.size, len(rows), _ANCHORS)
    if grid is None and rows[:, 4].min() > _CERTAIN:
        grid = Grid.of_count(scene.size, len(rows))
    if grid is None or not between_0_and_1(rows[:, 4:]) or not is_decoded(rows[:, :2], grid):
        return None
    return Form(decode=lambda outputs: in_pixels(columns(outputs), _with_objectness(columns(outputs))))


def yolox(outputs: Outputs, scene: Scene) -> Form | None:
    """Read YOLOX as ncnn's examples do: centre in cells from the cell's corner, logarithm of width and height in cells,
    whether there is anything, and the score of each class; places x (5 + classes)."""
    matrix = only_matrix(outputs)
    if matrix is None or scene.size is None or matrix.shape[1] < 6:
        return None
    grid = Grid.of_count(scene.size, len(matrix))
    if grid is None or not between_0_and_1(matrix[:, 4:]) or is_decoded(matrix[:, :2], grid):
        return None

    def decode(outputs: Outputs) -> Candidates:
        (rows,) = outputs.values()
        with np.errstate(over="ignore"):  # an infinite box is left out later
            sizes = np.exp(rows[:, 2:4].astype(np.float64)) * grid.strides
        return Candidates.best(_with_objectness(rows), around(grid.corners + rows[:, :2] * grid.strides, sizes))

    return Form(decode=decode)


def distributions(outputs: Outputs, scene: Scene) -> Form | None:
    """Read YOLOv8 and its successors without their last layers, as ncnn's examples do: for each side of the box a
    distribution of its distance from the middle of the cell, in cells, and the logit of each class;
    places x (64 + classes).

    What they write besides is not looked at: masks, keypoints or angles of each place, and prototypes.
    """
    wide = [name for name, values in outputs.items() if values.ndim == 2 and values.shape[1] > 4 * _BINS]
    if len(wide) != 1 or scene.size is None:
        return None
    (name,) = wide
    rows = outputs[name]
    if any(len(values) != len(rows) and values.ndim != 3 for values in outputs.values()):
        return None
    grid = Grid.of_count(scene.size, len(rows))
    # Nearly all places have nothing: other numbers are not below 0 there for every class.
    if grid is None or np.median(rows[:, 4 * _BINS :].max(axis=1)) >= 0:
        return None

    def decode(outputs: Outputs) -> Candidates:
        rows = outputs[name]
        distances = expected_distances(rows[:, : 4 * _BINS]) * grid.strides
        return Candidates.best(sigmoid(rows[:, 4 * _BINS :]), beyond(grid.centres, distances))

    return Form(decode=decode)


def in_pixels(rows: Matrix, scores: Matrix) -> Candidates:
    """Return what rows say that begin with the centre, width and height of a box in pixels."""
    return Candidates.best(scores, around(rows[:, :2].astype(np.float64), rows[:, 2:4].astype(np.float64)))


def _with_objectness(rows: Matrix) -> Matrix:
    return rows[:, 4:5] * rows[:, 5:]
