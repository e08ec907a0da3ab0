"""Heads of NanoDet: class scores and distributions of distances for each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.grids import Grid, stride_of
from pyncnnq.compare.tasks.detection.head import (
    Form,
    Scene,
    between_0_and_1,
    beyond,
    expected_distances,
    sigmoid,
)
from pyncnnq.compare.tasks.detection.yolo import only_matrix
from pyncnnq.compare.tasks.task import Outputs

Matrix = NDArray[np.float32]

_BINS = range(6, 33)
"""How many a distribution may have; NanoDet-m and NanoDet-Plus have 8, others up to 17."""

_PLUS_BINS = 8


def nanodet(outputs: Outputs, scene: Scene) -> Form | None:
    """Read NanoDet-m: for each stride a matrix of class scores (places x classes) and one of distances from the middle
    of the cell (places x 4 bins), as ncnn's examples do; scores with or without their sigmoid."""
    if scene.size is None or any(output.ndim != 2 for output in outputs.values()):
        return None
    levels = _levels(outputs)
    strides = [stride_of(scene.size, len(outputs[name])) for name, _ in levels]
    widths = {(outputs[scores].shape[1], outputs[distances].shape[1]) for scores, distances in levels}
    if not levels or None in strides or len(widths) != 1:
        return None
    width = next(iter(widths))[1]
    if width % 4 or width // 4 not in _BINS:
        return None
    grid = Grid.over(scene.size, tuple(stride for stride in strides if stride))
    is_probability = all(between_0_and_1(outputs[scores]) for scores, _ in levels)

    def decode(outputs: Outputs) -> Candidates:
        scores = np.concatenate([outputs[name] for name, _ in levels])
        distances = expected_distances(np.concatenate([outputs[name] for _, name in levels])) * grid.strides
        return Candidates.best(scores if is_probability else sigmoid(scores), beyond(grid.centres, distances))

    return Form(decode=decode)


def nanodet_plus(outputs: Outputs, scene: Scene) -> Form | None:
    """Read NanoDet-Plus as a matrix: class scores after their sigmoid, then distances from the corner of the cell;
    places x (classes + 32)."""
    matrix = only_matrix(outputs)
    bins = 4 * _PLUS_BINS
    if matrix is None or scene.size is None or matrix.shape[1] <= bins:
        return None
    grid = Grid.of_count(scene.size, len(matrix))
    if grid is None or not between_0_and_1(matrix[:, :-bins]) or between_0_and_1(matrix[:, -bins:]):
        return None

    def decode(outputs: Outputs) -> Candidates:
        (rows,) = outputs.values()
        distances = expected_distances(rows[:, -bins:]) * grid.strides
        return Candidates.best(rows[:, :-bins], beyond(grid.corners, distances))

    return Form(decode=decode)


def _levels(outputs: Outputs) -> list[tuple[str, str]]:
    """Return the names of the scores and of the distances of each level, the one with most places first: pairs of
    outputs with as many rows; none where there are others.

    The names do not tell which of the two is which, values do: scores are probabilities, or else come first.
    """
    by_rows: dict[int, list[str]] = {}
    for name, output in outputs.items():
        by_rows.setdefault(len(output), []).append(name)
    pairs = [by_rows[count] for count in sorted(by_rows, reverse=True)]
    if any(len(pair) != 2 for pair in pairs):
        return []
    first, second = (all(between_0_and_1(outputs[pair[place]]) for pair in pairs) for place in (0, 1))
    return [(pair[1], pair[0]) if second and not first else (pair[0], pair[1]) for pair in pairs]
