"""The samples that a report shows, with what the network sees of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from detecting_model import SOME, detecting_model
from numpy.typing import NDArray
from small_models import model_of, plain

import pyncnnq
from pyncnnq import Evaluation, InputOptions
from pyncnnq.evaluation.showing import MOST, worst_samples
from pyncnnq.inputs.data import CalibrationData, find_fitting
from pyncnnq.model import Model, load_model
from pyncnnq.report.samples import laid_out

SIDE = 64


def photograph(folder: Path, number: int) -> NDArray[np.uint8]:
    """A PNG of 64 x 64 pixels in blue, green and red, of which each half is of one colour."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = (10 * number, 40, 220)
    pixels[:, SIDE // 2 :] = (200, 90, 30)
    folder.mkdir(exist_ok=True)
    (folder / f"{number:02}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return pixels


def stored(model: Model, folder: Path, name: str) -> Model:
    model.save(folder / f"{name}.param", folder / f"{name}.bin")
    return load_model(folder / f"{name}.param", folder / f"{name}.bin")


Shown = tuple[Model, Model, CalibrationData, Evaluation]


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """An SSD, and one that detects nothing, on 14 images."""
    folder = tmp_path_factory.mktemp("shown")
    model = stored(detecting_model(SOME), folder, "m")
    blind = stored(detecting_model(SOME, threshold=0.99), folder, "blind")
    for number in range(14):
        photograph(folder / "images", number)
    options = InputOptions(mean=(100, 110, 120), norm=(0.02, 0.01, 0.03), pixel="BGR", size=(SIDE, SIDE))
    data = find_fitting(model, [folder / "images"], options, None)
    return model, blind, data, pyncnnq.evaluate(model, blind, data, workers=1)


def test_the_worst_are_shown_as_the_network_sees_them(detected: Shown) -> None:
    model, blind, data, evaluation = detected
    shown = worst_samples(evaluation, model, blind, data, ["background", "thing"], workers=1)
    lost = sorted((-len(sample.record.rows[0]), sample.sqnr) for sample in evaluation.samples)[:MOST]
    assert [(-len(one.sample.record.rows[0]), one.sample.sqnr) for one in shown] == lost
    assert lost[0][0] < 0
    for one in shown:
        assert one.seen is not None
        assert one.drawing is not None
        assert not one.views
        expected = cv2.imread(str(one.sample.path))[..., ::-1]
        assert np.abs(one.seen.pixels.astype(int) - expected).max() <= 1  # float32 there and back
        assert all(box.overlap is None and box.model == 0 for box in one.drawing.boxes)
    assert [one.drawing for one in shown] == [
        one.drawing for one in worst_samples(evaluation, model, blind, data, ["background", "thing"], workers=2)
    ]

    laid = laid_out(shown[0])
    assert (laid.width, laid.height) == (320, 320)
    assert laid.image is not None
    assert laid.image.startswith("data:image/jpeg;base64,")
    row = shown[0].sample.record.rows[0][0]
    (box,) = [box for box in laid.boxes if box.title.endswith(f"{row.score:.2f}, lost")][:1]
    assert (box.x, box.y) == pytest.approx((320 * max(row.x1, -0.5), 320 * max(row.y1, -0.5)), abs=0.1)


def test_images_that_are_gone_leave_the_boxes(detected: Shown) -> None:
    model, blind, data, evaluation = detected
    gone = {sample.path: sample.path.with_suffix(".gone") for sample in evaluation.samples}
    samples = [replace(sample, path=gone[sample.path]) for sample in evaluation.samples]
    moved = replace(data, samples=[(gone[path],) for (path,) in data.samples])
    shown = worst_samples(replace(evaluation, samples=samples), model, blind, moved, workers=1)
    assert len(shown) == MOST
    assert all(one.seen is None for one in shown)
    laid = laid_out(shown[0])
    assert laid.image is None
    assert laid.boxes


def test_pictures_of_both_models_are_made_again(tmp_path: Path) -> None:
    pixels = photograph(tmp_path / "images", 3)
    model = stored(model_of(plain("ReLU", "out", "in0"), shape=(3, SIDE, SIDE)), tmp_path, "m")
    darker = model_of(plain("Power", "out", "in0", text=" 0=1 1=0.5"), shape=(3, SIDE, SIDE))
    options = InputOptions(mean=(0,) * 3, norm=(1 / 255,) * 3, pixel="RGB", size=(SIDE, SIDE))
    other = stored(darker, tmp_path, "darker")
    data = find_fitting(model, [tmp_path / "images"], options, None)
    evaluation = pyncnnq.evaluate(model, other, data, workers=1)
    assert evaluation.task is not None
    assert evaluation.task.name == "image"
    (shown,) = worst_samples(evaluation, model, other, data, workers=1)
    before, after, _ = shown.views
    assert np.abs(before.pixels.astype(int) - pixels[..., ::-1]).max() <= 1
    assert np.abs(after.pixels.astype(int) - pixels[..., ::-1] / 2).max() <= 1
