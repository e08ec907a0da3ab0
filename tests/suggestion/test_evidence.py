"""Evidence from answers that are made up, so that it is known what they are evidence for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.suggestion.batch_norm import Remembered
from pyncnnq.suggestion.decision import exceeds, is_better, pseudo_values, student
from pyncnnq.suggestion.evidence import (
    IMPOSSIBLE,
    KEPT,
    SOFTENINGS,
    Evidence,
    evidence_of,
    ranking,
    recognizes,
    softening_of,
)
from pyncnnq.suggestion.outputs import Kind, keep, kind_of
from pyncnnq.suggestion.probe import Look

Array = NDArray[np.float32]
NOTHING = np.empty(0, np.float32)
FULL = 1.0
"""Probabilities as they are."""


def look(kind: Kind, plain: Array, again: Array, null: Array | None = None) -> Look:
    nulls = () if null is None else (null,)
    return Look((kind,), (plain.shape,), (plain,), (again,), nulls, NOTHING, None)


def softmax(logits: NDArray[np.float64]) -> Array:
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum()).astype(np.float32)


def classes(*numbers: int, of: int = 8, logit: float = 12.0) -> list[Array]:
    return [softmax(logit * row) for row in np.eye(of)[list(numbers)]]


UNSURE = np.full(8, 1 / 8, np.float32)


def test_a_classifier_that_is_sure_and_right_gives_all_evidence() -> None:
    looks = [look(Kind.CLASSES, answer, answer) for answer in classes(0, 1, 2, 3)]
    assert evidence_of(looks, FULL).values == pytest.approx([1, 1, 1, 1], abs=0.05)


def test_a_classifier_that_says_the_same_of_everything_gives_none() -> None:
    looks = [look(Kind.CLASSES, answer, answer) for answer in classes(5, 5, 5, 5)]
    assert evidence_of(looks, FULL).mean == pytest.approx(0)


def test_a_classifier_that_changes_its_mind_with_the_mirror_image_gives_less_than_none() -> None:
    answers = classes(0, 1, 2, 3)
    looks = [look(Kind.CLASSES, answer, other) for answer, other in zip(answers, answers[::-1], strict=True)]
    assert evidence_of(looks, FULL).mean < 0


def test_evidence_of_classes_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (2, 5, 12))
    looks = [look(Kind.CLASSES, softmax(plain), softmax(again)) for plain, again in zip(*logits, strict=True)]
    softened = np.exp(0.3 * logits)  # softmax to the power 0.3, but for a factor of each answer
    for place, value in enumerate(evidence_of(looks, 0.3).values):
        likeness = [
            np.dot(softened[0, place], other) / np.linalg.norm(softened[0, place]) / np.linalg.norm(other)
            for other in softened[1]
        ]
        assert value == pytest.approx(likeness[place] - np.mean(np.delete(likeness, place)), abs=1e-6)


def test_probabilities_are_softened_as_far_as_the_evidence_for_the_clearest_allows() -> None:
    def spread(logit: float) -> list[Look]:
        return [look(Kind.CLASSES, answer, answer) for answer in classes(0, 1, 2, 3, logit=logit)]

    softening = softening_of([spread(1.0), spread(12.0)])
    most = max(evidence_of(spread(12.0), power).mean for power in SOFTENINGS)
    assert evidence_of(spread(12.0), softening).mean >= KEPT * most
    assert evidence_of(spread(12.0), SOFTENINGS[SOFTENINGS.index(softening) - 1]).mean < KEPT * most
    assert softening_of([spread(24.0)]) < softening  # the surer, the softer


def test_what_saturates_a_classifier_is_no_evidence() -> None:
    def sure(logit: float) -> list[Look]:
        return [look(Kind.CLASSES, answer, answer) for answer in classes(0, 1, 2, 3, logit=logit)]

    assert evidence_of(sure(80.0), FULL).mean == 0
    assert evidence_of(sure(30.0), FULL).mean > 0.99


def test_a_classifier_that_sees_the_same_in_patches_recognizes_nothing() -> None:
    answers = classes(0, 1, 2, 3)
    looks = [look(Kind.CLASSES, answer, answer) for answer in answers]
    assert recognizes(looks, [look(Kind.CLASSES, NOTHING, NOTHING, UNSURE)] * 4, FULL)
    # All patches are of one class, however sure it is of that: so are those of what it knows as a jigsaw puzzle.
    assert recognizes(looks, [look(Kind.CLASSES, NOTHING, NOTHING, answers[3])] * 3, FULL)
    assert not recognizes(looks, [look(Kind.CLASSES, NOTHING, NOTHING, answer) for answer in answers], FULL)
    few = [look(Kind.CLASSES, answer, answer) for answer in classes(0, 1, 2, 3, of=4)]
    assert not recognizes(few, [look(Kind.CLASSES, NOTHING, NOTHING, UNSURE[:4])] * 4, FULL)


def boxes(*views: NDArray[np.float64]) -> Look:
    return look(Kind.BOXES, *(np.stack([view, 0 * view]).astype(np.float32) for view in views))


def test_evidence_of_boxes_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(0.05, 0.95, (3, 4, 6))
    looks = [boxes(*views) for views in scores.transpose(1, 0, 2)]

    def likelihood(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        return float(np.sum(first * np.log(second) + (1 - first) * np.log(1 - second)))

    def contrast(first: NDArray[np.float64], second: NDArray[np.float64], place: int) -> float:
        both = [(likelihood(first[place], b) + likelihood(b, first[place])) / 2 for b in second]
        return both[place] - float(np.mean(np.delete(both, place)))

    plain, again, null = scores
    for place, value in enumerate(evidence_of(looks, FULL).values):
        assert value == pytest.approx(contrast(plain, again, place) - contrast(null, null, place), abs=1e-2)


def test_scores_that_are_as_high_for_patches_are_no_evidence() -> None:
    rng = np.random.default_rng(1)
    clear, saturated = [], []
    for _ in range(8):
        scores = rng.uniform(0, 0.3, 6)
        clear.append(boxes(scores, scores, np.full(6, 0.01)))
        scores, patches = rng.uniform(0, 0.9, (2, 6))
        saturated.append(boxes(scores, scores, patches))
    assert evidence_of(clear, FULL).mean > evidence_of(saturated, FULL).mean


def test_candidates_that_are_far_less_clear_than_the_clearest_are_ranked_behind() -> None:
    clear, saturated = (Evidence(np.array([value]), clarity) for value, clarity in ((0.1, 0.8), (0.9, 0.3)))
    assert ranking([saturated, clear]) == [1, 0]


def test_an_output_that_is_no_number_is_no_evidence() -> None:
    looks = [look(Kind.CLASSES, UNSURE, UNSURE), look(Kind.CLASSES, UNSURE, UNSURE * np.nan)]
    assert evidence_of(looks, FULL).mean == IMPOSSIBLE


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((10,), Kind.CLASSES),
        ((1000, 1, 1), Kind.CLASSES),
        ((22, 2100), Kind.BOXES),
        ((1600, 80), Kind.BOXES),
        ((24, 1, 8210), Kind.STEPS),
        ((1, 64, 64), Kind.MAP),
        ((3, 64, 64), Kind.IMAGE),
        ((3, 128, 128), Kind.IMAGE),
        ((21, 64, 64), Kind.MAP),
    ],
)
def test_what_an_output_seems_to_be(shape: tuple[int, ...], kind: Kind) -> None:
    output = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert kind_of(output, np.zeros((3, 64, 64), np.float32)) is kind


def test_rows_that_add_up_to_one_are_steps() -> None:
    rows = np.random.default_rng(0).uniform(size=(40, 97)).astype(np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    pixels = np.zeros((3, 48, 320), np.float32)
    assert kind_of(rows, pixels) is Kind.STEPS
    assert keep(rows, Kind.STEPS) == pytest.approx(rows)


def test_many_classes_of_a_step_are_added_up() -> None:
    rows = np.random.default_rng(0).uniform(size=(3, 1100)).astype(np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    kept = keep(rows, Kind.STEPS)
    assert kept.shape == (3, 512)
    assert kept[:, 7] == pytest.approx(rows[:, 7] + rows[:, 519] + rows[:, 1031])
    assert kept.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 40), (5, 33), (64, 48)])
def test_a_map_is_kept_as_means(height: int, width: int) -> None:
    maps = np.random.default_rng(0).normal(size=(2, height, width)).astype(np.float32)
    kept = keep(maps, Kind.MAP)
    rows, columns = min(16, height), min(16, width)
    for row in range(rows):
        for column in range(columns):
            cell = maps[
                :,
                row * height // rows : (row + 1) * height // rows,
                column * width // columns : (column + 1) * width // columns,
            ]
            assert kept[:, row, column] == pytest.approx(cell.mean(axis=(1, 2)), abs=1e-5)


def test_the_distance_of_moments_is_that_of_normal_distributions() -> None:
    mean, variance, now_mean, now_variance = 0.3, 2.0, -0.4, 0.5
    stored = Remembered("blob", np.array([mean]), np.array([variance]), np.array([True]))
    x = np.linspace(-20, 20, 400001)

    def density(centre: float, spread: float) -> NDArray[np.float64]:
        return np.exp(-((x - centre) ** 2) / (2 * spread)) / np.sqrt(2 * np.pi * spread)

    now, then = density(now_mean, now_variance), density(mean, variance)
    expected = float(np.sum(now * np.log(np.maximum(now, 1e-300) / np.maximum(then, 1e-300))) * (x[1] - x[0]))
    moments = np.array([[now_mean], [now_variance + now_mean**2]])
    assert stored.distance([moments]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("freedom", "value"), [(3, 3.182), (7, 2.365), (15, 2.131), (31, 2.040), (1000, 1.962)])
def test_quantiles_are_those_of_students_distribution(freedom: int, value: float) -> None:
    assert student(freedom) == pytest.approx(value, abs=5e-3)  # from tables


def test_a_difference_that_all_images_agree_on_is_certain() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 16)
    assert is_better(noise + rng.uniform(0.4, 0.6, 16), noise)  # however different the images are
    assert exceeds(noise + 0.5, noise, 0.4)
    assert not exceeds(noise + 0.5, noise, 0.6)
    other = np.where(np.arange(16) < 8, noise + 3, noise - 2.5)  # half of the images say the opposite
    assert not is_better(other, noise)
    assert not is_better(np.ones(1), np.zeros(1))


def test_the_parts_of_images_in_a_mean_are_their_values() -> None:
    values = np.array([1.0, 4.0, 10.0])
    without = [float(np.delete(values, place).mean()) for place in range(3)]
    assert pseudo_values(float(values.mean()), without) == pytest.approx(values)


def test_the_ranking_is_by_evidence_among_the_clear() -> None:
    evidence = [Evidence(np.array([value])) for value in (0.1, 0.3, 0.2)]
    assert ranking(evidence) == [1, 2, 0]
