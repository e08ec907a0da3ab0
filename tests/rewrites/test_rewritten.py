"""Storage after several rewrites, and channel ranges by storage, against blobs that NumPy rewrites."""

from __future__ import annotations

import numpy as np
import pytest
from channels import assert_same_ranges, ranges_of

from pyncnnq.quantization.storage import PLAIN, BlobStorage
from pyncnnq.rewrites.rewritten import composed, stored_ranges

CHANNELS = 5


def storage(rng: np.random.Generator, kind: str) -> BlobStorage:
    zeros, ones = np.zeros(CHANNELS), np.ones(CHANNELS)
    offset = rng.normal(0, 2, CHANNELS)
    return {
        "plain": PLAIN,
        "scaled": BlobStorage(np.exp2(rng.uniform(-3, 3, CHANNELS)), zeros),
        "shifted": BlobStorage(ones, offset),
        "some channels shifted": BlobStorage(ones, np.where(np.arange(CHANNELS) % 2, offset, 0)),
        "turned": BlobStorage(np.full(1, -1.0), np.full(1, 1.5)),
        "both": BlobStorage(-np.exp2(rng.uniform(-3, 3, CHANNELS)), offset),
    }[kind]


KINDS = ("plain", "scaled", "shifted", "some channels shifted", "turned", "both")


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("later", KINDS)
def test_ranges_and_storage_after_two_rewrites(first: str, later: str) -> None:
    rng = np.random.default_rng(5)
    samples = [rng.normal(0.5, 1, (7, CHANNELS)).astype(np.float32) for _ in range(3)]
    for sample in samples:
        sample[rng.random(sample.shape) < 0.2] = 0
    steps = storage(rng, first), storage(rng, later)
    stored = [sample.astype(np.float64) for sample in samples]
    for step in steps:
        stored = [(sample - step.offset) / step.gain for sample in stored]
    both = composed({"a": steps[0], "b": steps[0]}, {"a": steps[1], "c": steps[1]})
    assert both.keys() == {"a", "b", "c"}
    assert (both["b"], both["c"]) == steps
    for sample, rewritten in zip(samples, stored, strict=True):
        np.testing.assert_allclose(both["a"].gain * rewritten + both["a"].offset, sample, rtol=1e-6, atol=1e-6)
    before = {"a": ranges_of(samples), "other": ranges_of(samples)}
    found = stored_ranges(before, both)
    assert found["other"] is before["other"]
    if "both" not in (first, later) and "turned" not in (first, later):  # spread mixes minima and maxima then
        expected = ranges_of([sample.astype(np.float32) for sample in stored])
        assert_same_ranges({"a": found["a"]}, {"a": expected})
    np.testing.assert_allclose(found["a"].min, np.min(stored, axis=(0, 1)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["a"].max, np.max(stored, axis=(0, 1)), rtol=1e-6, atol=1e-6)
