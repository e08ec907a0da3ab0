"""`least_error_scales` of the core at the ends of its arguments; tests/calibration holds it against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq._core import least_error_scales

CANDIDATES = np.array([[90, 127, 60]], np.float32)
WEIGHTS = np.array([[1.0, -0.3, 0.77, 0.2]], np.float32)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(number: float) -> None:
    weights = WEIGHTS.copy()
    weights[0, 2] = number
    with pytest.raises(ValueError, match="weights must be finite"):
        least_error_scales(weights, CANDIDATES, np.ones((1, 4)), 1.0)


@pytest.mark.parametrize("mean", [5e-324, 1e-310, -2e-308, 1e-300])
def test_tiny_means_count_for_nothing(mean: float) -> None:
    """Beside any variance: not by a division by a unit that has become 0, which made all errors NaN."""
    expected = least_error_scales(WEIGHTS, CANDIDATES, np.zeros((1, 4)), 1.0)
    assert expected[0] != CANDIDATES[0, 0]
    np.testing.assert_array_equal(least_error_scales(WEIGHTS, CANDIDATES, np.full((1, 4), mean), 1.0), expected)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_nothing_to_weigh(shape: tuple[int, int]) -> None:
    candidates = np.full((shape[0], 2), 7, np.float32)
    found = least_error_scales(np.zeros(shape, np.float32), candidates, np.ones((1, 4)), 1.0)
    np.testing.assert_array_equal(found, candidates[:, 0])
