"""The head of SCRFD, a detector of faces: scores and distances for each cell and anchor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.grids import Grid, Size, stride_of
from pyncnnq.compare.tasks.detection.head import Form, Scene, between_0_and_1, beyond
from pyncnnq.compare.tasks.task import Outputs

_ANCHORS = (1, 2, 3)

_KINDS = ([1, 4], [1, 4, 10])
"""Numbers of each anchor: its score, four distances, and the places of five landmarks where they are known."""


class _Level(NamedTuple):
    stride: int
    scores: str
    distances: str


def scrfd(outputs: Outputs, scene: Scene) -> Form | None:
    """Read SCRFD as ncnn's examples and insightface do: for each stride the score of a face after its sigmoid, the
    distances of its sides from the cell's corner in cells, and landmarks or none.

    They are of shape (anchors * numbers, height, width) or (height * width * anchors, numbers).
    """
    if scene.size is None or any(values.ndim not in (2, 3) for values in outputs.values()):
        return None
    for anchors in _ANCHORS:
        levels = _levels(outputs, scene.size, anchors)
        if len(levels) > 1 and all(between_0_and_1(outputs[level.scores]) for level in levels):
            break
    else:
        return None
    grid = Grid.over(scene.size, tuple(level.stride for level in levels), anchors)

    def decode(outputs: Outputs) -> Candidates:
        scores = np.concatenate([_rows(outputs[level.scores], anchors, 1) for level in levels])
        distances = np.concatenate([_rows(outputs[level.distances], anchors, 4) for level in levels])
        return Candidates.best(scores, beyond(grid.corners, distances.astype(np.float64) * grid.strides))

    return Form(decode=decode)


def _levels(outputs: Outputs, size: Size, anchors: int) -> list[_Level]:
    """Return the outputs of each stride, the smallest first; none where there are others."""
    by_cells: dict[int, list[tuple[float, str]]] = {}
    for name, values in outputs.items():
        cells, rest = divmod(len(values), anchors) if values.ndim == 2 else (values[0].size, 0)
        if rest:
            return []
        by_cells.setdefault(cells, []).append((values.size / (cells * anchors), name))
    levels = []
    for cells, found in sorted(by_cells.items(), reverse=True):
        stride = stride_of(size, cells)
        found.sort()
        if stride is None or [numbers for numbers, _ in found] not in _KINDS:
            return []
        levels.append(_Level(stride, found[0][1], found[1][1]))
    return levels


def _rows(values: NDArray[np.float32], anchors: int, numbers: int) -> NDArray[np.float32]:
    """Return a row for each place: all cells of the first anchor, then those of the next."""
    by_anchor = (
        values.reshape(anchors, numbers, -1).transpose(0, 2, 1)
        if values.ndim == 3
        else values.reshape(-1, anchors, numbers).transpose(1, 0, 2)
    )
    return by_anchor.reshape(-1, numbers)
