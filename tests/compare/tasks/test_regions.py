"""Maps of regions, beside what is drawn into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, model_of, plain

import pyncnnq
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.regions import REGIONS, Regions
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.model import load_model

SAMPLE = Sample(paths=[], shapes=[(3, 64, 96)])


def drawn(*boxes: tuple[int, int, int, int], shape: tuple[int, ...] = (1, 64, 96)) -> dict[str, NDArray[np.float32]]:
    values = np.full(shape, 0.05, np.float32)
    for x1, y1, x2, y2 in boxes:
        values[..., y1:y2, x1:x2] = 0.8
    return {"out0": values}


def record(exact: dict[str, NDArray[np.float32]], rough: dict[str, NDArray[np.float32]]) -> Regions:
    found = REGIONS.record(exact, rough, SAMPLE)
    assert found is not None
    return found


def figures(*records: Regions) -> dict[str, Figure]:
    return {figure.name: figure for figure in REGIONS.figures(records, None, [])}


def test_a_record_by_hand() -> None:
    first, second, moved = (10, 10, 30, 20), (50, 30, 90, 50), (14, 10, 34, 20)
    found = record(drawn(first, second), drawn(moved, (60, 55, 62, 63)))  # the latter is too narrow for a box
    assert found.boxes == ((first, second), (moved,))
    assert found.common == 16 * 10
    assert found.either == 24 * 10 + 40 * 20 + 2 * 8
    assert found.same == 1  # 160 of 240


def test_figures_by_hand() -> None:
    box = (10, 10, 30, 20)
    found = figures(record(drawn(box), drawn(box)), record(drawn(box, (50, 30, 90, 50)), drawn()))
    assert found["boxes"].values == (3, 1)
    assert found["hmean of boxes at IoU 0.5"].values == (None, pytest.approx(100 * 2 / 4))
    assert found["hmean of boxes at IoU 0.5"].drop == pytest.approx(50)
    assert found["IoU of maps above 0.3"].values == (None, pytest.approx(200 / (200 + 1000)))


def test_precision_and_recall_count_alike() -> None:
    box, other = (10, 10, 30, 20), (50, 30, 90, 50)
    lost = figures(record(drawn(box, other), drawn(box)))["hmean of boxes at IoU 0.5"]
    new = figures(record(drawn(box), drawn(box, other)))["hmean of boxes at IoU 0.5"]
    precision, recall = 1, 1 / 2
    assert lost.values == new.values == (None, pytest.approx(100 * 2 * precision * recall / (precision + recall)))


def test_nothing_found_is_a_result() -> None:
    assert {name: figure.values for name, figure in figures(record(drawn(), drawn())).items()} == {"boxes": (0, 0)}


def test_an_int8_map_of_another_shape_or_of_no_numbers_has_nothing() -> None:
    box = (10, 10, 30, 20)
    for rough in (drawn(box, shape=(1, 32, 48)), {"out0": np.full((1, 64, 96), np.nan, np.float32)}):
        found = record(drawn(box), rough)
        assert (found.common, found.either, found.same) == (0, 200, 0)


@pytest.mark.parametrize("shape", [(2, 64, 96), (1, 60, 96), (1, 32, 96), (64,)], ids=str)
def test_what_does_not_lie_over_the_image_is_no_map(shape: tuple[int, ...]) -> None:
    values = {"out0": np.zeros(shape, np.float32)}
    assert REGIONS.record(values, values, SAMPLE) is None


@pytest.mark.parametrize("shape", [(1, 64, 96), (64, 96), (1, 16, 24)], ids=str)
def test_maps_may_be_smaller(shape: tuple[int, ...]) -> None:
    values = {"out0": np.zeros(shape, np.float32)}
    assert REGIONS.record(values, values, SAMPLE) is not None


def test_a_sigmoid_writes_it() -> None:
    rng = np.random.default_rng(0)
    plainly = model_of(convolution(rng, "map", "in0", 3, 1))
    alone = model_of(convolution(rng, "map", "in0", 3, 1), plain("Sigmoid", "out0", "map"))
    fused = model_of(convolution(rng, "map", "in0", 3, 1, text=" 9=4"))
    assert [REGIONS.fits(model) for model in (plainly, alone, fused)] == [False, True, True]


def test_a_detector_of_text_in_stock_ncnn(shared: Path) -> None:
    files = [shared / "models" / f"PP_OCRv5_mobile_det.ncnn.{kind}" for kind in ("param", "bin")]
    lines = sorted((shared / "data" / "textlines" / "eval").iterdir())[:2]
    model = load_model(*files)
    options = pyncnnq.InputOptions(preset="pp-ocr-det", size=(320, 64))
    found = pyncnnq.evaluate(model, model, lines, options=options, workers=1)
    assert found.task is not None
    assert found.task.name == "regions"
    shown = {figure.name: figure.values for figure in found.task.figures}
    assert (shown["boxes"][0] or 0) >= 2  # there is text in each
    assert shown["hmean of boxes at IoU 0.5"] == (None, 100)
    assert shown["IoU of maps above 0.3"] == (None, 1)
