"""Thresholds by the error at the readers' outputs: channel maxima, and what weights large values meet."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of

import pyncnnq
from pyncnnq import Model, calibrate
from pyncnnq._core import BlobStatistics
from pyncnnq.importance import importance, squared_weights
from pyncnnq.model import Layer, Weight
from pyncnnq.statistics.driver import Statistics
from pyncnnq.statistics.peaks import ChannelPeaks

Floats = NDArray[np.float32]

CHANNELS = 16


def packed(blob: Floats, elempack: int) -> Floats:
    """As ncnn holds it: `elempack` neighbours along the first axis interleaved along the last."""
    packs = np.moveaxis(blob.reshape(blob.shape[0] // elempack, elempack, *blob.shape[1:]), 1, -1)
    return np.ascontiguousarray(packs.reshape(*packs.shape[:-2], -1))


@pytest.mark.parametrize("elempack", [1, 4, 8, 16])
@pytest.mark.parametrize("shape", [(CHANNELS, 5, 7), (CHANNELS, 1, 1), (CHANNELS, 2, 3, 4)])
def test_peaks_of_packed_blobs(shape: tuple[int, ...], elempack: int) -> None:
    blobs = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    peaks = ChannelPeaks()
    for blob in blobs:
        peaks.observe(packed(blob, elempack), elempack, non_negative=False)
    assert peaks.absmax is not None
    np.testing.assert_array_equal(peaks.absmax, np.abs(blobs).reshape(3, CHANNELS, -1).max(axis=(0, 2)))


def test_each_element_of_a_vector_is_a_channel() -> None:
    peaks = ChannelPeaks()
    for vector in ([1, -2, 0], [-3, 1, 0]):
        peaks.observe(np.array(vector, np.float32), 1, non_negative=False)
    assert peaks.absmax is not None
    np.testing.assert_array_equal(peaks.absmax, [3, 2, 0])


def test_what_has_no_channels_of_its_own_is_not_known() -> None:
    for first, second in [((4, 2, 2), (3, 2, 2)), ((4, 3), (4, 3)), ((4, 2, 2), (5, 5))]:
        peaks = ChannelPeaks()
        for shape in (first, second, first):
            peaks.observe(np.ones(shape, np.float32), 1, non_negative=True)
        assert peaks.absmax is None


@given(st.permutations(range(5)), st.integers(0, 5))
def test_the_order_of_samples_and_of_merging_does_not_matter(order: list[int], split: int) -> None:
    blobs = np.random.default_rng(1).standard_normal((5, 4, 3, 3)).astype(np.float32)
    parts = ChannelPeaks(), ChannelPeaks()
    for place, index in enumerate(order):
        parts[place < split].observe(blobs[index], 1, non_negative=False)
    parts[1].merge(pickle.loads(pickle.dumps(parts[0])))
    assert parts[1].absmax is not None
    np.testing.assert_array_equal(parts[1].absmax, np.abs(blobs).max(axis=(0, 2, 3)))


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


@pytest.mark.parametrize(("kind", "times"), [("1x1", 3), ("3x3", 27), ("depthwise", 9), ("groups of 2", 4), ("InnerProduct", 5)])
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


def threshold_of(factors: NDArray[np.float64], peaks: bool) -> float:
    """Of a blob whose first channel is 20 times as large as the others, for a depthwise reader."""
    x = np.random.default_rng(3).laplace(size=(10, 8, 32, 32)).astype(np.float32)
    x[:, 0] *= 20
    blob, channels = BlobStatistics(), ChannelPeaks()
    for sample in x:
        assert blob.observe(sample, 3, 32, 32, 1, 8, 1024, 1)
        channels.observe(sample, 1, non_negative=False)
    assert channels.absmax is not None
    model = model_of(reader("depthwise", factors), shape=(8, 32, 32))
    known = {"in0": channels.absmax} if peaks else {}
    return calibrate(model, Statistics({"in0": blob}, known, samples=10)).layers[0].threshold


def test_large_values_that_meet_small_weights_are_clipped() -> None:
    large, small = np.array([1.0, *[1.0] * 7]), np.array([0.01, *[1.0] * 7])
    assert threshold_of(small, peaks=True) < 0.5 * threshold_of(large, peaks=True)
    assert threshold_of(small, peaks=False) == threshold_of(large, peaks=False) == pytest.approx(threshold_of(large, peaks=True), rel=0.1)


def test_channel_maxima_come_with_the_statistics(shared: object) -> None:
    folder = shared / "golden/chain"  # type: ignore[operator]
    model: Model = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    statistics = pyncnnq.collect(model, folder / "inputs", workers=2)
    images = np.stack([np.load(path) for path in (folder / "inputs").iterdir()])
    np.testing.assert_array_equal(statistics.channel_absmax["in0"], np.abs(images).max(axis=(0, 2, 3)))
    for name, blob in statistics.blobs.items():
        assert statistics.channel_absmax[name].max() == np.float32(blob.absmax)
        assert statistics.channel_absmax[name].size == blob.channel_means().size
