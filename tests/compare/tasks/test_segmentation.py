"""Semantic segmentation, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.segmentation import SEGMENTATION, Pixels, Segmentation
from pyncnnq.compare.tasks.task import Sample

Array = NDArray[np.float32]
SAMPLE = Sample(paths=[], shapes=[(3, 32, 48)])


def areas(seed: int, classes: int = 6) -> Array:
    """(classes, 32, 48): scores of which one is the largest in each tile of 8 x 8."""
    tiles = np.random.default_rng(seed).integers(0, classes, (4, 6))
    labels = tiles.repeat(8, axis=0).repeat(8, axis=1)
    return (np.arange(classes)[:, None, None] == labels).astype(np.float32) * 3


def record(exact: Array, rough: Array) -> Pixels:
    found = SEGMENTATION.record({"o": exact}, {"o": rough}, SAMPLE)
    assert found is not None
    return found


def figures(*records: Pixels) -> dict[str, Figure]:
    return {figure.name: figure for figure in SEGMENTATION.figures(records, None, [])}


def test_figures_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    pairs = [(areas(seed), areas(seed) + rng.normal(0, 1.5, (6, 32, 48)).astype(np.float32)) for seed in range(4)]
    exact, rough = (np.stack([pair[model].argmax(axis=0) for pair in pairs]) for model in (0, 1))
    found = figures(*[record(*pair) for pair in pairs])
    agreement = found["pixels of the same class"]
    assert agreement.values == (None, pytest.approx(100 * (exact == rough).mean()))
    assert agreement.drop == pytest.approx(100 * (exact != rough).mean())
    ious = [
        ((exact == label) & (rough == label)).sum() / ((exact == label) | (rough == label)).sum()
        for label in np.unique(exact)
    ]
    mean = found["mean IoU of classes"]
    assert mean.values == (None, pytest.approx(100 * np.mean(ious)))
    assert mean.interval is not None
    assert mean.interval[0] < mean.values[1] < mean.interval[1]


def test_an_int8_output_of_another_shape_or_of_no_numbers_agrees_nowhere_or_by_chance() -> None:
    exact = areas(1)
    shown = figures(record(exact, exact[:, :16]))
    assert shown["pixels of the same class"].values == shown["mean IoU of classes"].values == (None, 0)
    first = 100 * (exact.argmax(axis=0) == 0).mean()  # of equals the first
    shown = figures(record(exact, np.full_like(exact, np.nan)))
    assert shown["pixels of the same class"].values == (None, pytest.approx(first))


def test_two_classes_need_probabilities() -> None:
    two = areas(1, classes=2)
    assert SEGMENTATION.record({"o": two}, {"o": two}, SAMPLE) is None
    shares = np.exp(two) / np.exp(two).sum(axis=0)
    assert SEGMENTATION.record({"o": shares}, {"o": shares}, SAMPLE) is not None


def test_features_are_no_classes_unless_a_user_says_so() -> None:
    noise = np.random.default_rng(2).normal(0, 1, (8, 32, 48)).astype(np.float32)
    smaller = areas(1)[:, ::2, ::2]
    for values in (noise, smaller):
        assert SEGMENTATION.record({"o": values}, {"o": values}, SAMPLE) is None
        task = Segmentation()
        task.forced = True
        assert task.record({"o": values}, {"o": values}, SAMPLE) is not None
