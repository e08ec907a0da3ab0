"""The task: records and figures of detections, in both models, and in stock ncnn."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from detecting_model import NONE, SOME, detecting_model, samples
from small_models import convolution, model_of

import pyncnnq
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks import find_task
from pyncnnq.compare.tasks.detection import DETECTION, Detected, Detection
from pyncnnq.compare.tasks.detection.task import Row
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Weight, load_model

BOX, SHIFTED = (0.0, 0.0, 10.0, 10.0), (2.0, 0.0, 12.0, 10.0)  # IoU 2/3


def figures(*records: tuple[list[Row], list[Row]], labels: Any = None) -> dict[str, Figure]:
    given = [Detected(size=(64, 64), relative=False, rows=(tuple(exact), tuple(rough))) for exact, rough in records]
    return {figure.name: figure for figure in DETECTION.figures(given, labels, [Path("a.png")] * len(given))}


def test_figures_by_hand() -> None:
    found = figures(
        ([Row(0, 0.9, *BOX), Row(1, 0.8, *BOX)], [Row(0, 0.7, *SHIFTED), Row(2, 0.5, *BOX)]),
        ([Row(3, 0.6, *BOX)], [Row(3, 0.5, *BOX)]),
        ([], [Row(0, 0.3, *BOX)]),
    )
    assert found["detections"].values == (3, 4)
    kept = found["kept at IoU 0.5"]
    assert kept.values == (None, pytest.approx(100 * 2 / 3))
    assert kept.drop is None
    assert found["F1 to float at IoU 0.5"].values == (None, pytest.approx(100 * 2 * 2 / (3 + 4)))
    assert found["F1 to float at IoU 0.5"].drop == pytest.approx(100 - 100 * 4 / 7)
    assert found["kept at IoU 0.75"].values == (None, pytest.approx(100 / 3))
    assert found["kept at IoU 0.75"].drop is None
    assert found["lost"].values == (None, 1)
    assert found["new"].values == (None, 2)
    assert found["score of kept ones, int8 minus float"].values == (None, pytest.approx((-0.2 - 0.1) / 2))
    assert found["IoU of kept ones"].values == (None, pytest.approx((2 / 3 + 1) / 2))


def test_no_detections_at_all_are_a_result() -> None:
    found = figures(([], []), ([], []))
    assert {name: figure.values for name, figure in found.items()} == {
        "detections": (0, 0),
        "lost": (None, 0),
        "new": (None, 0),
    }


def yolo(*found: tuple[int, float]) -> np.ndarray[Any, Any]:
    """An output of 3 classes for an image of 64x64: 84 places, of which some have a class and a score."""
    places = [
        ((x + 0.5) * stride, (y + 0.5) * stride, stride, stride)
        for stride in (8, 16, 32)
        for y in range(64 // stride)
        for x in range(64 // stride)
    ]
    output = np.concatenate([np.array(places, np.float32).T, np.full((3, 84), 0.01, np.float32)])
    for place, (label, score) in enumerate(found):
        output[4 + label, 9 * place] = score
    return output.astype(np.float32)


SAMPLE = Sample(paths=[Path("a.png")], shapes=[(3, 64, 64)])


def test_a_record_holds_what_both_models_show() -> None:
    found = DETECTION.record({"out0": yolo((2, 0.9), (0, 0.3))}, {"out0": yolo((2, 0.7), (0, 0.15))}, SAMPLE)
    assert found is not None
    assert [[row.label for row in rows] for rows in found.rows] == [[2, 0], [2]]
    assert found.rows[0][0] == pytest.approx((2, 0.9, 0, 0, 8, 8))
    assert not found.relative


def test_an_int8_output_of_another_shape_has_no_detections() -> None:
    found = DETECTION.record({"out0": yolo((2, 0.9))}, {"out0": np.zeros((7, 21), np.float32)}, SAMPLE)
    assert found is not None
    assert [len(rows) for rows in found.rows] == [1, 0]


def test_the_threshold_is_a_setting() -> None:
    outputs = {"out0": yolo((2, 0.9), (0, 0.3), (1, 0.5))}
    counts = []
    for name in ("detection", "detection:0.4", "detection:0.95"):
        found = find_task(name).record(outputs, outputs, SAMPLE)
        counts.append(len(found.rows[0]))
    assert counts == [3, 2, 0]
    kept_pairs = Detection(most_iou=1.0)
    assert kept_pairs.most_iou == 1


@pytest.mark.parametrize("setting", ["detection:", "detection:1", "detection:-0.1", "detection:x", "detection:nan"])
def test_a_threshold_that_is_none(setting: str) -> None:
    with pytest.raises(PyncnnqError, match="expected the score that detections have at least"):
        find_task(setting)


def test_other_tasks_take_no_setting() -> None:
    with pytest.raises(PyncnnqError, match="classification takes no setting"):
        find_task("classification:3")


def test_records_are_bounded() -> None:
    matrix = np.zeros((3780, 85), np.float32)  # 192 x 320, three places a cell
    matrix[:, :2] = np.random.default_rng(0).uniform(0, 320, (3780, 2))
    matrix[:, 2:4] = 1
    matrix[:, 4:6] = 0.9
    model = model_of(convolution(np.random.default_rng(0), "out0", "in0", 3, 4))
    found = Detection().prepared(model, forced=True)
    exact = {"out0": np.ascontiguousarray(np.delete(matrix, 4, axis=1))}
    record = found.record(exact, exact, Sample(paths=[], shapes=[(3, 192, 320)]))
    assert record is not None
    assert [len(rows) for rows in record.rows] == [100, 100]


def values_of(found: Sequence[Figure]) -> dict[str, tuple[float | None, float]]:
    return {figure.name: figure.values for figure in found}


@pytest.mark.parametrize("background", [NONE, SOME], ids=["no-detections", "some"])
def test_an_ssd_in_stock_ncnn(background: float, tmp_path: Path) -> None:
    detecting_model(background).save(tmp_path / "m.param", tmp_path / "m.bin")
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    found = pyncnnq.evaluate(model, model, samples(tmp_path / "data", 3), workers=1)
    assert found.task is not None
    assert found.task.name == "detection"
    shown = values_of(found.task.figures)
    before, after = shown["detections"]
    assert before == after
    assert (before == 0) == (background == NONE)
    assert shown["lost"] == shown["new"] == (None, 0)
    assert all(record.record.relative for record in found.samples)


def test_nanodet_in_stock_ncnn(shared: Path, tmp_path: Path) -> None:
    files = shared / "models" / "nanodet_m.param", shared / "models" / "nanodet_m.bin"
    model = load_model(*files)
    noisy = model.copy()
    rng = np.random.default_rng(0)
    for layer in noisy.layers:
        if "weight_data" in layer.weights:
            values = layer.weights["weight_data"].float32()
            noise = rng.normal(0, 0.05 * np.abs(values).mean(), values.size)
            layer.weights["weight_data"] = Weight.tagged_float32("weight_data", values.ravel() + noise)
    noisy.save(tmp_path / "n.param", tmp_path / "n.bin")
    photographs = sorted((shared / "data" / "imagenet" / "eval").iterdir())[:120:40]
    options = pyncnnq.InputOptions(preset="nanodet", size=(320, 320))
    shown = []
    for other in (model, load_model(tmp_path / "n.param", tmp_path / "n.bin")):
        found = pyncnnq.evaluate(model, other, photographs, options=options, workers=1)
        assert found.task is not None
        assert found.task.name == "detection"
        shown.append(values_of(found.task.figures))
        for sample in found.samples:
            for row in sample.record.rows[0]:
                assert 0 <= row.label < 80
                assert 0.2 < row.score <= 1
                assert -32 < row.x1 < row.x2 < 352
                assert -32 < row.y1 < row.y2 < 352
    assert shown[0]["detections"][0] == shown[1]["detections"][0]
    assert (shown[0]["detections"][0] or 0) >= 3
    assert shown[0]["kept at IoU 0.5"] == (None, 100)
    assert shown[1]["kept at IoU 0.75"][1] < 100


def test_a_gate_looks_at_detections(cli: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    detecting_model(SOME).save(tmp_path / "m.param", tmp_path / "m.bin")
    detecting_model(SOME, threshold=0.99).save(tmp_path / "blind.param", tmp_path / "blind.bin")
    data = samples(tmp_path / "data", 3)
    float_files, blind = ([tmp_path / f"{name}.{kind}" for kind in ("param", "bin")] for name in ("m", "blind"))
    done = cli("evaluate", *float_files, *float_files, data, "--fail-drop", 0)
    assert done.returncode == 0, done.stderr
    assert "task: detection" in done.stdout
    assert "kept at IoU 0.5" in done.stdout
    done = cli("evaluate", *float_files, *blind, data, "--fail-drop", 50)
    assert done.returncode == 1
    assert "F1 to float at IoU 0.5 drops by 100, more than 50" in done.stderr
    done = cli("evaluate", *float_files, *blind, data, "--fail-drop", 50, "--task", "detection:0.999")
    assert done.returncode == 2
    assert "there is nothing to drop; give a metric, or labels or a task" in done.stderr
    told = json.loads(cli("evaluate", *float_files, *blind, data, "--json").stdout)
    assert told["task"]["name"] == "detection"
    assert told["samples"][0]["record"]["relative"] is True
