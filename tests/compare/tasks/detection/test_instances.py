"""Instance segmentation and pose: outputs as ultralytics writes them, made from known masks and keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection import DETECTION, INSTANCE_SEGMENTATION, POSE
from pyncnnq.compare.tasks.drawing import FLOAT_ALONE, INT8_ALONE
from pyncnnq.compare.tasks.task import Outputs, Sample

Array = NDArray[np.float32]
SIZE = 64
SAMPLE = Sample(paths=[], shapes=[(3, SIZE, SIZE)])
PROTOTYPES, KEYPOINTS, CLASSES = 4, 3, 2


def places(extra: int) -> Array:
    """(4 + extra, 84): each cell says a box of its own size around itself."""
    boxes = [
        ((x + 0.5) * stride, (y + 0.5) * stride, stride, stride)
        for stride in (8, 16, 32)
        for y in range(SIZE // stride)
        for x in range(SIZE // stride)
    ]
    return np.concatenate([np.array(boxes, np.float32).T, np.full((extra, 84), 0.01, np.float32)]).astype(np.float32)


def place_box(output: Array, place: int, box: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = box
    output[:4, place] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def segmented(*found: tuple[tuple[int, int, int, int], list[float]]) -> Outputs:
    """One detection of class 1 for each box and its weights; a prototype is 1 in four columns of its own, else -1."""
    output = places(CLASSES + PROTOTYPES)
    output[4 + CLASSES :] = np.random.default_rng(0).normal(0, 2, (PROTOTYPES, 84))
    for place, (box, weights) in enumerate(found):
        place_box(output, 11 * place, box)
        output[5, 11 * place] = 0.9 - 0.1 * place
        output[4 + CLASSES :, 11 * place] = weights
    prototypes = np.full((PROTOTYPES, 16, 16), -1, np.float32)
    for number in range(PROTOTYPES):
        prototypes[number, :, 4 * number : 4 * number + 4] = 1
    return {"out0": output, "out1": prototypes}


def test_masks_are_cut_to_their_boxes() -> None:
    # In the map of 16 x 16 both boxes are columns 2 to 10, rows 0 to 8. The first prototype alone: columns 0 to 4.
    box = (8, 0, 40, 32)
    exact = segmented((box, [1.0, 0, 0, 0]))
    same = INSTANCE_SEGMENTATION.record(exact, exact, SAMPLE)
    assert same is not None
    assert same.overlaps == (1.0,)
    # Sums of 5 in columns 0 to 4, 3 in 4 to 8, and below 0 beyond.
    rough = segmented((box, [3.0, 2.0, -2.0, -2.0]))
    found = INSTANCE_SEGMENTATION.record(exact, rough, SAMPLE)
    assert found is not None
    assert found.overlaps == (pytest.approx(2 / 6),)  # columns 2 to 4 of 2 to 8
    names = {figure.name: figure.values for figure in INSTANCE_SEGMENTATION.figures([same, found], None, [])}
    assert names["IoU of masks of kept ones"] == (None, pytest.approx((1 + 2 / 6) / 2))
    assert names["kept at IoU 0.5"] == (None, 100)


def test_what_is_lost_has_no_mask() -> None:
    exact = segmented(((8, 0, 40, 32), [1.0, 0, 0, 0]), ((40, 40, 60, 60), [0, 0, 0, 1.0]))
    rough = segmented(((8, 0, 40, 32), [1.0, 0, 0, 0]))
    found = INSTANCE_SEGMENTATION.record(exact, rough, SAMPLE)
    assert found is not None
    assert [len(rows) for rows in found.rows] == [2, 1]
    assert found.overlaps == (1.0,)


def test_masks_are_shown_in_both_models_and_in_one_alone() -> None:
    box = (8, 0, 40, 32)
    exact = segmented((box, [1.0, 0, 0, 0]), ((40, 40, 64, 64), [0, 0, 0, 1.0]))
    (view,) = INSTANCE_SEGMENTATION.views(exact, segmented((box, [3.0, 2.0, -2.0, -2.0])), SAMPLE)
    assert view.pixels.shape == (16, 16, 3)
    expected = np.zeros((16, 16, 3), int)
    expected[0:8, 2:4] = 255
    expected[0:8, 4:8] = INT8_ALONE
    expected[10:16, 12:16] = FLOAT_ALONE
    assert view.pixels.tolist() == expected.tolist()
    (view,) = INSTANCE_SEGMENTATION.views(exact, {name: values[:1] for name, values in exact.items()}, SAMPLE)
    assert {tuple(pixel) for pixel in view.pixels.reshape(-1, 3).tolist()} == {(0, 0, 0), FLOAT_ALONE}


def posed(*found: tuple[tuple[int, int, int, int], list[tuple[float, float, float]]]) -> Outputs:
    output = places(1 + 3 * KEYPOINTS)
    output[5::3], output[6::3] = output[0], output[1]
    for place, (box, points) in enumerate(found):
        place_box(output, 11 * place, box)
        output[4, 11 * place] = 0.8
        output[5:, 11 * place] = np.ravel(points)
    return {"out0": output}


def test_distances_of_keypoints_are_of_the_box() -> None:
    box = (10, 10, 50, 50)
    exact = posed((box, [(20, 20, 0.9), (30, 30, 0.9), (0, 0, 0.1)]))
    rough = posed((box, [(23, 24, 0.9), (30, 30, 0.2), (60, 60, 0.9)]))  # the third is not seen in float
    found = POSE.record(exact, rough, SAMPLE)
    assert found is not None
    assert found.distances == (pytest.approx((5 + 0) / 2 / 40),)
    names = {figure.name: figure.values for figure in POSE.figures([found], None, [])}
    assert names["distance of keypoints, of the box's size"] == (None, pytest.approx(100 * 2.5 / 40))


def test_keypoints_are_drawn_where_each_model_sees_them() -> None:
    box, gone = (10, 10, 50, 50), (float("inf"), 5, 0.9)
    still = posed((box, [(20, 20, 0.9), (30, 30, 0.9), (0, 0, 0.1)]))
    moved = posed((box, [(23, 24, 0.9), (30, 30, 0.2), gone]))
    found = [POSE.record(still, rough, SAMPLE) for rough in (still, moved, {"out0": np.zeros((3, 3), np.float32)})]
    same, other, broken = POSE.shown([each for each in found if each], [])
    places = [(point.model, point.title, point.x * SIZE, point.y * SIZE) for point in other.points]
    assert places == [
        (0, "keypoint 0", pytest.approx(20), pytest.approx(20)),
        (0, "keypoint 1", pytest.approx(30), pytest.approx(30)),
        (1, "keypoint 0", pytest.approx(23), pytest.approx(24)),
    ]
    assert same.loss == 0 < other.loss
    assert {point.model for point in broken.points} == {0}


def test_a_detection_of_which_no_keypoint_is_seen_says_nothing() -> None:
    exact = posed(((10, 10, 50, 50), [(20, 20, 0.1)] * KEYPOINTS))
    found = POSE.record(exact, exact, SAMPLE)
    assert found is not None
    assert found.distances == (None,)
    assert "distance of keypoints" not in str(POSE.figures([found], None, []))


@pytest.mark.parametrize("task", [INSTANCE_SEGMENTATION, POSE], ids=lambda task: task.name)
def test_an_int8_model_may_write_anything(task: Any) -> None:
    box = (8, 0, 40, 32)
    exact = segmented((box, [1.0, 0, 0, 0])) if task is INSTANCE_SEGMENTATION else posed((box, [(9, 9, 0.9)] * 3))
    for rough in (
        {name: np.full_like(values, np.nan) for name, values in exact.items()},
        {name: values[:, :5] for name, values in exact.items()},
    ):
        found = task.record(exact, rough, SAMPLE)
        assert found is not None
        assert [len(rows) for rows in found.rows] == [1, 0]


def test_each_is_told_from_the_other_and_from_plain_detections() -> None:
    box = (8, 0, 40, 32)
    plain = {"out0": segmented((box, [1.0, 0, 0, 0]))["out0"][: 4 + CLASSES]}
    given = segmented((box, [1.0, 0, 0, 0])), posed((box, [(9, 9, 0.9)] * KEYPOINTS)), plain
    taken = [
        [task.name for task in (DETECTION, INSTANCE_SEGMENTATION, POSE) if task.record(outputs, outputs, SAMPLE)]
        for outputs in given
    ]
    assert taken == [["instance-segmentation"], ["pose"], ["detection"]]
