"""The row-wise quantization of the core, shared out over threads, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyncnnq._core import quantize_rows


def expected(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        product = (weights * scales[:, None]).astype(np.float64)
    return np.clip(np.copysign(np.floor(np.abs(product) + 0.5), product), -127, 127).astype(np.int8)


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(-300, 300, width=32)
    ),
    st.data(),
)
def test_small_arrays(weights: np.ndarray, data: st.DataObject) -> None:
    scales = data.draw(hnp.arrays(np.float32, weights.shape[0], elements=st.floats(0, 1e6, width=32)))
    np.testing.assert_array_equal(quantize_rows(weights, scales), expected(weights, scales))


@pytest.mark.parametrize("shape", [(1, 1_200_001), (1_200_001, 1), (3, 400_007), (1031, 1031), (0, 5), (5, 0)])
def test_large_arrays_are_shared_out_without_gaps(shape: tuple[int, int]) -> None:
    """A row may be cut anywhere, and each element is computed with the scale of its own row."""
    rng = np.random.default_rng(3)
    weights = rng.normal(0, 1, shape).astype(np.float32)
    scales = rng.uniform(1, 90, shape[0]).astype(np.float32)
    found = quantize_rows(weights, scales)
    assert found.shape == shape
    np.testing.assert_array_equal(found, expected(weights, scales))


def test_halves_go_away_from_zero_and_127_is_the_end() -> None:
    x = np.array(
        [[0.5, -0.5, 1.5, -1.5, 0.49999997, -0.49999997, 126.5, -126.5, 127.5, -128, 1e30, -np.inf]], np.float32
    )
    found = quantize_rows(x, np.ones(1, np.float32))
    np.testing.assert_array_equal(found[0], [1, -1, 2, -2, 0, 0, 127, -127, 127, -127, 127, -127])


@pytest.mark.parametrize(
    ("weights", "scales"), [(np.ones(4), np.ones(4)), (np.ones((2, 3)), np.ones(3)), (np.ones((2, 3)), np.ones((2, 1)))]
)
def test_shapes_are_checked(weights: np.ndarray, scales: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"weights must have two dimensions|one for each row"):
        quantize_rows(weights.astype(np.float32), scales.astype(np.float32))
