"""Classification: rankings of both models and their figures, beside NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.classification import CLASSIFICATION, Rankings
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.errors import InputError

NO_SAMPLE = Sample(paths=[], shapes=[])

Array = NDArray[np.float32]


def record(exact: Sequence[float] | Array, rough: Sequence[float] | Array) -> Rankings | None:
    pair = [{"out": np.asarray(values, np.float32)} for values in (exact, rough)]
    return CLASSIFICATION.record(*pair, NO_SAMPLE)


def figures(exact: Array, rough: Array, labels: list[int] | None = None) -> dict[str, Figure]:
    records = [record(x, y) for x, y in zip(exact, rough, strict=True)]
    assert None not in records
    paths = [Path(f"{number}.png") for number in range(len(records))]
    found = CLASSIFICATION.figures([one for one in records if one], labels, paths)
    return {figure.name: figure for figure in found}


def test_figures_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(40, 12)).astype(np.float32)
    rough = (exact + rng.normal(size=exact.shape) / 2).astype(np.float32)
    labels = rng.integers(0, 12, 40)
    found = figures(exact, rough, labels.tolist())
    first = exact.argmax(axis=1)
    in_order = [np.argsort(values, axis=1)[:, ::-1][:, :5] for values in (exact, rough)]
    among = [(places == labels[:, None]).any(axis=1) for places in in_order]
    right = [values.argmax(axis=1) == labels for values in (exact, rough)]
    assert found["top-1 agreement"].values == (None, pytest.approx(100 * np.mean(first == rough.argmax(axis=1))))
    kept = (in_order[1] == first[:, None]).any(axis=1)
    assert found["top-5 agreement"].values == (None, pytest.approx(100 * np.mean(kept)))
    assert found["top-1"].values == pytest.approx([100 * hits.mean() for hits in right])
    assert found["top-5"].values == pytest.approx([100 * hits.mean() for hits in among])
    change = found["top-1"].change
    assert change is not None
    assert change.estimate == pytest.approx(100 * (right[1].mean() - right[0].mean()))


def test_five_values_or_fewer_have_no_top_5() -> None:
    values = np.eye(5, dtype=np.float32)
    assert list(figures(values, values, [0] * 5)) == ["top-1 agreement", "top-1"]


def test_of_equal_scores_the_first_counts_and_what_is_no_number_never() -> None:
    found = record([0, 2, 2, 1, 0, 0], [np.nan, 1, 1, 5, 0, 0])
    assert found is not None
    assert found["out"].places == ((1, 2, 3, 0, 4), (3, 1, 2, 4, 5))
    assert found["out"].values == ((2, 2, 1, 0, 0), (5, 1, 1, 0, 0))


@pytest.mark.parametrize("rough", [[np.nan, np.nan, np.nan], [0.0, 1.0]], ids=["nan", "shape"])
def test_what_is_no_ranking_agrees_with_none(rough: list[float]) -> None:
    found = record([3, 2, 1], rough)
    assert found is not None
    assert CLASSIFICATION.drop([found]) == 100


def test_all_vectors_of_a_sample_must_agree() -> None:
    exact = {name: np.array([1, 2], np.float32) for name in ("a", "b")}
    rough = {"a": exact["a"], "b": exact["b"][::-1]}
    found = CLASSIFICATION.record(exact, rough, NO_SAMPLE)
    assert found is not None
    assert CLASSIFICATION.drop([found]) == 100  # of the worse one
    names = [(figure.name, figure.values[1]) for figure in CLASSIFICATION.figures([found], None, [Path("a.png")])]
    assert names == [("top-1 agreement of a", 100), ("top-1 agreement of b", 0)]


@pytest.mark.parametrize("shape", [(1,), (2, 3), (3, 4, 4), (0,)], ids=str)
def test_what_is_no_vector_is_not_ranked(shape: tuple[int, ...]) -> None:
    assert record(np.ones(shape, np.float32), np.ones(shape, np.float32)) is None


@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6), (1, 1, 6)], ids=str)
def test_axes_of_one_element_do_not_matter(shape: tuple[int, ...]) -> None:
    values = np.arange(6, dtype=np.float32).reshape(shape)
    found = record(values, values)
    assert found is not None
    assert found["out"].places[0] == (5, 4, 3, 2, 1)


def test_a_class_that_the_output_does_not_have_is_named() -> None:
    with pytest.raises(InputError, match=r"1\.png is of class 4, but the output out has 4 scores: 0 to 3"):
        figures(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32), [0, 4, 1, 2])
