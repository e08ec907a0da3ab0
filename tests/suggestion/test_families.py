"""What is usual for networks of a kind: put on top where nothing is decided, and never decisive."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import model_of, plain

from pyncnnq.inputs.preprocessing import Size
from pyncnnq.suggestion.families import Family, answers_tell, family_of
from pyncnnq.suggestion.outputs import keep, kind_of
from pyncnnq.suggestion.probe import Look

MODEL = model_of(plain("ReLU", "relu", "in0"), shape=(3, 64, 64))


def look(*shapes: tuple[int, ...], size: Size = (64, 64)) -> Look:
    pixels = np.zeros((3, size[1], size[0]), np.float32)
    outputs = [np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32) for shape in shapes]
    kinds = tuple(kind_of(output, pixels) for output in outputs)
    kept = tuple(keep(output, kind) for output, kind in zip(outputs, kinds, strict=True))
    return Look(kinds, shapes, kept, (), (), np.empty(0, np.float32), None)


@pytest.mark.parametrize(
    ("shapes", "size", "preset"),
    [
        ([(40, 1, 6625)], (320, 48), "pp-ocr-rec"),
        ([(2,)], (192, 48), "pp-ocr-rec"),
        ([(20, 1, 37)], (160, 60), None),
        ([(1, 64, 64)], (64, 64), "pp-ocr-det"),
        ([(21, 64, 64)], (64, 64), None),
        ([(22, 2100)], (64, 64), "yolo"),
        ([(1600, 80), (1600, 32), (400, 80), (400, 32)], (64, 64), "nanodet"),
        ([(1600, 80), (1600, 4)], (64, 64), None),
        ([(3, 128, 128)], (64, 64), "zero-one"),
        ([(1000,)], (224, 224), "imagenet-torch"),
        ([(10,)], (32, 32), "cifar10"),
    ],
)
def test_a_family_is_told_by_the_shapes_of_its_outputs(
    shapes: list[tuple[int, ...]], size: Size, preset: str | None
) -> None:
    family = family_of(MODEL, look(*shapes, size=size), size, small=max(size) <= 64)
    assert (family.preset if family else None) == preset


def test_a_detection_output_is_that_of_an_ssd() -> None:
    model = model_of(plain("DetectionOutput", "out", "in0"), shape=(3, 64, 64))
    family = family_of(model, look((5, 6)), (64, 64), small=True)
    assert isinstance(family, Family)
    assert family.preset == "mobilenet-ssd"


@pytest.mark.parametrize(
    ("shapes", "tell"),
    [([(1000,)], True), ([(2,)], False), ([(1, 64, 64)], False), ([(22, 2100)], True), ([(40, 1, 97)], False)],
)
def test_some_answers_are_worth_more_than_conventions(shapes: list[tuple[int, ...]], tell: bool) -> None:
    assert answers_tell(look(*shapes)) is tell
