"""The search over candidates, with a network whose answers are made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import model_of, plain

from pyncnnq.inputs import InputLayer, InputOptions, Samples
from pyncnnq.suggestion.candidates import Candidate
from pyncnnq.suggestion.evidence import Evidence, evidence_of
from pyncnnq.suggestion.looking import Looking
from pyncnnq.suggestion.outputs import Kind
from pyncnnq.suggestion.probe import Look
from pyncnnq.suggestion.search import Found, Search

MODEL = model_of(plain("ReLU", "relu", "in0"), shape=(3, 128, 128))
CLASSES = 40
NOTHING = np.empty(0, np.float32)
Answer = Callable[[Candidate, int], tuple[NDArray[np.float64], ...]]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum()).astype(np.float32)


class Scripted:
    """Stands for `Looking`; notes how many candidates were shown how many images.

    Attributes:
        answer: logits for two views and for patches in disorder, of a candidate and the number of an image.
        unreadable: numbers of images.
    """

    def __init__(self, answer: Answer, unreadable: Sequence[int] = ()) -> None:
        self.layer = InputLayer("in0", 128, 128, 3)
        self.said = InputOptions()
        self.remembered = None
        self.shown: list[tuple[int, list[str]]] = []
        self._answer, self._unreadable = answer, unreadable

    def look(
        self, _size: object, candidates: Sequence[Candidate], samples: Sequence[tuple[Path, ...]], **_options: object
    ) -> list[list[Look]]:
        names = [path.stem for (path,) in samples]
        self.shown.append((len(candidates), names))
        numbers = [number for number in map(int, names) if number not in self._unreadable]
        return [[self._look(candidate, number) for number in numbers] for candidate in candidates]

    def evidence(self, looks: Sequence[Look], softening: float) -> Evidence:
        return evidence_of(looks, softening)

    def _look(self, candidate: Candidate, number: int) -> Look:
        plain, again, null = (_softmax(logits) for logits in self._answer(candidate, number))
        return Look((Kind.CLASSES,), ((CLASSES,),), (plain,), (again,), (null,), NOTHING, None)


def _recognizing(sureness: Callable[[Candidate], float]) -> Answer:
    """Return a network that sees the class of each image, the better the surer."""

    def answer(candidate: Candidate, number: int) -> tuple[NDArray[np.float64], ...]:
        rng = np.random.default_rng([number, *map(int, candidate.mean), int(1e4 * candidate.norm[0])])
        seen = sureness(candidate) * np.eye(CLASSES)[number]
        return seen + rng.normal(0, 1, CLASSES), seen + rng.normal(0, 1, CLASSES), rng.normal(0, 1, CLASSES)

    return answer


def _search(scripted: Scripted, images: int = CLASSES) -> Found:
    samples = Samples("images", tuple(Path(f"{number}.png") for number in range(images)), "image", 0)
    return Search(MODEL, cast(Looking, scripted), [samples], 0).run()


def _is_tf(candidate: Candidate) -> bool:
    return "tf" in candidate.names and candidate.pixel == "RGB"


@pytest.mark.parametrize(
    ("unreadable", "looks"),
    [((), [3]), ((0, 5, 20), [3, 3])],  # three images rule out the others; two that can be read do not
)
def test_the_best_alone_is_looked_at_on_more_images(unreadable: tuple[int, ...], looks: list[int]) -> None:
    scripted = Scripted(_recognizing(lambda each: 9.0 if _is_tf(each) else 4.0), unreadable)
    found = _search(scripted)
    assert found.decisive
    assert "tf" in found.ranking[0].names
    assert [len(names) for candidates, names in scripted.shown if candidates > 6] == looks
    images = [name for candidates, names in scripted.shown[1:-1] for name in names if candidates > 0]
    assert len(images) == len(set(images)) >= 12  # none twice; the last look is at patches in disorder


def test_candidates_that_are_alike_are_not_decided_between() -> None:
    scripted = Scripted(_recognizing(lambda each: 9.0 if "tf" in each.names else 4.0))  # R, G, B or B, G, R
    found = _search(scripted)
    assert not found.decisive
    assert {each.preprocessing.pixel for each in found.ranking[:3] if "tf" in each.names} == {"RGB", "BGR"}
    assert sum(len(names) for candidates, names in scripted.shown[1:] if candidates == 2) > 20
    # What is usual for classifiers stands beside, and says so.
    assert [each.usual_for for each in found.ranking[:2]].count("classifiers") == 1


def test_few_images_are_looked_at_at_once_and_too_few_decide_nothing() -> None:
    scripted = Scripted(_recognizing(lambda each: 9.0 if _is_tf(each) else 0.0))
    assert not _search(scripted, images=5).decisive
    assert [len(names) for candidates, names in scripted.shown if candidates > 1] == [5]
    assert _search(Scripted(_recognizing(lambda each: 9.0 if _is_tf(each) else 0.0)), images=8).decisive


def test_a_network_that_answers_to_patches_alone_is_refused() -> None:
    sees = _recognizing(lambda each: 9.0 if _is_tf(each) else 4.0)

    def answer(candidate: Candidate, number: int) -> tuple[NDArray[np.float64], ...]:
        plain, again, _ = sees(candidate, number)
        return plain, again, again

    assert not _search(Scripted(answer)).decisive
