"""What tasks show of samples: boxes, texts and pictures, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyncnnq.compare.tasks.classification import CLASSIFICATION
from pyncnnq.compare.tasks.detection import DETECTION, Detected
from pyncnnq.compare.tasks.detection.task import Row
from pyncnnq.compare.tasks.images import IMAGES, Picture
from pyncnnq.compare.tasks.regions import REGIONS
from pyncnnq.compare.tasks.segmentation import SEGMENTATION
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.compare.tasks.text_recognition import TEXT_RECOGNITION, Line
from pyncnnq.inputs import Preprocessing
from pyncnnq.model import Model

SAMPLE = Sample(paths=[], shapes=[])


def test_lost_and_new_boxes_weigh_more_than_scores_that_change() -> None:
    box, shifted = (0.0, 0.0, 32.0, 16.0), (8.0, 0.0, 40.0, 16.0)  # IoU 3/5
    both = Detected(
        size=(64, 32),
        relative=False,
        rows=((Row(0, 0.9, *box), Row(7, 0.4, *box)), (Row(0, 0.6, *shifted), Row(2, 0.3, *box))),
    )
    drifts = Detected(size=(64, 32), relative=False, rows=((Row(0, 0.9, *box),), (Row(0, 0.3, *box),)))
    nothing = Detected(size=(64, 32), relative=False, rows=((), ()))
    first, second, third = DETECTION.shown([both, drifts, nothing], ["cat", "dog"])
    assert first.loss == pytest.approx(2.3)
    assert second.loss == pytest.approx(0.6)
    assert (first.empty, second.empty, third.empty) == (False, False, True)
    assert first.caption == "2 in float, 2 in int8: 1 lost, 1 new"
    assert [(box.model, box.title, box.sides, box.overlap) for box in first.boxes] == [
        (0, "cat 0.90", (0, 0, 0.5, 0.5), pytest.approx(0.6)),
        (0, "class 7 0.40", (0, 0, 0.5, 0.5), None),
        (1, "cat 0.60", (0.125, 0, 0.625, 0.5), pytest.approx(0.6)),
        (1, "class 2 0.30", (0, 0, 0.5, 0.5), None),
    ]
    relative = replace(both, relative=True, rows=((Row(0, 0.9, 0.1, 0.2, 0.3, 0.4),), ()))
    assert DETECTION.shown([relative], [])[0].boxes[0].sides == (0.1, 0.2, 0.3, 0.4)


DICTIONARY = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("steps", "classes", "names", "texts"),
    [
        (((0, 1, 0, 2, 0, 3, 0), (0, 1, 0, 3, 0, 3, 0)), 4, DICTIONARY, ("abc", "acc")),
        (((0, 1, 0, 4, 0, 3, 0), (0, 1, 0, 4, 0, 0, 0)), 5, DICTIONARY, ("a c", "a ")),  # the last class: a space
        (((3, 0, 3, 2, 3, 3, 3), (3, 3, 3, 2, 3, 1, 3)), 4, DICTIONARY, ("ac", "cb")),  # the last class: the blank
        (((0, 9, 0, 12, 0), (0, 9, 0, 0, 0)), 20, [], ("9 12 ", "9 ")),
    ],
    ids=["dictionary", "space", "blank-last", "numbers"],
)
def test_texts(
    steps: tuple[tuple[int, ...], tuple[int, ...]], classes: int, names: list[str], texts: tuple[str, str]
) -> None:
    (drawing,) = TEXT_RECOGNITION.shown([Line(classes=classes, steps=steps)], names)
    assert ("".join(each.exact for each in drawing.text), "".join(each.rough for each in drawing.text)) == texts
    assert drawing.loss > 0
    assert any(each.exact == each.rough for each in drawing.text)


def test_lines_that_are_alike_lose_nothing() -> None:
    alike, other = Line(classes=5, steps=((0, 1, 1, 0), (0, 0, 1, 0))), Line(classes=5, steps=((0, 1, 0), (0, 2, 0)))
    first, second = TEXT_RECOGNITION.shown([alike, other], ["x", "y"])
    assert (first.loss, first.caption) == (0, "read alike")
    assert (second.loss, second.caption) == (1, "1 edit of 1 characters")


def test_boxes_of_regions_are_in_parts_of_the_map() -> None:
    exact, rough = np.zeros((1, 32, 64), np.float32), np.zeros((1, 32, 64), np.float32)
    exact[:, 8:16, 16:32] = exact[:, 20:28, 40:60] = rough[:, 8:16, 16:32] = 0.9
    record = REGIONS.record({"o": exact}, {"o": rough}, Sample(paths=[], shapes=[(3, 32, 64)]))
    assert record is not None
    (drawing,) = REGIONS.shown([record], [])
    assert {(box.model, box.sides, box.overlap) for box in drawing.boxes} == {
        (0, (0.25, 0.25, 0.5, 0.5), 1.0),
        (1, (0.25, 0.25, 0.5, 0.5), 1.0),
        (0, (0.625, 0.625, 0.9375, 0.875), None),
    }
    assert drawing.caption == "2 in float, 1 in int8: 1 lost, 0 new; IoU of maps 0.44"  # 128 of 288 pixels


@pytest.mark.parametrize("pixel", ["RGB", "BGR"])
def test_pictures_are_shown_where_they_differ_most(pixel: str) -> None:
    exact = np.zeros((3, 500, 400), np.float32)
    exact[0] = 200  # the first channel
    exact[1, 0, 0] = 255
    rough = exact.copy()
    rough[2, 450:460] = 7  # a stripe at the bottom
    spec = Preprocessing((400, 500), (0,) * 3, (1,) * 3, pixel)  # type: ignore[arg-type]
    before, after, difference = IMAGES.prepared(Model([]), [spec]).views({"o": exact}, {"o": rough}, SAMPLE)
    assert before.pixels.shape == after.pixels.shape == difference.pixels.shape == (320, 320, 3)
    order = slice(None) if pixel == "RGB" else slice(None, None, -1)
    assert before.pixels[0, 0][order].tolist() == [200, 0, 0]
    assert after.pixels[450 - 180, 0][order].tolist() == [200, 0, 7]
    assert difference.title == "difference x 32"  # 7 * 32 is below 255, 7 * 64 is not
    assert difference.pixels[450 - 180, 0][order].tolist() == [0, 0, 7 * 32]
    assert not difference.pixels[0].any()
    assert len(IMAGES.views({"o": exact}, {"o": rough[:, :200]}, SAMPLE)) == 1


def test_the_worst_picture_is_that_of_the_lowest_psnr() -> None:
    drawings = IMAGES.shown([Picture(psnr=30, ssim=0.9), Picture(psnr=20.04, ssim=None)], [])
    assert drawings[1].loss > drawings[0].loss
    assert [drawing.caption for drawing in drawings] == ["PSNR 30.0 dB, SSIM 0.900", "PSNR 20.0 dB"]


def test_classes_of_pixels_have_colours_of_their_own() -> None:
    labels = np.arange(12).reshape(3, 4)
    exact = (np.arange(12)[:, None, None] == labels).astype(np.float32)
    rough = exact.copy()
    rough[:, 0, 0] = np.arange(12) == 5
    before, after, differs = SEGMENTATION.views({"o": exact}, {"o": rough}, SAMPLE)
    assert len({tuple(colour) for colour in before.pixels.reshape(-1, 3).tolist()}) == 12
    assert after.pixels[0, 0].tolist() == before.pixels[1, 1].tolist()
    assert (differs.pixels == 255).all(axis=2).tolist() == (labels == 0).tolist()


def test_other_tasks_draw_nothing() -> None:
    assert CLASSIFICATION.shown([{}], []) == []
