"""Overlaps, suppression and matches of boxes, beside definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates, match, overlaps, suppress


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The definition, for two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(common / (areas[0] + areas[1] - common))


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    corners = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 40, (count, 2))], axis=1)


def candidates(classes: list[int], scores: list[float], boxes: object) -> Candidates:
    return Candidates(
        classes=np.array(classes, np.int64),
        scores=np.array(scores, np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        places=np.arange(len(classes)),
    )


def test_overlaps_by_hand() -> None:
    found = overlaps(np.array([[0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10.0]]))
    assert found.tolist() == [[1, pytest.approx(1 / 3), 0]]


def test_boxes_without_an_area_overlap_with_nothing() -> None:
    boxes = np.array([[5, 5, 5, 5], [9, 9, 1, 1], [0, 0, 10, 10.0]])
    assert overlaps(boxes, boxes).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_overlaps_do_not_depend_on_the_units_of_the_axes() -> None:
    boxes = random_boxes(np.random.default_rng(2), 8)
    np.testing.assert_allclose(overlaps(boxes, boxes), overlaps(*[boxes * np.tile([0.01, 3], 2)] * 2))


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 80
    given = candidates(rng.integers(0, 3, count).tolist(), rng.uniform(0, 1, count).tolist(), random_boxes(rng, count))
    kept: list[int] = []
    for index in sorted(range(count), key=lambda index: -given.scores[index]):
        rivals = [other for other in kept if given.classes[other] == given.classes[index]]
        if given.scores[index] > 0.3 and all(iou(given.boxes[index], given.boxes[other]) <= 0.45 for other in rivals):
            kept.append(index)
    found = suppress(given, threshold=0.3, most_iou=0.45, most=1000)
    assert found.places.tolist() == kept
    assert 10 < len(kept) < 56
    assert suppress(given, threshold=0.3, most_iou=0.45, most=7).places.tolist() == kept[:7]


def test_what_is_not_finite_is_left_out() -> None:
    given = candidates([0, 0, 0], [np.nan, 0.9, 0.8], [[0, 0, 9, 9], [0, 0, np.inf, 9], [0, 0, 9, 9]])
    assert suppress(given, threshold=0.2, most_iou=0.45, most=100).places.tolist() == [2]


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    given = candidates([0, 1], [0.5, 0.25], [[0, 0, 9, 9]] * 2)
    assert suppress(given, threshold=0.25, most_iou=0.45, most=100).places.tolist() == [0]


def pairs(
    exact: list[tuple[int, list[float]]], rough: list[tuple[int, list[float]]], least: float
) -> list[tuple[int, int]]:
    arrays = [
        (np.array([label for label, _ in rows], np.int64), np.array([box for _, box in rows], float).reshape(-1, 4))
        for rows in (exact, rough)
    ]
    return [(found.exact, found.rough) for found in match(arrays[0], arrays[1], least)]


BOX, SHIFTED, FAR = [0.0, 0, 10, 10], [2.0, 0, 12, 10], [50.0, 50, 60, 60]  # BOX and SHIFTED: IoU 2/3


def test_matches_are_of_one_class() -> None:
    assert pairs([(1, BOX), (2, FAR)], [(2, BOX), (2, FAR)], 0.5) == [(1, 1)]


def test_the_bound_of_matches() -> None:
    assert pairs([(0, BOX)], [(0, SHIFTED)], 0.6) == [(0, 0)]
    assert pairs([(0, BOX)], [(0, SHIFTED)], 0.75) == []


def test_each_detection_is_matched_once_the_best_first() -> None:
    assert pairs([(0, BOX), (0, BOX)], [(0, BOX)], 0.5) == [(0, 0)]
    assert pairs([(0, BOX), (0, SHIFTED)], [(0, SHIFTED), (0, BOX)], 0.5) == [(0, 1), (1, 0)]
    # The first takes the better of two; the second has to be content with what is left.
    assert pairs([(0, BOX), (0, BOX)], [(0, SHIFTED), (0, BOX)], 0.5) == [(0, 1), (1, 0)]


def test_nothing_matches_nothing() -> None:
    assert pairs([], [], 0.5) == pairs([(0, BOX)], [], 0.5) == pairs([], [(0, BOX)], 0.5) == []
