"""Thresholds by the error at the readers' outputs: channel maxima, and what weights large values meet."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import collected, merged, observe
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of

import pyncnnq
from pyncnnq import Model, calibrate
from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.importance import importance, squared_weights
from pyncnnq.model import Layer, Weight
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float32]

CHANNELS = 16


@pytest.mark.parametrize("elempack", [1, 4, 8, 16])
@pytest.mark.parametrize("shape", [(CHANNELS, 5, 7), (CHANNELS, 1, 1), (CHANNELS, 2, 3, 4), (CHANNELS, 70, 70)])
def test_maxima_of_packed_channels(shape: tuple[int, ...], elempack: int) -> None:
    blobs = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    blob = BlobStatistics()
    for one in blobs:
        assert observe(blob, one, elempack, padding=3)
    np.testing.assert_array_equal(blob.channel_absmax(), np.abs(blobs).reshape(3, CHANNELS, -1).max(axis=(0, 2)))


def test_each_element_of_a_vector_and_each_column_of_a_matrix_is_a_channel() -> None:
    vectors = np.array([[1, -2, 0], [-3, 1, 0]], np.float32)
    np.testing.assert_array_equal(collected(vectors).channel_absmax(), [3, 2, 0])
    np.testing.assert_array_equal(collected([vectors]).channel_absmax(), [3, 2, 0])


def test_maxima_of_channels_whose_number_changes_are_not_known() -> None:
    assert collected([np.ones((count, 2, 2), np.float32) for count in (4, 3, 4)]).channel_absmax().size == 0


@given(st.lists(st.integers(0, 100), max_size=8))
def test_the_order_of_samples_and_of_merging_does_not_matter(order: list[int]) -> None:
    blobs = np.random.default_rng(1).standard_normal((5, 4, 3, 3)).astype(np.float32)
    together = merged([collected([blob]) for blob in blobs], order)
    np.testing.assert_array_equal(together.channel_absmax(), np.abs(blobs).max(axis=(0, 2, 3)))


def reader(kind: str, factors: NDArray[np.float64]) -> Layer:
    """A layer whose weights are all 1, times a factor for each input channel."""
    rng, count = np.random.default_rng(2), factors.size
    layer = {
        "1x1": lambda: convolution(rng, "it", "in0", count, 3),
        "3x3": lambda: convolution(rng, "it", "in0", count, 3, 3),
        "depthwise": lambda: convolution(rng, "it", "in0", count, count, 3, group=count),
        "groups of 2": lambda: convolution(rng, "it", "in0", count, 2 * count, group=count // 2),
        "InnerProduct": lambda: inner_product(rng, "it", "in0", count * 4, 5),
    }[kind]()
    kernel = {"3x3": 9, "depthwise": 9, "InnerProduct": 4}.get(kind, 1)
    group = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    outputs = layer.params.get_int(0, 0)
    by_group = factors.reshape(group, 1, -1, 1) * np.ones((1, outputs // group, 1, kernel))
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", by_group.ravel())
    return layer


@pytest.mark.parametrize(
    ("kind", "times"), [("1x1", 3), ("3x3", 27), ("depthwise", 9), ("groups of 2", 4), ("InnerProduct", 5)]
)
def test_squared_weights_of_each_input_channel(kind: str, times: int) -> None:
    factors = np.arange(1.0, 9)
    expected = times * np.repeat(factors**2, 4 if kind == "InnerProduct" else 1)
    np.testing.assert_allclose(squared_weights(reader(kind, factors)), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["1x1", "3x3", "depthwise", "groups of 2", "InnerProduct"])
def test_a_value_counts_by_the_channels_that_reach_it(kind: str) -> None:
    """Channels reach 8, 4, 4 and 2, and meet weights of 1, 2, 3 and 4: bins of 1 are weighed by definition."""
    absmax, factors = np.array([8, 4, 4, 2], np.float32), np.array([1.0, 2, 3, 4])
    found = importance([reader(kind, factors)], absmax, 8)
    squares = factors**2
    expected = [squares[absmax > middle].mean() / squares.mean() for middle in np.arange(8) + 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_readers_count_alike_whatever_their_weights_add_up_to() -> None:
    absmax, factors = np.array([8, 4, 2, 1], np.float32), np.array([1.0, 2, 3, 4])
    small, large = reader("1x1", 1e-3 * factors[::-1]), reader("3x3", 1e3 * factors)
    both = importance([small, large], absmax, 16)
    np.testing.assert_allclose(both, importance([small], absmax, 16) + importance([large], absmax, 16), rtol=1e-6)


def test_weights_of_zero_leave_all_values_alike() -> None:
    np.testing.assert_array_equal(importance([reader("1x1", np.zeros(4))], np.ones(4, np.float32), 3), np.ones(3))


def threshold_of(factors: NDArray[np.float64], *, vary: bool = False) -> float:
    """Of a blob whose first channel is 20 times as large as the others, for a depthwise reader."""
    x = np.random.default_rng(3).laplace(size=(10, 8, 32, 32)).astype(np.float32)
    x[:, 0] *= 20
    blob = collected([*x, np.zeros((1, 1, 1), np.float32)] if vary else x)
    model = model_of(reader("depthwise", factors), shape=(8, 32, 32))
    return calibrate(model, Statistics({"in0": blob}, samples=10)).layers[0].threshold


def test_large_values_that_meet_small_weights_are_clipped() -> None:
    large, small = np.array([1.0, *[1.0] * 7]), np.array([0.01, *[1.0] * 7])
    assert threshold_of(small) < 0.5 * threshold_of(large)
    unknown = threshold_of(small, vary=True), threshold_of(large, vary=True)
    assert unknown[0] == unknown[1] == pytest.approx(threshold_of(large), rel=0.1)


def test_channel_maxima_come_with_the_statistics(shared: object) -> None:
    folder = shared / "golden/chain"  # type: ignore[operator]
    model: Model = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    statistics = pyncnnq.collect(model, folder / "inputs", workers=2)
    images = np.stack([np.load(path) for path in (folder / "inputs").iterdir()])
    np.testing.assert_array_equal(statistics.blobs["in0"].channel_absmax(), np.abs(images).max(axis=(0, 2, 3)))
    for blob in statistics.blobs.values():
        assert blob.channel_absmax().max() == np.float32(blob.absmax)
        assert blob.channel_absmax().size == blob.channel_means().size
