"""Heads beside what they are made from: each test writes outputs for known boxes, as the network would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.anchors import anchored
from pyncnnq.compare.tasks.detection.boxes import Candidates, suppress
from pyncnnq.compare.tasks.detection.head import Head, Scene
from pyncnnq.compare.tasks.detection.nanodet import nanodet, nanodet_plus
from pyncnnq.compare.tasks.detection.picked import picked
from pyncnnq.compare.tasks.detection.retinaface import retinaface
from pyncnnq.compare.tasks.detection.scrfd import scrfd
from pyncnnq.compare.tasks.detection.task import HEADS
from pyncnnq.compare.tasks.detection.yolo import distributions, ultralytics, with_objectness, yolox

Array = NDArray[np.float32]
Boxes = list[tuple[int, float, tuple[float, float, float, float]]]
"""Class, score, and the box by its corners."""

WIDTH, HEIGHT = 96, 64
CLASSES = 7
FOUND: Boxes = [(3, 0.9, (10, 12, 50, 40)), (0, 0.5, (60, 20, 90, 60))]


def cells(strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Column, row and stride of each cell."""
    return [
        (x, y, stride) for stride in strides for y in range(-(-HEIGHT // stride)) for x in range(-(-WIDTH // stride))
    ]


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def cell_of(box: tuple[float, ...], stride: int, strides: tuple[int, ...]) -> int:
    """The number of the cell with the middle of a box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return cells(strides).index((int(x // stride), int(y // stride), stride))


def decoded(objectness: bool = False, anchors: int = 1) -> Array:
    """(places, 4 + classes): each cell says a box of its own size around itself, with low scores."""
    rng = np.random.default_rng(0)
    rows = []
    for stride in (8, 16, 32):
        for _ in range(anchors):
            for x, y, _ in (cell for cell in cells((8, 16, 32)) if cell[2] == stride):
                centre = [(x + 0.5) * stride + rng.normal(), (y + 0.5) * stride + rng.normal(), stride, stride]
                rows.append([*centre, *[0.01] * objectness, *rng.uniform(0, 0.05, CLASSES)])
    result = np.array(rows, np.float32)
    for place, (label, score, box) in zip((5, 40), FOUND, strict=True):
        x1, y1, x2, y2 = box
        result[place, :4] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        if objectness:
            result[place, 4] = 0.95
        result[place, 4 + objectness + label] = score / (0.95 if objectness else 1)
    return result


def as_yolox() -> Array:
    strides = (8, 16, 32)
    rng = np.random.default_rng(0)
    result = rng.normal(0.5, 0.2, (len(cells(strides)), 5 + CLASSES)).astype(np.float32)
    result[:, 4:] = 0.01
    for label, score, box in FOUND:
        place = cell_of(box, 16, strides)
        x, y, stride = cells(strides)[place]
        x1, y1, x2, y2 = box
        result[place, 0] = ((x1 + x2) / 2) / stride - x
        result[place, 1] = ((y1 + y2) / 2) / stride - y
        result[place, 2:4] = np.log((x2 - x1) / stride), np.log((y2 - y1) / stride)
        result[place, 4], result[place, 5 + label] = 0.95, score / 0.95
    return result


def distances(bins: int, strides: tuple[int, ...], offset: float) -> Array:
    """(places, 4 * bins): of the found boxes, in cells from a point of the cell, as two neighbouring bins."""
    result = np.random.default_rng(1).normal(0, 1, (len(cells(strides)), 4, bins)).astype(np.float32)
    for _, _, box in FOUND:
        place = cell_of(box, 16, strides)
        x, y, stride = cells(strides)[place]
        px, py = (x + offset) * stride, (y + offset) * stride
        for side, distance in enumerate((px - box[0], py - box[1], box[2] - px, box[3] - py)):
            lower = int(distance / stride)
            above = distance / stride - lower
            result[place, side] = -50
            result[place, side, lower] = np.log(max(1 - above, 1e-9))
            result[place, side, lower + 1] = np.log(max(above, 1e-9))
    return result.reshape(len(result), -1)


def class_scores(strides: tuple[int, ...]) -> Array:
    result = np.full((len(cells(strides)), CLASSES), 0.01, np.float32)
    for label, score, box in FOUND:
        result[cell_of(box, 16, strides), label] = score
    return result


def as_nanodet(*, logits: bool = False) -> dict[str, Array]:
    outputs = {}
    scores = class_scores((8, 16, 32))
    first = 0
    for stride in (8, 16, 32):
        count = len(cells((stride,)))
        part = slice(first, first + count)
        outputs[f"cls{stride}"] = np.log(scores / (1 - scores))[part] if logits else scores[part]
        outputs[f"dis{stride}"] = distances(8, (8, 16, 32), 0.5)[part]
        first += count
    return outputs


def with_distributions() -> Array:
    strides = (8, 16, 32)
    scores = class_scores(strides)
    return np.concatenate([distances(16, strides, 0.5), np.log(scores / (1 - scores))], axis=1)


def as_nanodet_plus() -> Array:
    strides = (8, 16, 32, 64)
    return np.concatenate([class_scores(strides), distances(8, strides, 0)], axis=1)


ANCHOR = 30, 61
"""The width and height of YOLOv5's first anchor at stride 16."""


def as_anchors(*, flat: bool) -> dict[str, Array]:
    """Logits of YOLOv5: sigmoids s give the centre (2 s - 0.5 + cell) * stride and the sides (2 s)^2 * anchor."""
    outputs = {}
    for stride in (8, 16, 32):
        columns, rows = -(-WIDTH // stride), -(-HEIGHT // stride)
        values = np.random.default_rng(5).normal(-6, 0.3, (3, 5 + CLASSES, rows, columns))
        if stride == 16:
            for label, score, (x1, y1, x2, y2) in FOUND:
                centre = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
                x, y = int(centre[0]), int(centre[1])
                shares = [(value - cell + 0.5) / 2 for value, cell in zip(centre, (x, y), strict=True)]
                shares += [
                    ((side / anchor) ** 0.5) / 2 for side, anchor in zip((x2 - x1, y2 - y1), ANCHOR, strict=True)
                ]
                values[0, :5, y, x] = [logit(share) for share in [*shares, 0.95]]
                values[0, 5 + label, y, x] = logit(score / 0.95)
        shaped = values.reshape(3, 5 + CLASSES, -1).transpose(0, 2, 1) if flat else values.reshape(-1, rows, columns)
        outputs[f"out{stride}"] = shaped.astype(np.float32)
    return outputs


FACES: Boxes = [(0, score, box) for _, score, box in FOUND]


def as_retinaface() -> dict[str, Array]:
    """The faces are found by the second anchor of stride 16, a square of 64 pixels around (8, 8) of the cell."""
    outputs = {}
    rng = np.random.default_rng(4)
    for stride in (8, 16, 32):
        columns, rows = -(-WIDTH // stride), -(-HEIGHT // stride)
        faces = np.full((2, rows, columns), 0.01)
        boxes = rng.normal(0, 0.3, (2, 4, rows, columns))
        if stride == 16:
            for _, score, (x1, y1, x2, y2) in FACES:
                x, y = int((x1 + x2) / 2 // stride), int((y1 + y2) / 2 // stride)
                faces[1, y, x] = score
                centre = np.array([(x1 + x2) / 2 - (x * stride + 8), (y1 + y2) / 2 - (y * stride + 8)]) / 64
                boxes[1, :, y, x] = *centre, np.log((x2 - x1) / 64), np.log((y2 - y1) / 64)
        outputs[f"prob{stride}"] = np.concatenate([1 - faces, faces]).astype(np.float32)
        outputs[f"bbox{stride}"] = boxes.reshape(8, rows, columns).astype(np.float32)
        outputs[f"landmark{stride}"] = rng.normal(0, 1, (20, rows, columns)).astype(np.float32)
    return outputs


def faces(*, flat: bool, landmarks: bool) -> dict[str, Array]:
    """Two anchors a cell, of which the second has the faces."""
    strides, anchors = (8, 16, 32), 2
    rng = np.random.default_rng(4)
    outputs = {}
    for stride in strides:
        columns, rows = -(-WIDTH // stride), -(-HEIGHT // stride)
        scores = np.full((rows, columns, anchors, 1), 0.01, np.float32)
        sides = rng.uniform(0, 3, (rows, columns, anchors, 4)).astype(np.float32)
        if stride == 16:
            for _, score, box in FACES:
                x, y = int((box[0] + box[2]) / 2 // stride), int((box[1] + box[3]) / 2 // stride)
                scores[y, x, 1] = score
                px, py = x * stride, y * stride
                sides[y, x, 1] = np.array([px - box[0], py - box[1], box[2] - px, box[3] - py]) / stride
        parts = {"score": scores, "bbox": sides, "kps": rng.normal(0, 1, (rows, columns, anchors, 10))}
        for name, values in parts.items():
            if name != "kps" or landmarks:
                shaped = (
                    values.reshape(-1, values.shape[3])
                    if flat
                    else values.reshape(rows, columns, -1).transpose(2, 0, 1)
                )
                outputs[f"{name}_{stride}"] = shaped.astype(np.float32)
    return outputs


FORMS: dict[str, tuple[Head, Callable[[], dict[str, Array]]]] = {
    "yolov8": (ultralytics, lambda: {"out0": decoded().T}),
    "yolov8-transposed": (ultralytics, lambda: {"out0": decoded()}),
    "yolov5": (with_objectness, lambda: {"out0": decoded(True, 3)}),
    "yolov5-transposed": (with_objectness, lambda: {"out0": decoded(True, 3).T}),
    "yolox": (yolox, lambda: {"output": as_yolox()}),
    "yolov8-raw": (distributions, lambda: {"out0": with_distributions()}),
    "nanodet": (nanodet, as_nanodet),
    "nanodet-logits": (nanodet, lambda: as_nanodet(logits=True)),
    "nanodet-distances-first": (nanodet, lambda: dict(reversed(list(as_nanodet().items())))),
    "nanodet-plus": (nanodet_plus, lambda: {"out0": as_nanodet_plus()}),
    "yolov8-raw-masks": (
        distributions,
        lambda: {"out0": with_distributions(), "out1": noise(126, 32), "out2": noise(32, 16, 24)},
    ),
    "yolov5-raw": (anchored, lambda: as_anchors(flat=False)),
    "yolov5-raw-flat": (anchored, lambda: as_anchors(flat=True)),
    "scrfd": (scrfd, lambda: faces(flat=False, landmarks=True)),
    "scrfd-without-landmarks": (scrfd, lambda: faces(flat=False, landmarks=False)),
    "retinaface": (retinaface, lambda: as_retinaface()),
    "scrfd-flat": (scrfd, lambda: faces(flat=True, landmarks=True)),
}
SCENE = Scene(size=(WIDTH, HEIGHT))


def decoded_by(head: Head, exact: dict[str, Array], rough: dict[str, Array] | None = None) -> Candidates:
    form = head(exact, SCENE)
    assert form is not None
    return form.decode(exact if rough is None else rough)


@pytest.mark.parametrize("form", FORMS)
def test_boxes_are_those_that_were_written(form: str) -> None:
    kind, make = FORMS[form]
    outputs = make()
    assert next(head for head in HEADS if head(outputs, SCENE)) is kind
    found = decoded_by(kind, outputs)
    places = np.flatnonzero(found.scores > 0.2)
    rows = sorted((int(found.classes[place]), found.scores[place], *found.boxes[place]) for place in places)
    expected = sorted((label, score, *box) for label, score, box in (FACES if kind in (scrfd, retinaface) else FOUND))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_of_another_size_is_not_read(form: str) -> None:
    outputs = FORMS[form][1]()
    assert not any(head(outputs, Scene(size=(WIDTH + 64, HEIGHT))) for head in HEADS)
    assert not any(head(outputs, Scene(size=None)) for head in HEADS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_an_int8_model_may_write_anything(form: str, value: float) -> None:
    kind, make = FORMS[form]
    exact = make()
    with np.errstate(all="ignore"):
        found = decoded_by(kind, exact, {name: np.full_like(values, value) for name, values in exact.items()})
        kept = suppress(found, threshold=0.2, most_iou=0.45, most=100)
    assert np.isfinite(kept.boxes).all()
    assert not len(kept.scores) or value > 0


def test_rows_that_a_layer_picks() -> None:
    rows = np.array([[2, 0.9, 0.1, 0.2, 0.3, 0.4], [1, 0.8, 0, 0, 1, 1]], np.float32)
    scene = Scene(size=(64, 64), picked=frozenset(["det"]))
    form = picked({"det": rows}, scene)
    assert form is not None
    found = form.decode({"det": rows})
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes, rows[:, 2:])
    nothing = {"det": np.empty(0, np.float32)}
    assert len(form.decode(nothing).scores) == 0
    assert picked(nothing, scene)


def noise(*shape: int) -> Array:
    return np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)


def softmax(values: Array) -> Array:
    weights = np.exp(values - values.max(axis=-1, keepdims=True))
    result: Array = weights / weights.sum(axis=-1, keepdims=True)
    return result


OTHERS: dict[str, dict[str, Array]] = {
    "classes": {"prob": softmax(noise(1000))},
    "text": {"out0": softmax(noise(40, 96))},
    "tokens": {"out0": noise(64, 384)},
    "image": {"out0": noise(3, 128, 192)},
    "map": {"out0": softmax(noise(1, HEIGHT, WIDTH))},
    "semantic": {"out0": noise(21, HEIGHT, WIDTH)},
    "matrix-of-as-many-places": {"out0": noise(4 + CLASSES, 126)},
    "two-matrices": {"a": noise(96, 7), "b": noise(96, 32)[:50]},
    "features": {"a": noise(96, 8, 12), "b": noise(96, 4, 6), "c": noise(96, 2, 3)},
    "three-levels": {"a": noise(21, 8, 12), "b": noise(21, 4, 6), "c": noise(21, 2, 3)},
    "vectors": {"a": noise(10), "b": noise(4)},
    "empty": {"a": np.empty(0, np.float32)},
}


@pytest.mark.parametrize("other", OTHERS)
def test_outputs_of_other_networks_are_not_read(other: str) -> None:
    assert [head for head in HEADS if head(OTHERS[other], SCENE)] == []
