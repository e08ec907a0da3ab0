"""The kernel of csrc/kernels/impl/kl.hpp against the definition of the search."""

from __future__ import annotations

import numpy as np
import pytest
from kl_definition import EPSILON, spread_over_levels
from numpy.typing import NDArray

from pyncnnq import _core


@pytest.mark.parametrize("levels", [16, 32, 128])
@pytest.mark.parametrize("threshold", [1, 2.3, 3])
def test_kl_cross_entropies(kernels: _core.Kernels, levels: int, threshold: float) -> None:
    """Against the definition: q is p spread evenly over each level, epsilon is added to both."""
    first = int(levels * threshold)
    histogram = np.random.default_rng(levels).exponential(1, first + 40) * (np.arange(first + 40) % 5 != 0)
    p = histogram / histogram.sum()
    mass = np.round(np.append(0, p.cumsum()) * _core.MASS_UNITS).astype(np.int32)
    found = kernels.kl_cross_entropies(mass, first, levels)
    for i in range(_core.LANES):
        quantized = spread_over_levels(p, first + i, levels)
        expected = ((p[: first + i] + EPSILON) * np.log(quantized + EPSILON)).sum()
        assert found[i] == pytest.approx(expected, abs=1.5e-6)


@pytest.mark.parametrize("kind", ["decaying", "one bin", "spikes", "even"])
def test_kl_cross_entropies_at_full_size(kernels: _core.Kernels, kind: str) -> None:
    """Far more exact than the search takes for granted."""
    rng = np.random.default_rng(0)
    places = np.arange(2048)
    histogram = {
        "decaying": np.exp(-places / 150.0) * rng.uniform(0.5, 1.5, 2048),
        "one bin": (places == 1000) + 1e-7,
        "spikes": (rng.random(2048) < 0.01) * rng.exponential(1, 2048) + (places == 0) * 3,
        "even": np.ones(2048),
    }[kind]
    p = histogram / histogram.sum()
    mass = np.round(np.append(0, p.cumsum()) * _core.MASS_UNITS).astype(np.int32)
    for first in (128, 200, 777, 1500, 2032):
        found = kernels.kl_cross_entropies(mass, first, 128)
        for i in range(0, _core.LANES, 5):
            if first + i < 2048:
                quantized = spread_over_levels(p, first + i, 128)
                expected = ((p[: first + i] + EPSILON) * np.log(quantized + EPSILON)).sum()
                assert found[i] == pytest.approx(expected, abs=1.5e-6)


def test_what_the_kl_search_takes_for_granted() -> None:
    assert 5 * 1.5e-6 < _core.KL_ERROR < 2e-5


@pytest.mark.parametrize(("threshold", "levels"), [(15, 16), (85, 16), (64, 8), (64, 17), (600, 512), (2**64 - 16, 16)])
def test_kl_cross_entropies_refuse_what_is_out_of_range(kernels: _core.Kernels, threshold: int, levels: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        kernels.kl_cross_entropies(np.zeros(101, np.int32), threshold, levels)


@pytest.mark.parametrize("mass", [np.arange(100)[::-1], np.arange(100) - 1])
def test_kl_cross_entropies_refuse_what_is_not_cumulative(kernels: _core.Kernels, mass: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="cumulative"):
        kernels.kl_cross_entropies(mass.astype(np.int32), 32, 16)
