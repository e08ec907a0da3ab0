"""`gptq_round` of the core against GPTQ as its paper states it, and against exhaustive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyncnnq._core import gptq_round, quantize_rows, refit

Floats = NDArray[np.float64]


def moments(random: np.random.Generator, size: int, mixing: float = 0.5) -> Floats:
    """Second moments of inputs of very different sizes that depend on each other, and some damping."""
    mixed = np.eye(size) + mixing * random.normal(size=(size, size)) / np.sqrt(size)
    inputs = mixed @ (random.uniform(0.1, 3, (size, 1)) * random.normal(size=(size, 3 * size)))
    found: Floats = inputs @ inputs.T / inputs.shape[1]
    return found + 0.01 * np.trace(found) / size * np.eye(size)


def by_the_paper(weights: Floats, second: Floats, scales: Floats) -> NDArray[np.int64]:
    """Run algorithm 1 of the GPTQ paper by columns of descending diagonal: inverse, upper Cholesky factor, updates."""
    order = np.argsort(-np.diag(second), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(second[np.ix_(order, order)])).T
    left = weights[:, order].copy()
    codes = np.zeros(weights.shape, np.int64)
    for column in range(left.shape[1]):
        scaled = left[:, column] * scales
        code = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -127, 127)
        codes[:, order[column]] = code
        error = (left[:, column] - code / scales) / upper[column, column]
        left[:, column + 1 :] -= error[:, None] * upper[column, column + 1 :]
    return codes


def errors_of(codes: NDArray[np.integer], weights: Floats, second: Floats, scales: Floats) -> Floats:
    missed = codes / scales[:, None] - weights
    found: Floats = np.einsum("ri,ij,rj->r", missed, second, missed)
    return found


@pytest.mark.parametrize(("outputs", "size"), [(1, 1), (3, 2), (5, 9), (17, 64), (16, 65), (40, 130), (3, 200)])
def test_codes_are_those_of_the_paper(outputs: int, size: int) -> None:
    """Sizes on both sides of the blocks that the core works in."""
    random = np.random.default_rng(size)
    weights, second = random.normal(size=(outputs, size)), moments(random, size)
    scales = (127 / np.abs(weights).max(axis=1)).astype(np.float32)
    codes, chosen, errors = gptq_round(weights[None], second[None], scales[None])
    expected = by_the_paper(weights, second, scales.astype(np.float64))
    assert np.count_nonzero(codes[0] != expected) <= codes.size // 1000  # a tie may fall the other way
    assert not chosen.any()
    np.testing.assert_allclose(errors, errors_of(codes[0], weights, second, scales.astype(np.float64)), rtol=1e-9)


def test_outputs_move_less_than_with_the_nearest_codes() -> None:
    random = np.random.default_rng(1)
    weights, second = random.normal(size=(50, 96)), moments(random, 96)
    scales = (127 / np.abs(weights).max(axis=1)).astype(np.float32)
    _, _, errors = gptq_round(weights[None], second[None], scales[None])
    nearest = errors_of(quantize_rows(weights.astype(np.float32), scales), weights, second, scales.astype(np.float64))
    assert errors.sum() < 0.6 * nearest.sum()


@settings(max_examples=50, deadline=None)
@example(seed=20817688, size=3)  # one code is three steps from the nearest
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 4))
def test_no_code_can_be_far_from_the_best(seed: int, size: int) -> None:
    """No better than the best of all codes up to its own, and within Babai's bound: half a step in each direction."""
    random = np.random.default_rng(seed)
    weights, second = random.uniform(-1, 1, (1, size)), moments(random, size)
    scales = np.array([20], np.float32)
    codes, _, errors = gptq_round(weights[None], second[None], scales[None])
    nearest = np.round(weights * 20)
    reach = max(2, int(np.abs(codes[0] - nearest).max()))
    tried = np.array(list(itertools.product(range(-reach, reach + 1), repeat=size))) + nearest
    best = errors_of(tried, weights, second, np.full(len(tried), 20.0)).min()
    assert best <= errors[0] * (1 + 1e-9)
    order = np.argsort(np.diag(second), kind="stable")
    pivots = np.diag(np.linalg.cholesky(second[np.ix_(order, order)])) ** 2
    assert errors[0] <= pivots.sum() * (0.5 / 20) ** 2 * (1 + 1e-6)


def test_the_best_of_several_scales_is_taken_for_each_output() -> None:
    random = np.random.default_rng(2)
    weights, second = random.normal(size=(1, 30, 12)), moments(random, 12)[None]
    scales = np.stack([127 / (np.abs(weights[0]).max(axis=1) * ratio) for ratio in (1, 1.03, 1.07, 0.6)]).astype(
        np.float32
    )
    codes, chosen, errors = gptq_round(weights, second, scales)
    alone = [gptq_round(weights, second, scales[[index]]) for index in range(len(scales))]
    all_errors = np.stack([one[2] for one in alone])
    np.testing.assert_array_equal(chosen, all_errors.argmin(axis=0))
    np.testing.assert_array_equal(errors, all_errors.min(axis=0))
    assert len(set(chosen)) > 1
    for row, choice in enumerate(chosen):
        np.testing.assert_array_equal(codes[0, row], alone[choice][0][0, row])


def test_groups_are_rounded_as_if_alone() -> None:
    random = np.random.default_rng(3)
    weights = random.normal(size=(6, 2, 9))
    second = np.stack([moments(random, 9) for _ in range(6)])
    scales = np.full((1, 12), 40, np.float32)
    codes, _, errors = gptq_round(weights, second, scales)
    for group in range(6):
        code, _, error = gptq_round(weights[[group]], second[[group]], scales[:, :2])
        np.testing.assert_array_equal(codes[group], code[0])
        np.testing.assert_array_equal(errors[2 * group : 2 * group + 2], error)


def test_codes_stay_within_int8_and_errors_are_taken_over() -> None:
    """A weight far beyond the scale is clipped; an input that always agrees with its own makes up for that."""
    second = np.array([[1.001, 0.999], [0.999, 1.0]]) + 1e-4 * np.eye(2)
    codes, _, _ = gptq_round(np.array([[[2.0, 0.0]]]), second[None], np.array([[100]], np.float32))
    assert sorted(codes.ravel().tolist()) == [73, 127]


@pytest.mark.parametrize(
    "second", [[[0.0, 0], [0, 1]], [[1, 2], [2, 1]], [[np.nan, 0], [0, 1]]], ids=["zero", "indefinite", "not a number"]
)
def test_moments_must_be_positive_definite(second: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="positive definite"):
        gptq_round(np.ones((1, 1, 2)), np.array([second], np.float64), np.ones((1, 1), np.float32))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2), (1, 2, 2), (1, 1)), "three dimensions"),
        (((1, 1, 2), (1, 2, 3), (1, 1)), "square"),
        (((2, 1, 2), (1, 2, 2), (1, 2)), "square"),
        (((1, 3, 2), (1, 2, 2), (1, 2)), "one number for each output"),
        (((1, 3, 2), (1, 2, 2), (0, 3)), "one or more"),
    ],
)
def test_shapes_are_checked(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    weights, second, scales = shapes
    with pytest.raises(ValueError, match=message):
        gptq_round(np.ones(weights), np.ones(second), np.ones(scales, np.float32))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan])
def test_scales_must_be_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        gptq_round(np.ones((1, 1, 1)), np.ones((1, 1, 1)), np.array([[scale]], np.float32))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(9))
def test_moments_must_be_finite(number: float, place: int) -> None:
    """Wherever it stands: in the triangle that is not read, too."""
    weights, second = np.ones((1, 2, 3)), np.eye(3)[None].copy()
    second.flat[place] = number
    with pytest.raises(ValueError, match="positive definite"):
        gptq_round(weights, second, np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="positive definite"):
        refit(weights, second, np.eye(3)[None])
    with pytest.raises(ValueError, match="crosses must be finite"):
        refit(weights, np.eye(3)[None], second)
    weights.flat[place % 6] = number
    with pytest.raises(ValueError, match="weights must be finite"):
        gptq_round(weights, np.eye(3)[None], np.ones((1, 2), np.float32))


def test_results_beyond_float64_are_refused() -> None:
    """Squares of such weights are infinite, and among infinite or NaN errors no scale is the best."""
    scales = np.array([[1], [1e-3]], np.float32)
    for weights, second in ((1e200, np.eye(2)), (1.0, 1e308 * np.array([[1, 0.5], [0.5, 1]]))):
        with pytest.raises(ValueError, match="beyond float64"):
            gptq_round(np.full((1, 1, 2), 200 * weights), second[None], scales)
    with pytest.raises(ValueError, match="beyond float64"):
        refit(np.full((1, 1, 2), 1e200), np.eye(2)[None] * 1e-200, np.eye(2)[None])


def test_of_nothing_there_is_nothing() -> None:
    """However many groups of it: none of them takes a step."""
    many = 2**40
    assert refit(np.zeros((many, 4, 0)), np.zeros((many, 0, 0)), np.zeros((many, 0, 0))).shape == (many, 4, 0)
    codes, chosen, errors = gptq_round(np.zeros((many, 0, 0)), np.zeros((many, 0, 0)), np.ones((1, 0), np.float32))
    assert (codes.shape, chosen.size, errors.size) == ((many, 0, 0), 0, 0)
    codes, chosen, errors = gptq_round(np.zeros((2, 3, 0)), np.zeros((2, 0, 0)), np.ones((1, 6), np.float32))
    assert codes.shape == (2, 3, 0)
    np.testing.assert_array_equal([chosen, errors], np.zeros((2, 6)))
