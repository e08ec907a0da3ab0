"""Text recognition: decoded lines and their figures, beside definitions written out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyncnnq
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.compare.tasks.text_recognition import (
    TEXT_RECOGNITION,
    Line,
    TextRecognition,
    blank_of,
    edit_distance,
    text_of,
)
from pyncnnq.model import load_model

Array = NDArray[np.float32]
LINE = Sample(paths=[Path("a.png")], shapes=[(3, 32, 80)])


def probabilities(steps: Sequence[int], classes: int = 12) -> Array:
    """(steps, classes): the named class has most of the probability."""
    result = np.full((len(steps), classes), 0.1 / (classes - 1), np.float32)
    result[np.arange(len(steps)), steps] = 0.9
    return result


def test_repeated_classes_and_blanks_are_dropped() -> None:
    assert text_of((0, 3, 3, 0, 3, 5, 5, 0, 0), 0) == (3, 3, 5)
    assert text_of((9, 3, 9, 9, 3), 9) == (3, 3)
    assert text_of((0, 0), 0) == ()


def test_edit_distances_are_the_definition() -> None:
    @lru_cache
    def definition(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        if not a or not b:
            return len(a) + len(b)
        change = definition(a[1:], b[1:]) + (a[0] != b[0])
        return min(change, definition(a[1:], b) + 1, definition(a, b[1:]) + 1)

    rng = np.random.default_rng(0)
    for _ in range(60):
        texts = [tuple(rng.integers(0, 3, rng.integers(0, 7)).tolist()) for _ in range(2)]
        assert edit_distance(*texts) == definition(*texts)


@pytest.mark.parametrize("blank", [0, 11])
def test_the_blank_is_the_first_or_the_last_class(blank: int) -> None:
    lines = [(blank, 4, blank, 4, 4, blank, 5, blank, blank, 6), (blank, blank, 2, 3, blank, blank, 1, 1, blank, 7)]
    records = [TEXT_RECOGNITION.record({"o": probabilities(x)}, {"o": probabilities(x)}, LINE) for x in lines]
    assert blank_of([record for record in records if record]) == blank


@pytest.mark.parametrize("turn", [False, True], ids=["steps-classes", "classes-steps"])
def test_a_record_holds_the_steps_of_both(turn: bool) -> None:
    exact, rough = [0, 4, 4, 0, 5, 0, 0, 6, 0, 0], [0, 4, 0, 0, 5, 0, 0, 7, 0, 0]
    outputs = [{"o": probabilities(steps).T if turn else probabilities(steps)} for steps in (exact, rough)]
    found = TEXT_RECOGNITION.record(outputs[0], outputs[1], LINE)
    assert found == Line(classes=12, steps=(tuple(exact), tuple(rough)))


def figures(*lines: tuple[tuple[int, ...], tuple[int, ...]]) -> dict[str, Figure]:
    records = [Line(classes=12, steps=steps) for steps in lines]
    return {figure.name: figure for figure in TEXT_RECOGNITION.figures(records, None, [])}


def test_figures_by_hand() -> None:
    found = figures(
        ((0, 1, 2, 2, 0, 3), (0, 1, 1, 2, 0, 3)),  # 1 2 3 in both
        ((4, 0, 4, 0, 5, 0), (4, 4, 4, 0, 6, 0)),  # 4 4 5, read as 4 6
        ((0, 0, 0, 0, 0, 7), (0, 0, 0, 0, 0, 0)),  # 7, read as nothing
        ((0, 0, 0, 0, 0, 0), ()),  # nothing, and an output of another shape
    )
    assert found["characters"].values == (7, 5)
    assert found["lines read alike"].values == (None, 50)
    assert found["lines read alike"].drop == 50
    assert found["edits for each character in float"].values == (None, pytest.approx(100 * 3 / 7))


@pytest.mark.parametrize(
    ("output", "sample"),
    [
        (np.eye(12, dtype=np.float32)[:10], Sample(paths=[], shapes=[(10, 12)])),
        (np.eye(12, dtype=np.float32)[:10], Sample(paths=[], shapes=[(3, 80, 32)])),
        (np.eye(12, dtype=np.float32)[:10], Sample(paths=[], shapes=[(3, 8, 12)])),
        (np.ones((10, 12), np.float32), LINE),
        (np.full((10, 4), 0.25, np.float32), LINE),
    ],
    ids=["no-image", "upright", "a-step-a-column", "logits", "few-classes"],
)
def test_what_may_be_no_text_is_taken_for_it_if_a_user_says_so(output: Array, sample: Sample) -> None:
    assert TEXT_RECOGNITION.record({"o": output}, {"o": output}, sample) is None
    task = TextRecognition()
    task.forced = True
    assert task.record({"o": output}, {"o": output}, sample) is not None


def test_a_recognizer_in_stock_ncnn(shared: Path) -> None:
    files = [shared / "more" / f"PP_OCRv6_rec_small.ncnn.{kind}" for kind in ("param", "bin")]
    lines = sorted((shared / "data" / "textlines" / "eval").iterdir())[:6]
    model = load_model(*files)
    options = pyncnnq.InputOptions(preset="pp-ocr-rec", size=(320, 48))
    found = pyncnnq.evaluate(model, model, lines, options=options, workers=1)
    assert found.task is not None
    assert found.task.name == "text-recognition"
    shown: dict[str, Any] = {figure.name: figure.values for figure in found.task.figures}
    assert shown["characters"][0] > 20
    assert shown["lines read alike"] == (None, 100)
    assert shown["edits for each character in float"] == (None, 0)
