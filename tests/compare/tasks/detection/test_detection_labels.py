"""True boxes: read from files, moved as images are resized, and average precision beside its definition."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detecting_model import SOME, detecting_model, samples

import pyncnnq
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.class_labels import class_names
from pyncnnq.compare.tasks.detection import DETECTION, Detected, Detection
from pyncnnq.compare.tasks.detection.labels import Box, as_network_sees, find_boxes
from pyncnnq.compare.tasks.detection.precision import average_precision
from pyncnnq.compare.tasks.detection.task import Row
from pyncnnq.errors import InputError
from pyncnnq.inputs.loading import load_image
from pyncnnq.inputs.preprocessing import Preprocessing, Resize


def test_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("2 0.5 0.4 0.2 0.6\n\n0 0.1 0.2 0.3 0.2 0.25 0.9\n")
    found = find_boxes(str(tmp_path), [Path("x/a.jpg"), Path("x/b.jpg")])
    assert found[0][0] == pytest.approx((2, 0.4, 0.1, 0.6, 0.7, False))
    assert found[0][1] == pytest.approx((0, 0.1, 0.2, 0.3, 0.9, False))  # around an outline
    assert found[1] == ()  # nothing is in it


@pytest.mark.parametrize(
    "line", ["1 2 3", "x 0.1 0.1 0.1 0.1", "-1 0.1 0.1 0.1 0.1", "0.5 0 0 0 0", "0 nan 0 0 0", "0"]
)
def test_a_line_that_is_no_box_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(InputError, match=r"a\.txt: line 2: expected") as error:
        find_boxes(str(tmp_path), [Path("a.jpg")])
    assert error.value.option == "labels"


def coco() -> dict[str, list[dict[str, object]]]:
    return {
        "images": [
            {"id": 7, "file_name": "train/a.jpg", "width": 200, "height": 100},
            {"id": 9, "file_name": "b.jpg", "width": 10, "height": 10},
        ],
        "categories": [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [20, 10, 100, 50]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 200, 100], "iscrowd": 1},
        ],
    }


def test_a_coco_file(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(json.dumps(coco()))
    found = find_boxes(str(tmp_path / "l.json"), [Path("x/b.jpg"), Path("x/a.jpg")])
    assert found == [(), (Box(1, 0.1, 0.1, 0.6, 0.6), Box(0, 0, 0, 1, 1, True))]
    with pytest.raises(InputError, match=r"has no image of the name c\.jpg"):
        find_boxes(str(tmp_path / "l.json"), [Path("c.jpg")])


@pytest.mark.parametrize("content", ["[]", "{", '{"images": []}', json.dumps({**coco(), "categories": []})])
def test_what_is_no_coco_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(content)
    with pytest.raises(InputError, match=r"l\.json: is no COCO file"):
        find_boxes(str(tmp_path / "l.json"), [Path("a.jpg")])


def test_a_folder_without_files_for_the_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no file for any image, such as a\.txt"):
        find_boxes(str(tmp_path), [Path("a.jpg")])
    with pytest.raises(InputError, match="expected a COCO file"):
        find_boxes(str(tmp_path / "x.csv"), [Path("a.jpg")])


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "short-side:96"])
@pytest.mark.parametrize("image", [(160, 120), (90, 200)], ids=["wide", "high"])
def test_boxes_are_where_the_network_sees_the_thing(resize: str, image: tuple[int, int], tmp_path: Path) -> None:
    """A white thing in a black image, as it is loaded."""
    width, height = image
    pixels = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = round(0.4 * width), round(0.5 * height), round(0.6 * width), round(0.6 * height)
    pixels[y1:y2, x1:x2] = 255
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    mode, _, side = resize.partition(":")
    preprocessing = Preprocessing((96, 64), (0, 0, 0), (1, 1, 1), "RGB", Resize(mode, int(side or 0)))  # type: ignore[arg-type]
    seen = np.array(load_image(tmp_path / "a.png", preprocessing))[0] > 127
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    (box,) = as_network_sees([Box(0, x1 / width, y1 / height, x2 / width, y2 / height)], image, preprocessing)
    expected = columns[0] / 96, rows[0] / 64, (columns[-1] + 1) / 96, (rows[-1] + 1) / 64
    assert box[1:5] == pytest.approx(expected, abs=1.01 / 64)


def test_what_is_cut_off_is_not_seen() -> None:
    preprocessing = Preprocessing((64, 64), (0, 0, 0), (1, 1, 1), "RGB", Resize("short-side", 64))
    boxes = [Box(0, 0, 0, 0.2, 1), Box(1, 0.2, 0.25, 0.6, 0.75)]
    assert as_network_sees(boxes, (200, 100), preprocessing) == (Box(1, 0, 0.25, 0.7, 0.75),)


def definition(truth: list[list[Box]], found: list[list[Row]], label: int, least: float) -> float:
    """Average precision of one class: precision at 101 recalls, each the best at that recall or above."""
    taken: set[tuple[int, int]] = set()
    hits = []
    everything = [(image, row) for image, rows in enumerate(found) for row in rows if row.label == label]
    for image, row in sorted(everything, key=lambda each: -each[1].score):
        best, chosen = least, None
        for place, box in enumerate(truth[image]):
            if box.label != label or (image, place) in taken:
                continue
            width = min(row.x2, box.x2) - max(row.x1, box.x1)
            height = min(row.y2, box.y2) - max(row.y1, box.y1)
            common = max(width, 0) * max(height, 0)
            areas = [(each.x2 - each.x1) * (each.y2 - each.y1) for each in (row, box)]
            iou = common / (sum(areas) - common)
            if iou >= best:
                best, chosen = iou, place
        hits.append(chosen is not None)
        if chosen is not None:
            taken.add((image, chosen))
    total = sum(box.label == label for boxes in truth for box in boxes)
    right = np.cumsum(hits)
    precision, recall = right / np.arange(1, len(hits) + 1), right / total
    return float(np.mean([max(precision[recall >= at], default=0) for at in np.linspace(0, 1, 101)]))


def scene(seed: int) -> tuple[list[list[Box]], list[list[Row]]]:
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(12):
        boxes, rows = [], []
        for _ in range(rng.integers(0, 5)):
            x, y, width, height = rng.uniform(0, 0.6, 2).tolist() + rng.uniform(0.1, 0.4, 2).tolist()
            label = int(rng.integers(0, 2))
            boxes.append(Box(label, x, y, x + width, y + height))
            if rng.random() < 0.8:
                shift = rng.normal(0, 0.02, 4)
                rows.append(Row(label, rng.uniform(0.3, 1), *(np.array(boxes[-1][1:5]) + shift).tolist()))
        for _ in range(rng.integers(0, 3)):
            x, y = rng.uniform(0, 0.7, 2)
            rows.append(Row(int(rng.integers(0, 2)), rng.uniform(0.2, 0.8), x, y, x + 0.2, y + 0.2))
        truth.append(boxes)
        found.append(sorted(rows, key=lambda row: -row.score))
    return truth, found


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_the_definition(seed: int) -> None:
    pytest.importorskip("pycocotools")
    truth, found = scene(seed)
    by_iou = [
        np.mean([definition(truth, found, label, least) for label in (0, 1)]) for least in np.arange(0.5, 1, 0.05)
    ]
    mean, at_half = average_precision(truth, found)
    assert at_half == pytest.approx(100 * by_iou[0], abs=0.5)
    assert mean == pytest.approx(100 * np.mean(by_iou), abs=0.5)
    assert 20 < mean < at_half < 95


def test_figures_of_both_models() -> None:
    pytest.importorskip("pycocotools")
    box = Row(1, 0.9, 16, 8, 48, 40)
    record = Detected(size=(64, 64), relative=False, rows=((box,), ()))
    truth = (Box(1, 0.25, 0.125, 0.75, 0.625),)
    found: dict[str, Figure] = {each.name: each for each in DETECTION.figures([record], [truth], [])}
    mean = found["mean AP at IoU 0.5 to 0.95"]
    assert mean.values == (pytest.approx(100), 0)
    assert mean.drop == pytest.approx(100)
    assert found["kept at IoU 0.5"].drop is None
    assert average_precision([()], [()]) == (pytest.approx(np.nan, nan_ok=True),) * 2


def test_labels_say_which_task_they_are_for(tmp_path: Path) -> None:
    assert Detection().takes_labels("x.json")
    assert Detection().takes_labels(str(tmp_path))
    assert not Detection().takes_labels("classes.txt")
    assert not Detection().takes_labels("folders")
    (tmp_path / "l.json").write_text(json.dumps(coco()))
    assert class_names(str(tmp_path / "l.json"), []) == class_names(str(tmp_path), []) == []


def test_labels_of_an_ssd(tmp_path: Path) -> None:
    """The truth is what the float model finds."""
    detecting_model(SOME).save(tmp_path / "m.param", tmp_path / "m.bin")
    model, data, labels = pyncnnq.load_model(tmp_path / "m.param", tmp_path / "m.bin"), tmp_path / "d", tmp_path / "l"
    samples(data, 3)
    labels.mkdir()
    for sample in pyncnnq.evaluate(model, model, data, workers=1).samples:
        lines = [
            f"{row.label} {(row.x1 + row.x2) / 2} {(row.y1 + row.y2) / 2} {row.x2 - row.x1} {row.y2 - row.y1}"
            for row in sample.record.rows[0]
        ]
        (labels / f"{sample.path.stem}.txt").write_text("\n".join(lines))
    if importlib.util.find_spec("pycocotools") is None:
        with pytest.raises(InputError, match=r"pip install 'pyncnnq\[coco\]'"):
            pyncnnq.evaluate(model, model, data, labels=str(labels), workers=1)
        return
    found = pyncnnq.evaluate(model, model, data, labels=str(labels), workers=1)
    assert found.task is not None
    shown = {figure.name: figure.values for figure in found.task.figures}
    assert shown["mean AP at IoU 0.5 to 0.95"] == (pytest.approx(100), pytest.approx(100))
