"""Evidence from answers that are made up, so that it is known what they are evidence for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.suggestion.batch_norm import Remembered
from pyncnnq.suggestion.decision import exceeds, pseudo_values, wins
from pyncnnq.suggestion.evidence import IMPOSSIBLE, WEIGHT_OF_NULL, Evidence, evidence_of, ranking, recognizes
from pyncnnq.suggestion.outputs import Kind, keep, kind_of
from pyncnnq.suggestion.probe import Look

Array = NDArray[np.float32]
NOTHING = np.empty(0, np.float32)


def look(kind: Kind, plain: Array, again: Array, null: Array) -> Look:
    return Look((kind,), (plain,), (again,), (null,), NOTHING, None)


def classes(*numbers: int, of: int = 8) -> list[Array]:
    return list(np.eye(of, dtype=np.float32)[list(numbers)])


UNSURE = np.full(8, 1 / 8, np.float32)


def test_a_classifier_that_is_sure_and_right_gives_all_evidence() -> None:
    looks = [look(Kind.CLASSES, answer, answer, UNSURE) for answer in classes(0, 1, 2, 3)]
    # The null's answers are alike for all images: nothing is taken off.
    assert evidence_of(looks).values == pytest.approx([1, 1, 1, 1])


def test_a_classifier_that_says_the_same_of_everything_gives_none() -> None:
    looks = [look(Kind.CLASSES, answer, answer, answer) for answer in classes(5, 5, 5, 5)]
    assert evidence_of(looks).mean == pytest.approx(0)


def test_a_classifier_that_is_as_sure_of_patches_in_disorder_gives_half() -> None:
    looks = [look(Kind.CLASSES, answer, answer, answer) for answer in classes(0, 1, 2, 3)]
    assert evidence_of(looks).mean == pytest.approx(1 - WEIGHT_OF_NULL)


def test_a_classifier_that_changes_its_mind_with_the_mirror_image_gives_less_than_none() -> None:
    answers = classes(0, 1, 2, 3)
    looks = [look(Kind.CLASSES, answer, other, UNSURE) for answer, other in zip(answers, answers[::-1], strict=True)]
    assert evidence_of(looks).mean < 0


def test_a_classifier_that_is_sure_of_everything_recognizes_nothing() -> None:
    answers = classes(0, 1, 2, 3)
    assert recognizes([look(Kind.CLASSES, answer, answer, UNSURE) for answer in answers])
    assert not recognizes([look(Kind.CLASSES, answer, answer, answers[0]) for answer in answers])
    few = classes(0, 1, 2, 3, of=4)
    assert not recognizes([look(Kind.CLASSES, answer, answer, UNSURE[:4]) for answer in few])


def test_scores_that_saturate_are_ranked_behind() -> None:
    rng = np.random.default_rng(1)

    def boxes(spread: float, noise: float) -> list[Look]:
        found = []
        for _ in range(8):
            scores = rng.uniform(0, spread, 6)
            views = [np.clip(scores + rng.uniform(0, noise, 6), 0, 1) for _ in range(2)]
            views.append(rng.uniform(0, noise, 6))
            found.append(look(Kind.BOXES, *(np.stack([view, 0 * view]).astype(np.float32) for view in views)))
        return found

    clear, saturated = evidence_of(boxes(0.1, 0.01)), evidence_of(boxes(0.9, 0.6))
    assert saturated.mean > clear.mean  # its scores are larger, and so are all differences
    assert ranking([saturated, clear]) == [1, 0]


def test_an_output_that_is_no_number_is_no_evidence() -> None:
    answers = classes(0, 1)
    looks = [
        look(Kind.CLASSES, answers[0], answers[0], UNSURE),
        look(Kind.CLASSES, answers[1], UNSURE * np.nan, UNSURE),
    ]
    assert evidence_of(looks).mean == IMPOSSIBLE


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


def test_a_winner_wins_in_nearly_all_drawings() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 16)
    assert wins(noise + 0.5, noise) == 1.0  # what all images agree on is certain, however different they are
    assert exceeds(noise + 0.5, noise, 0.4)
    assert not exceeds(noise + 0.5, noise, 0.6)
    other = np.where(np.arange(16) < 8, noise + 3, noise - 2.5)  # half of the images say the opposite
    assert 0.5 < wins(other, noise) < 0.9
    assert not exceeds(other, noise, 0.1)


def test_the_parts_of_images_in_a_mean_are_their_values() -> None:
    values = np.array([1.0, 4.0, 10.0])
    without = [float(np.delete(values, place).mean()) for place in range(3)]
    assert pseudo_values(float(values.mean()), without) == pytest.approx(values)


def test_the_ranking_is_by_evidence_among_the_clear() -> None:
    evidence = [Evidence(np.array([value])) for value in (0.1, 0.3, 0.2)]
    assert ranking(evidence) == [1, 2, 0]
