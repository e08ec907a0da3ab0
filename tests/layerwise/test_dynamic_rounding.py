"""Rounding of Gemm and attention: whole small models through stock ncnn, on other data than they were rounded by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import Array, model_of, plain, run_ncnn, sqnr

from pyncnnq import load_model
from pyncnnq.calibration.calibrate import calibrate
from pyncnnq.calibration.table import Table
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import find_chosen
from pyncnnq.layerwise.rounding import round_weights
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.quantization import quantize_with_options
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics

K, N, TOKENS, SAMPLES = 24, 12, 16, 24

A, B = " 2=0 3=1 4=1 5=0 6=1 7=12 9=24 14=1", " 2=0 3=1 4=0 5=1 6=1 8=12 9=24"
GEMMS = {
    "A, nothing added": f"{A} 10=-1",
    "A, a bias": f"{A} 10=1 0=0.5 1=2",
    "B, nothing added": f"{B} 10=-1",
    "B, a bias": f"{B} 10=4 0=0.5 1=2",
}


def gemm(text: str) -> Layer:
    """Rows of B reach equally far, as they do when they are levelled."""
    rng = np.random.default_rng(3)
    layer = Layer("Gemm", "out", ["in0"], ["out"], Params(text))
    weights = rng.normal(0, 1, (N, K))
    weights /= np.abs(weights).max(axis=1, keepdims=True)
    for expected in layer.expected_weights():
        values = weights.ravel() if expected.size == N * K else rng.normal(0, 1, expected.size)
        layer.weights[expected.name] = Weight.tagged_float32(expected.name, values)
    return layer


def attention(text: str = f" 0={K} 1=4 2={K * K}") -> Layer:
    rng = np.random.default_rng(4)
    layer = plain("MultiHeadAttention", "out", "in0", text=text)
    for expected in layer.expected_weights():
        kind = Weight.tagged_float32 if expected.storage == "tagged" else Weight.raw
        layer.weights[expected.name] = kind(expected.name, rng.normal(0, 0.3, expected.size))
    return layer


def tokens(seed: int) -> Array:
    """Neighbours are alike, and each token has int8 numbers already: all error is that of the weights."""
    x = np.cumsum(np.random.default_rng(seed).normal(0.2, 1, (TOKENS, K)), axis=1)
    return (np.rint(x / np.abs(x).max(axis=1, keepdims=True) * 127) / 127).astype(np.float32)


class Rounded:
    """A model's outputs on data of its own, in float, in int8 rounded to the nearest, and rounded by what it sees."""

    def __init__(self, layer: Layer, folder: Path, *, refits: bool = False, in_float: tuple[str, ...] = ()) -> None:
        model_of(layer, shape=(TOKENS, K)).save(folder / "m.param", folder / "m.bin")
        self.model = load_model(folder / "m.param", folder / "m.bin")
        (folder / "x").mkdir()
        for seed in range(SAMPLES):
            np.save(folder / "x" / f"{seed:02}.npy", tokens(seed))
        data = find_chosen(self.model, [folder / "x"], InputOptions(), None)
        nearest = calibrate(self.model, Statistics(), method="minmax", weight_bits="8").table
        with WorkerPool(1) as pool:
            self.rounded, self.table = round_weights(
                self.model, nearest, {}, data.samples, data.inputs, pool, refits=refits, in_float=in_float
            )
        others = [tokens(1000 + seed) for seed in range(SAMPLES)]
        self.exact = np.stack(
            [run_ncnn(folder / "m.param", folder / "m.bin", {"in0": x}, ["out"])["out"] for x in others]
        )
        self.nearest = outputs(self.model, nearest, others, folder)
        self.chosen = outputs(self.rounded, self.table, others, folder)


def outputs(model: Model, table: Table, inputs: list[Array], folder: Path) -> Array:
    int8 = quantize_with_options(model, table, QuantizeOptions(), as_ncnn2int8=False)
    int8.save(folder / "int8.param", folder / "int8.bin")
    return np.stack([run_ncnn(folder / "int8.param", folder / "int8.bin", {"in0": x}, ["out"])["out"] for x in inputs])


@pytest.mark.parametrize("text", GEMMS.values(), ids=GEMMS)
def test_errors_of_weights_cancel_for_tokens_as_they_are(text: str, tmp_path: Path) -> None:
    found = Rounded(gemm(text), tmp_path)
    assert sqnr(found.exact, found.chosen) > sqnr(found.exact, found.nearest) + 4
    assert found.table["out_param_0"].size == (N if text.startswith(A) else 1)


@pytest.mark.parametrize("refits", [False, True], ids=["", "refitted"])
def test_all_projections_of_attention_are_rounded(refits: bool, tmp_path: Path) -> None:
    found = Rounded(attention(), tmp_path, refits=refits)
    assert sqnr(found.exact, found.chosen) > sqnr(found.exact, found.nearest) + 0.5
    for part, index in zip(("q", "k", "v", "out"), range(4), strict=True):
        numbers = found.rounded.layer("out").weights[f"{part}_weight_data"].float32().reshape(K, K)
        scales = found.table[f"out_param_{index}"]
        codes = numbers * scales[:, None]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
        assert np.abs(codes).max() < 127.5


def test_the_mean_of_each_output_is_right(tmp_path: Path) -> None:
    found = Rounded(attention(), tmp_path)
    means = [np.abs((one - found.exact).mean(axis=(0, 1))).mean() for one in (found.nearest, found.chosen)]
    assert means[1] < 0.5 * means[0]


def test_layers_in_float_stay_as_they_are(tmp_path: Path) -> None:
    layer = gemm(GEMMS["A, a bias"])
    found = Rounded(layer, tmp_path, in_float=("out",))
    assert found.rounded.bin_bytes() == found.model.bin_bytes()
    assert "out_param_0" not in found.table


def test_attention_of_other_sizes_keeps_its_last_projection(tmp_path: Path) -> None:
    """Its queries are longer than the sum of its heads."""
    found = Rounded(attention(f" 0=16 1=4 2={16 * K} 3={K} 4={K}"), tmp_path)
    before, after = (one.layer("out").weights for one in (found.model, found.rounded))
    np.testing.assert_array_equal(before["out_weight_data"].float32(), after["out_weight_data"].float32())
    assert (before["q_weight_data"].float32() != after["q_weight_data"].float32()).any()
    assert sqnr(found.exact, found.chosen) > sqnr(found.exact, found.nearest) - 0.5
