"""Weight scales by the error at the output, against a search by definition on the inputs themselves."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import observe
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of

from pyncnnq import calibrate
from pyncnnq._core import BlobStatistics
from pyncnnq.calibration.weight_search import RATIOS, least_error_scales
from pyncnnq.model import Layer, Weight
from pyncnnq.statistics.moments import input_moments
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float32]

CHANNELS, SIZE = 8, 6
KINDS = ["1x1", "3x3", "depthwise", "groups of 2", "InnerProduct"]


def layer_of(kind: str) -> Layer:
    rng = np.random.default_rng(0)
    return {
        "1x1": lambda: convolution(rng, "it", "in0", CHANNELS, 6),
        "3x3": lambda: convolution(rng, "it", "in0", CHANNELS, 5, 3),
        "depthwise": lambda: convolution(rng, "it", "in0", CHANNELS, CHANNELS, 3, group=CHANNELS),
        "groups of 2": lambda: convolution(rng, "it", "in0", CHANNELS, 12, 3, group=4),
        "InnerProduct": lambda: inner_product(rng, "it", "in0", CHANNELS * SIZE * SIZE, 6),
    }[kind]()


def samples(spread: float = 1.0, count: int = 30) -> Floats:
    """(count, channels, height, width), each channel with a mean of its own, independent and the same in all else."""
    rng = np.random.default_rng(1)
    means = rng.normal(0, 2, CHANNELS)
    return (spread * rng.standard_normal((count, CHANNELS, SIZE, SIZE)) + means[:, None, None]).astype(np.float32)


def observed(x: Floats) -> BlobStatistics:
    blob = BlobStatistics()
    for sample in x:
        assert observe(blob, sample)
    return blob


def found_scales(layer: Layer, blob: BlobStatistics) -> tuple[Floats, int]:
    (weight,) = layer.op.scaled_weights()
    return least_error_scales(layer, weight, blob)


def weights_by_output(layer: Layer) -> tuple[NDArray[np.float64], int]:
    """Weights, shape (outputs, elements), and how many outputs share a scale."""
    outputs = layer.params.get_int(0, 0)
    weights = layer.weights["weight_data"].float32().astype(np.float64).reshape(outputs, -1)
    return weights, outputs // layer.op.scaled_weights()[0].rows


def errors_by_definition(layer: Layer, x: Floats, output: int, scales: Floats) -> NDArray[np.float64]:
    """The expected squared error of one output for each scale: bias and variance of the sum of rounding errors times
    inputs."""
    weights = weights_by_output(layer)[0]
    group = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    means = x.mean(axis=(0, 2, 3), dtype=np.float64)
    variance = ((x - means[:, None, None]) ** 2).mean() + (np.abs(x).max() / 127) ** 2 / 12
    channel = [means[c] for c in np.array_split(np.arange(CHANNELS), group)[output * group // len(weights)]]
    expected = np.repeat(channel, weights.shape[1] // len(channel))
    errors = []
    for scale in scales:
        steps = np.abs((weights[output].astype(np.float32) * scale).astype(np.float64))
        rounded = np.sign(weights[output]) * np.minimum(np.floor(steps + 0.5), 127) / np.float64(scale)
        wrong = rounded - weights[output]
        errors.append((wrong @ expected) ** 2 + variance * (wrong @ wrong))
    return np.array(errors)


@pytest.mark.parametrize("spread", [0.1, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_no_scale_that_is_tried_has_a_smaller_error(kind: str, spread: float) -> None:
    """But for what the bins of the histogram leave uncertain of the variance: errors of two scales may be as near as
    that."""
    layer, x = layer_of(kind), samples(spread)
    scales, _ = found_scales(layer, observed(x))
    weights, shared = weights_by_output(layer)
    for row, scale in enumerate(scales):
        absmax = np.float32(np.abs(weights[row * shared : (row + 1) * shared]).max())
        candidates = np.append((np.float32(127) / absmax / RATIOS).astype(np.float32), scale)
        errors = sum(
            errors_by_definition(layer, x, output, candidates) for output in range(row * shared, (row + 1) * shared)
        )
        assert scale in candidates[:-1]
        assert errors[-1] <= 1.01 * errors.min()  # type: ignore[index, union-attr]


@pytest.mark.parametrize("kind", ["1x1", "3x3", "depthwise", "InnerProduct"])
def test_means_of_outputs_hardly_move(kind: str) -> None:
    layer, x = layer_of(kind), samples(0.1)
    scales, _ = found_scales(layer, observed(x))
    weights, _ = weights_by_output(layer)
    plain = np.float32(127) / np.abs(weights).max(axis=1).astype(np.float32)
    means = input_moments(layer, observed(x)).means

    def shifts(by: Floats) -> NDArray[np.float64]:
        rounded = np.clip(np.round(weights * by[:, None]), -127, 127) / by[:, None]
        return np.abs(((rounded - weights) * means).sum(axis=1))

    assert np.median(shifts(scales)) < 0.2 * np.median(shifts(plain))


def test_each_weight_meets_the_mean_of_its_own_channel() -> None:
    x = samples()
    means = x.mean(axis=(0, 2, 3), dtype=np.float64)
    for kind, expected in {
        "3x3": np.repeat(means, 9)[None],
        "depthwise": np.repeat(means[:, None], 9, axis=1),
        "groups of 2": np.repeat(means, 9).reshape(4, 18),
        "InnerProduct": np.repeat(means, SIZE * SIZE)[None],
    }.items():
        np.testing.assert_allclose(input_moments(layer_of(kind), observed(x)).means, expected, rtol=1e-5)


@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_the_variance_counts_zeros(zeros: float) -> None:
    x = np.where(np.random.default_rng(2).random((20, CHANNELS, SIZE, SIZE)) < zeros, 0, samples(count=20)).astype(
        np.float32
    )
    expected = np.square(x, dtype=np.float64).mean() - np.square(x.mean(axis=(0, 2, 3), dtype=np.float64)).mean()
    assert input_moments(layer_of("1x1"), observed(x)).variance == pytest.approx(expected, rel=0.01)


def test_a_constant_input_has_the_variance_of_its_rounding() -> None:
    constant = np.full((2, CHANNELS, SIZE, SIZE), 3, np.float32)
    assert 0 < input_moments(layer_of("1x1"), observed(constant)).variance < 1e-3


def with_weights(layer: Layer, values: NDArray[np.float64]) -> Layer:
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", values.ravel())
    return layer


def test_rows_of_zeros_and_of_denormals_get_1() -> None:
    weights = np.random.default_rng(3).standard_normal((6, CHANNELS))
    weights[1], weights[4] = 0, 1e-41
    scales, zeros = found_scales(with_weights(layer_of("1x1"), weights), observed(samples()))
    assert zeros == 2
    assert scales[1] == scales[4] == 1
    assert np.isfinite(scales).all()


def test_a_single_weight_is_exact() -> None:
    layer = convolution(np.random.default_rng(4), "it", "in0", CHANNELS, CHANNELS, group=CHANNELS)
    scales, _ = found_scales(layer, observed(samples()))
    np.testing.assert_array_equal(scales, np.float32(127) / np.abs(layer.weights["weight_data"].float32()))


def test_without_means_the_weights_alone_count() -> None:
    """Of a blob whose channels vary from sample to sample nothing is known but how large it is."""
    blob = observed(samples())
    assert observe(blob, np.ones((3, 2, 2), np.float32))
    layer = layer_of("1x1")
    assert not input_moments(layer, blob).means.any()
    scales, _ = found_scales(layer, blob)
    weights, _ = weights_by_output(layer)
    for row, scale in zip(weights, scales, strict=True):
        tried = 127 / np.abs(row).max() / RATIOS
        errors = [np.sum((np.clip(np.round(row * one), -127, 127) / one - row) ** 2) for one in (*tried, scale)]
        assert errors[-1] <= min(errors) * (1 + 1e-4)


def test_an_input_of_zeros_leaves_the_largest_magnitudes() -> None:
    layer = layer_of("3x3")
    scales, _ = found_scales(layer, observed(np.zeros((2, CHANNELS, SIZE, SIZE), np.float32)))
    np.testing.assert_array_equal(
        scales, np.float32(127) / np.abs(layer.weights["weight_data"].float32().reshape(5, -1)).max(axis=1)
    )


@given(st.integers(-36, 37), st.integers(-30, 37))
def test_any_magnitude_gives_scales_that_can_be_used(weights: int, inputs: int) -> None:
    layer = layer_of("groups of 2")
    values = layer.weights["weight_data"].float32().astype(np.float64)
    x = np.clip(samples(count=2).astype(np.float64) * 10.0**inputs, -3e38, 3e38).astype(np.float32)
    scales, _ = found_scales(with_weights(layer, values * 10.0**weights), observed(x))
    assert np.isfinite(scales).all()
    assert (scales > 0).all()


def table_rows(kind: str, **choices: str) -> Floats:
    model = model_of(layer_of(kind), shape=(CHANNELS, SIZE, SIZE))
    return calibrate(model, Statistics(blobs={"in0": observed(samples())}, samples=30), **choices).table["it_param_0"]


def test_auto_searches_by_default_and_gives_3x3_convolutions_8_bits() -> None:
    layer = layer_of("3x3")
    np.testing.assert_array_equal(table_rows("3x3"), found_scales(layer, observed(samples()))[0])
    np.testing.assert_array_equal(table_rows("3x3"), table_rows("3x3", method="auto", weight_bits="proven"))


def test_6_bits_are_not_searched() -> None:
    """A larger scale would take more than the 6 bits."""
    np.testing.assert_array_equal(table_rows("3x3", method="auto", weight_bits="ncnn"), table_rows("3x3", method="kl"))
    assert (table_rows("1x1", method="auto", weight_bits="ncnn") != table_rows("1x1", method="kl")).any()


def test_winograd_bounds_hold_after_the_search() -> None:
    rng = np.random.default_rng(5)
    layer = convolution(rng, "it", "in0", 64, 3, 3)
    with_weights(layer, rng.choice([-1.0, 1.0], (3, 576)) * rng.uniform(0.8, 1, (3, 576)))
    model = model_of(layer, shape=(64, SIZE, SIZE))
    blob = observed(np.ones((2, 64, SIZE, SIZE), np.float32))
    found = calibrate(model, Statistics(blobs={"in0": blob}, samples=2))
    int8 = np.clip(
        np.round(layer.weights["weight_data"].float32().reshape(3, -1) * found.table["it_param_0"][:, None]), -127, 127
    )
    assert found.layers[0].bounded_outputs == 3
    assert (127 * np.abs(int8).sum(axis=1) <= 2**31 / 576).all()
