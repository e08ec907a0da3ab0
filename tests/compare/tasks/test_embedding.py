"""Embeddings, beside NumPy and definitions written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, model_of

import pyncnnq
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.embedding import EMBEDDING, Embedding, Vectors, ranks
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.model import load_model

Array = NDArray[np.float32]
SAMPLE = Sample(paths=[], shapes=[])
FORCED = Embedding()
FORCED.forced = True


def record(exact: Array, rough: Array, task: Embedding = FORCED) -> Vectors:
    found = task.record({"o": exact}, {"o": rough}, SAMPLE)
    assert found is not None
    return found


def figures(exact: Array, rough: Array) -> dict[str, Figure]:
    records = [record(x, y) for x, y in zip(exact, rough, strict=True)]
    return {figure.name: figure for figure in FORCED.figures(records, None, [])}


def test_ranks_share_places() -> None:
    assert ranks(np.array([0.5, 0.1, 0.5, 0.9, 0.5])).tolist() == [2, 0, 2, 4, 2]


def test_figures_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(0, 1, (25, 16)).astype(np.float32)
    rough = (exact + rng.normal(0, 0.6, exact.shape)).astype(np.float32)
    x, y = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (exact, rough))
    found = figures(exact, rough)
    assert found["cosine to float"].values == (None, pytest.approx((x * y).sum(axis=1).mean(), abs=1e-5))

    def neighbour(vectors: Array, index: int) -> int:
        return max((other for other in range(25) if other != index), key=lambda other: vectors[other] @ vectors[index])

    kept = [neighbour(x, index) == neighbour(y, index) for index in range(25)]
    assert 0 < sum(kept) < 25
    assert found["nearest neighbour kept"].values == (None, pytest.approx(100 * np.mean(kept)))
    pairs = np.array([(x[i] @ x[j], y[i] @ y[j]) for i in range(25) for j in range(i)])
    places = pairs.argsort(axis=0).argsort(axis=0)
    correlation = found["rank correlation of similarities"]
    assert correlation.values == (None, pytest.approx(np.corrcoef(places.T)[0, 1], abs=1e-3))
    assert correlation.interval is not None
    assert correlation.interval[0] < correlation.values[1] < correlation.interval[1]


def test_lengths_do_not_matter_and_tokens_are_averaged() -> None:
    vector = np.array([3.0, 0, 4], np.float32)
    assert record(vector, 7 * vector) == Vectors(exact=(0.6, 0, 0.8), rough=(0.6, 0, 0.8))
    tokens = np.array([[6.0, 0, 4], [0, 0, 4]], np.float32)
    assert record(tokens, tokens).exact == (0.6, 0, 0.8)


@pytest.mark.parametrize("rough", [np.zeros(4, np.float32), np.full(3, np.nan, np.float32)], ids=["shape", "nan"])
def test_what_has_no_direction_is_at_right_angles(rough: Array) -> None:
    assert record(np.array([3, 0, 4], np.float32), rough).rough == (0, 0, 0)


def test_two_samples_have_no_neighbours() -> None:
    values = np.eye(2, dtype=np.float32)
    assert list(figures(values, values)) == ["cosine to float"]


def test_vectors_of_length_1_are_embeddings_and_others_if_a_user_says_so() -> None:
    unit = np.random.default_rng(0).normal(0, 1, 64).astype(np.float32)
    unit /= np.linalg.norm(unit)
    assert record(unit, unit, EMBEDDING)
    few = np.array([0.6, -0.8], np.float32)  # which logits may be by chance
    for scores in (np.eye(64, dtype=np.float32)[3], 3 * unit, np.abs(unit), few):
        assert EMBEDDING.record({"o": scores}, {"o": scores}, SAMPLE) is None
        assert record(scores, scores)


def test_the_graph_tells_of_a_layer_that_normalizes(shared: Path) -> None:
    model = load_model(*(shared / "more" / f"minilm_l6.{kind}" for kind in ("param", "bin")))
    tokens = np.random.default_rng(0).normal(0, 1, (64, 384)).astype(np.float32)
    assert record(tokens, tokens, EMBEDDING.prepared(model))
    other = model_of(convolution(np.random.default_rng(0), "out0", "in0", 3, 4))
    assert EMBEDDING.prepared(other).record({"o": tokens}, {"o": tokens}, SAMPLE) is None
    found = pyncnnq.evaluate(model, model, sorted((shared / "data" / "minilm" / "eval").iterdir())[:4], workers=1)
    assert found.task is not None
    assert found.task.name == "embedding"
    assert [figure.values[1] for figure in found.task.figures] == pytest.approx([1, 100, 1])
