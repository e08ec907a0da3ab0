"""How close outputs are: sums of samples and their figures, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq.compare.outputs import compare_output, output_figures


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 5)], ids=str)
def test_figures_are_those_of_all_samples_as_one_vector(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(0, 3, (4, *shape)).astype(np.float32)
    rough = (exact + rng.normal(0, 0.1, exact.shape)).astype(np.float32)
    figures = output_figures("out", [compare_output(x, y) for x, y in zip(exact, rough, strict=True)])
    x, y = exact.ravel().astype(float), rough.ravel().astype(float)
    assert figures.name == "out"
    assert figures.sqnr == pytest.approx(20 * np.log10(np.linalg.norm(x) / np.linalg.norm(x - y)))
    assert figures.cosine == pytest.approx(np.vdot(x, y) / np.linalg.norm(x) / np.linalg.norm(y))
    assert figures.max_error == np.abs(x - y).max()


def test_nothing_differs() -> None:
    values = np.arange(5, dtype=np.float32)
    figures = output_figures("out", [compare_output(values, values)])
    assert (figures.sqnr, figures.max_error) == (np.inf, 0)
    assert figures.cosine == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_one_sample_that_is_not_finite_makes_the_output_infinitely_bad(bad: float) -> None:
    values = np.arange(1, 6, dtype=np.float32)
    broken = values.copy()
    broken[2] = bad
    figures = output_figures("out", [compare_output(values, values), compare_output(values, broken)])
    assert (figures.sqnr, figures.cosine, figures.max_error) == (-np.inf, None, np.inf)


def test_another_shape_is_infinitely_bad() -> None:
    figures = output_figures("out", [compare_output(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32))])
    assert (figures.sqnr, figures.cosine, figures.max_error) == (-np.inf, None, np.inf)


def test_a_reference_of_zeros_has_no_cosine() -> None:
    zeros = np.zeros(4, np.float32)
    figures = output_figures("out", [compare_output(zeros, zeros + 1)])
    assert (figures.sqnr, figures.cosine) == (-np.inf, None)


def test_an_output_without_elements_differs_in_nothing() -> None:
    empty = np.empty((0, 6), np.float32)
    assert output_figures("out", [compare_output(empty, empty)]).sqnr == np.inf
