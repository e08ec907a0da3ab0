"""Pose: detections with keypoints, as ultralytics exports them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.compare.figures import Figure, mean_of_ratios
from pyncnnq.compare.tasks.detection.boxes import Candidates, Floats
from pyncnnq.compare.tasks.detection.grids import Grid, Size
from pyncnnq.compare.tasks.detection.head import Form, between_0_and_1
from pyncnnq.compare.tasks.detection.task import Detected, Detection, Row, figures_of, rows_of
from pyncnnq.compare.tasks.detection.yolo import columns, in_pixels, is_decoded, only_matrix
from pyncnnq.compare.tasks.drawing import Drawing, DrawnPoint
from pyncnnq.compare.tasks.task import Outputs, Sample

_SEEN = 0.5
"""Of a keypoint's own score: ones that the float model is less sure of do not count."""

Keypoints = tuple[tuple[int, float, float], ...]

_OBJECT = 4
"""Where the only class has its score; keypoints come next, as x, y and score."""


@dataclass(frozen=True, kw_only=True)
class Posed(Detected):
    """What both models detect in one sample.

    Attributes:
        distances: of each detection that both models have, in the order of `matches`: how far its keypoints are apart
            in the mean, in parts of the square root of the float model's box; None where the float model sees none.
        seen: of each row of both models the keypoints that it is sure of: number, x and y in pixels.
    """

    distances: tuple[float | None, ...]
    seen: tuple[tuple[Keypoints, ...], tuple[Keypoints, ...]]


class Pose(Detection):
    """How many detections the int8 model keeps, and how far their keypoints move.

    YOLOv8-pose and its relatives: a matrix (4 + 1 + 3 * keypoints) x places, or transposed.
    """

    name = "pose"
    summary = "detections with keypoints (YOLO-pose): kept, lost and new ones, distance of keypoints"

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Posed | None:
        if not _are_keypoints(exact, sample.size):
            return None
        form = Form(decode=_decode)
        sound = all(rough[name].shape == values.shape for name, values in exact.items())
        models = (exact, rough) if sound else (exact,)
        found = [self.detect(form, outputs) for outputs in models]
        points = [
            [_keypoints(outputs, each, place) for place in range(len(each.scores))]
            for outputs, each in zip(models, found, strict=True)
        ]
        rows = rows_of(found[0]), rows_of(found[1]) if sound else ()
        distances = [
            _distance(points[0][pair.exact], points[1][pair.rough], rows[0][pair.exact])
            for pair in Detected(size=sample.size, relative=False, rows=rows).matches()
        ]
        seen = tuple(map(_sure, points[0])), tuple(map(_sure, points[1])) if sound else ()
        return Posed(size=sample.size, relative=False, rows=rows, distances=tuple(distances), seen=seen)

    def figures(
        self, records: Sequence[Detected], labels: Sequence[Any] | None, _paths: Sequence[Path]
    ) -> list[Figure]:
        figures = figures_of(records, labels)
        distances = [
            [100 * distance for distance in record.distances if distance is not None]
            for record in records
            if isinstance(record, Posed)
        ]
        counts = [len(each) for each in distances]
        if sum(counts):
            sums = [math.fsum(each) for each in distances]
            figures.append(mean_of_ratios("distance of keypoints, of the box's size", sums, counts, unit="%"))
        return figures

    def shown(self, records: Sequence[Detected], names: Sequence[str]) -> list[Drawing]:
        """Return boxes with keypoints; the farther these move, the more it weighs."""
        return [
            replace(drawing, loss=drawing.loss + math.fsum(filter(None, record.distances)), points=_drawn(record))
            if isinstance(record, Posed)
            else drawing
            for record, drawing in zip(records, super().shown(records, names), strict=True)
        ]


POSE = Pose()


def _are_keypoints(outputs: Outputs, size: Size | None) -> bool:
    matrix = only_matrix(outputs)
    if matrix is None or size is None:
        return False
    rows = columns(outputs)
    points = rows[:, _OBJECT + 1 :]
    grid = Grid.of_count(size, len(rows))
    if grid is None or not points.shape[1] or points.shape[1] % 3 or between_0_and_1(points):
        return False
    return between_0_and_1(rows[:, _OBJECT]) and between_0_and_1(points[:, 2::3]) and is_decoded(rows[:, :2], grid)


def _decode(outputs: Outputs) -> Candidates:
    rows = columns(outputs)
    return in_pixels(rows, rows[:, _OBJECT : _OBJECT + 1])


def _keypoints(outputs: Outputs, found: Candidates, index: int) -> Floats:
    row = columns(outputs)[found.places[index], _OBJECT + 1 :]
    return row.astype(np.float64).reshape(-1, 3)


def _sure(points: Floats) -> Keypoints:
    return tuple(
        (number, float(x), float(y))
        for number, (x, y, score) in enumerate(points)
        if score > _SEEN and math.isfinite(x + y)
    )


def _drawn(record: Posed) -> tuple[DrawnPoint, ...]:
    if record.size is None:
        return ()
    width, height = record.size
    return tuple(
        DrawnPoint(model=model, x=x / width, y=y / height, title=f"keypoint {number}")
        for model, detections in enumerate(record.seen)
        for points in detections
        for number, x, y in points
    )


def _distance(exact: Floats, rough: Floats, row: Row) -> float | None:
    seen = exact[:, 2] > _SEEN
    area = (row.x2 - row.x1) * (row.y2 - row.y1)
    if not seen.any() or area <= 0:
        return None
    return float(np.linalg.norm(exact[seen, :2] - rough[seen, :2], axis=1).mean() / math.sqrt(area))
