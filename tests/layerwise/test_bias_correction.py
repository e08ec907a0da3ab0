"""Bias correction: int8 weights, right means."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import observe
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of

from pyncnnq import Model, Table
from pyncnnq._core import BlobStatistics, quantize_rows
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.model import Layer
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float32]

CHANNELS, SIZE = 8, 5


def layer_of(kind: str) -> Layer:
    rng = np.random.default_rng(0)
    return {
        "Convolution": lambda: convolution(rng, "it", "in0", CHANNELS, 6),
        "depthwise": lambda: convolution(rng, "it", "in0", CHANNELS, CHANNELS, group=CHANNELS),
        "groups of 2": lambda: convolution(rng, "it", "in0", CHANNELS, 12, group=4),
        "InnerProduct": lambda: inner_product(rng, "it", "in0", CHANNELS * SIZE * SIZE, 6),
    }[kind]()


def coarse_table(layer: Layer) -> Table:
    """So few levels that rounding moves the means a lot."""
    rows = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else layer.params.get_int(0, 0)
    table = Table()
    table["it_param_0"] = 2.3 / np.abs(layer.weights["weight_data"].float32().reshape(rows, -1)).max(axis=1)
    table["it"] = 10.0
    return table


def samples(count: int = 20) -> Floats:
    """(count, channels, height, width), each channel with a mean of its own, the same at all places."""
    rng = np.random.default_rng(1)
    means = rng.normal(0, 3, CHANNELS)
    return (rng.standard_normal((count, CHANNELS, SIZE, SIZE)) + means[:, None, None]).astype(np.float32)


def statistics_of(x: Floats) -> Statistics:
    blob = BlobStatistics()
    for sample in x:
        assert observe(blob, sample)
    return Statistics(blobs={"in0": blob}, samples=len(x))


def mean_output(layer: Layer, x: Floats, scales: Floats | None) -> NDArray[np.float64]:
    """Mean of each output over samples and places, with float weights or with int8 ones divided by their scales."""
    rows = layer.weights["weight_data"].float32().astype(np.float64)
    if scales is not None:
        rows = rows.reshape(scales.size, -1)
        rows = (quantize_rows(rows.astype(np.float32), scales) / scales[:, None].astype(np.float64)).ravel()
    outputs = layer.params.get_int(0, 0)
    bias = (
        layer.weights["bias_data"].float32().astype(np.float64) if "bias_data" in layer.weights else np.zeros(outputs)
    )
    if layer.type == "InnerProduct":
        return rows.reshape(outputs, -1) @ x.reshape(len(x), -1).mean(axis=0, dtype=np.float64) + bias
    group = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    means = x.mean(axis=(0, 2, 3), dtype=np.float64).reshape(group, -1)
    return np.concatenate([w @ m for w, m in zip(rows.reshape(group, outputs // group, -1), means, strict=True)]) + bias


@pytest.mark.parametrize("kind", ["Convolution", "depthwise", "groups of 2", "InnerProduct"])
def test_the_mean_of_each_output_is_that_of_float(kind: str) -> None:
    layer = layer_of(kind)
    x, table = samples(), coarse_table(layer)
    if kind == "InnerProduct":  # of a 3-D blob the mean of a channel stands for all of its places
        x = np.broadcast_to(x.mean(axis=(2, 3), keepdims=True), x.shape).astype(np.float32)
    model = model_of(layer, shape=(CHANNELS, SIZE, SIZE))
    corrected, names = correct_biases(model, table, statistics_of(x))
    assert names == ["it"]
    expected = mean_output(layer, x, None)
    before = mean_output(layer, x, table["it_param_0"])
    after = mean_output(corrected.layer("it"), x, table["it_param_0"])
    assert np.abs(before - expected).max() > 0.1  # there is something to correct
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_a_layer_without_a_bias_gets_one_that_ncnn_reads() -> None:
    layer = layer_of("Convolution")
    layer.params.set(5, 0)
    del layer.weights["bias_data"]
    model = model_of(layer, shape=(CHANNELS, SIZE, SIZE))
    x, table = samples(), coarse_table(layer)
    corrected = correct_biases(model, table, statistics_of(x))[0].layer("it")
    corrected.check_weights()
    np.testing.assert_allclose(mean_output(corrected, x, table["it_param_0"]), mean_output(layer, x, None), atol=1e-4)


def test_the_model_that_was_given_is_not_changed() -> None:
    layer = layer_of("Convolution")
    model = model_of(layer, shape=(CHANNELS, SIZE, SIZE))
    before = model.param_text(), model.bin_bytes()
    corrected, _ = correct_biases(model, coarse_table(layer), statistics_of(samples()))
    assert (model.param_text(), model.bin_bytes()) == before
    assert corrected.bin_bytes() != before[1]


def unknown_blob(model: Model, table: Table) -> tuple[Model, Table, Statistics]:
    return model, table, Statistics()


def no_activation_row(model: Model, table: Table) -> tuple[Model, Table, Statistics]:
    rows = Table()
    rows["it_param_0"] = table["it_param_0"]
    return model, rows, statistics_of(samples())


def varying_channels(model: Model, table: Table) -> tuple[Model, Table, Statistics]:
    statistics = statistics_of(samples())
    assert observe(statistics.blobs["in0"], np.ones((3, 2, 2), np.float32))
    return model, table, statistics


@pytest.mark.parametrize("make", [unknown_blob, no_activation_row, varying_channels])
def test_what_is_not_known_or_not_int8_is_left_alone(make: object) -> None:
    layer = layer_of("Convolution")
    model, table, statistics = make(model_of(layer, shape=(CHANNELS, SIZE, SIZE)), coarse_table(layer))  # type: ignore[operator]
    corrected, names = correct_biases(model, table, statistics)
    assert names == []
    assert corrected.bin_bytes() == model.bin_bytes()
