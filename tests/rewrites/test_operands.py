"""Operands of Gemm layers swapped, and outliers moved into weights: floats as before, int8 nearer to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import Array, model_of, plain, run_model, run_ncnn, sqnr

from pyncnnq import load_model, quantize
from pyncnnq.calibration.table import Table
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.dynamic import dynamic_blobs
from pyncnnq.rewrites.levelling import level_outputs, scale_tokens
from pyncnnq.rewrites.operands import swap_operands
from pyncnnq.rewrites.smoothing import smooth
from pyncnnq.statistics.columns import Columns, columns_of, joined_columns

K, N, TOKENS = 24, 10, 6


def gemm(
    name: str, bottom: str, *, columns: int = K, outputs: int = N, turned: bool = True, more: str = " 10=-1"
) -> Layer:
    """A constant B whose rows (outputs) are of very different size."""
    rng = np.random.default_rng(len(name))
    weights = rng.normal(0, 1, (outputs, columns)) * np.geomspace(0.02, 1, outputs)[:, None]
    text = f" 2=0 3={int(turned)} 4=0 5=1 6=1 8={outputs} 9={columns}{more}"
    layer = Layer("Gemm", name, [bottom], [name], Params(text))
    layer.weights["B_data"] = Weight.tagged_float32("B_data", (weights if turned else weights.T).ravel())
    for expected in list(layer.expected_weights())[1:]:
        layer.weights[expected.name] = Weight.tagged_float32(expected.name, rng.normal(0, 1, expected.size))
    return layer


def tokens(seed: int = 0, columns: int = K) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (TOKENS, columns)).astype(np.float32)


C_TYPES = {
    "nothing": " 10=-1",
    "a number": " 10=0",
    "one for each output": " 10=4 0=0.5 1=2",
    "one for each token": f" 7={TOKENS} 10=1",
    "one for each token, as a column": f" 7={TOKENS} 10=2",
}


@pytest.mark.parametrize("more", C_TYPES.values(), ids=C_TYPES)
@pytest.mark.parametrize("turned", [True, False], ids=["B turned", "B as it is"])
def test_floats_stay_and_int8_weights_get_a_scale_for_each_output(more: str, turned: bool, tmp_path: Path) -> None:
    model = model_of(gemm("out", "in0", turned=turned, more=more), shape=(TOKENS, K))
    result = swap_operands(model)
    assert result.changed == ("out",)
    x = tokens()
    before, after = (run_model(one, tmp_path, {"in0": x}, ["out"])["out"] for one in (model, result.model))
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    ratios = [sqnr(before, int8_output(one, tmp_path, x)) for one in (model, result.model)]
    assert ratios[1] > ratios[0] + 3


def int8_output(model: Model, folder: Path, x: Array) -> Array:
    """By the table, which has no rows for such layers."""
    int8 = quantize(saved(model, folder, "float"), Table())
    int8.save(folder / "int8.param", folder / "int8.bin")
    return run_ncnn(folder / "int8.param", folder / "int8.bin", {"in0": x}, ["out"])["out"]


def saved(model: Model, folder: Path, name: str) -> Model:
    model.save(folder / f"{name}.param", folder / f"{name}.bin")
    return load_model(folder / f"{name}.param", folder / f"{name}.bin")


LEFT_ALONE = {
    "a C for each number": " 10=3",
    "a C that is an input": " 10=4 6=0",
    "an output of other axes": " 10=-1 11=1",
    "an output that is turned": " 10=-1 14=1",
}


@pytest.mark.parametrize("more", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_more_than_a_swap_would_be_needed_for_is_left_alone(more: str) -> None:
    model = model_of(gemm("out", "in0", more=f" 7={TOKENS}{more}"), shape=(TOKENS, K))
    result = swap_operands(model)
    assert result.changed == ()
    assert result.model.param_text() == model.param_text()


def transformer(*, is_residual: bool) -> Model:
    """A LayerNorm, attention, and two linear layers with a GELU between, as in BERT (after it, what is added reads the
    LayerNorm too) or in GPT (before it)."""
    rng = np.random.default_rng(7)
    gamma = np.ones(K)
    gamma[[3, 11]] = 40  # outliers
    norm = plain("LayerNorm", "norm", "in0", text=f" 0={K} 1=1e-5 2=1")
    norm.weights = {"gamma_data": Weight.raw("gamma_data", gamma), "beta_data": Weight.raw("beta_data", 0 * gamma)}
    attention = plain("MultiHeadAttention", "attention", "norm", text=f" 0={K} 1=4 2={K * K}")
    for expected in attention.expected_weights():
        values = rng.normal(0, 0.05, expected.size)
        kind = Weight.tagged_float32 if expected.storage == "tagged" else Weight.raw
        attention.weights[expected.name] = kind(expected.name, values)
    wide = gemm("wide", "norm" if is_residual else "attention", outputs=4 * K)
    gelu = plain("GELU", "gelu", "wide", text=" 0=1")
    narrow = gemm("narrow", "gelu", columns=4 * K, outputs=K)
    values = narrow.weights["B_data"].data.reshape(K, 4 * K)
    values[:, ::9] /= 30
    wide.weights["B_data"].data.reshape(4 * K, K)[::9] *= 30
    layers = [norm, attention, wide, gelu, narrow, plain("BinaryOp", "out", "narrow", "attention", text=" 0=0")]
    return model_of(*layers, shape=(TOKENS, K))


def seen(model: Model, folder: Path, inputs: list[Array]) -> dict[str, Columns]:
    blobs = [blob.name for blob in dynamic_blobs(model)]
    runs = [run_model(model, folder, {"in0": x}, blobs) for x in inputs]
    return {blob: joined_columns([columns_of(run[blob]) for run in runs]) for blob in blobs}


FOUR = [tokens(seed) for seed in range(4)]


@pytest.mark.parametrize("is_residual", [True, False])
def test_outliers_go_into_the_weights(is_residual: bool, tmp_path: Path) -> None:
    model = swap_operands(transformer(is_residual=is_residual)).model
    columns = seen(model, tmp_path, FOUR)
    result = smooth(model, columns)
    assert set(result.changed) >= {"attention", "narrow"}
    kinds = [layer.type for layer in result.model.layers]
    # A LayerNorm that attention alone reads does it itself; where more layers read it, each has a factor of its own.
    assert ("norm" in result.storage) is not is_residual
    assert kinds.count("MemoryData") == len(result.changed) - (not is_residual)
    x = tokens(9)
    before, after = (run_model(one, tmp_path, {"in0": x}) for one in (model, result.model))
    for blob, storage in result.storage.items():
        np.testing.assert_allclose(after[blob] * storage.gain, before[blob], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after["out"], before["out"], rtol=1e-4, atol=1e-4 * np.abs(before["out"]).max())
    rough, smoother = (sqnr(before["out"], int8_output(one, tmp_path, x)) for one in (model, result.model))
    assert smoother > rough + 3


ATTENTION = {
    "self": (1, ""),
    "self, masked": (1, " 5=1"),
    "of another": (2, ""),
    "of another, masked": (2, " 5=1"),
    "of two others": (3, ""),
    "of two others, masked": (3, " 5=1"),
}


@pytest.mark.parametrize(("inputs", "mask"), ATTENTION.values(), ids=ATTENTION)
def test_attention_stays_whatever_its_inputs_are(inputs: int, mask: str, tmp_path: Path) -> None:
    """Each input has outliers of its own; a mask is no features."""
    rng = np.random.default_rng(5)
    blobs = [gemm(f"x{place}", "in0", outputs=K) for place in range(inputs)]
    names = [layer.name for layer in blobs]
    if mask:
        blobs.append(gemm("mask", "in0", outputs=TOKENS))
        names.append("mask")
    attention = plain("MultiHeadAttention", "out", *names, text=f" 0={K} 1=4 2={K * K}{mask}")
    for expected in attention.expected_weights():
        kind = Weight.tagged_float32 if expected.storage == "tagged" else Weight.raw
        attention.weights[expected.name] = kind(expected.name, rng.normal(0, 0.2, expected.size))
    model = model_of(*blobs, attention, shape=(TOKENS, K))
    columns = {
        blob.name: columns_of(rng.normal(0, np.geomspace(0.1, 30, K), (TOKENS, K))) for blob in dynamic_blobs(model)
    }
    result = smooth(model, columns)
    smoothed = [blob for layer in result.model.layers if layer.name == "out" for blob in layer.bottoms]
    assert [blob.endswith("_smoothed") for blob in smoothed] == [True] * inputs + [False] * bool(mask)
    x = tokens()
    before, after = (run_model(one, tmp_path, {"in0": x}, ["out"])["out"] for one in (model, result.model))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)  # products of float32, factored another way


def test_tokens_may_be_channels_of_one_row(tmp_path: Path) -> None:
    """As a Reshape leaves them: they are quantized, but not smoothed."""
    layers = [plain("Reshape", "rows", "in0", text=f" 0={K} 1=1 2={TOKENS}"), gemm("out", "rows")]
    model = saved(model_of(*layers, shape=(TOKENS, K)), tmp_path, "float")
    folder = tmp_path / "data"
    folder.mkdir()
    for seed in range(8):
        np.save(folder / f"{seed}.npy", tokens(seed) * np.geomspace(0.1, 30, K, dtype=np.float32))
    made = quantize(model, folder, recipe="fast", workers=1)
    assert {"swapped operands", "smoothing"}.intersection(made.chosen.techniques) == {"swapped operands"}
    assert [layer.name for layer in made.int8.summary.quantized] == ["out"]
    assert made.chosen.score > 20


def test_what_has_no_outliers_is_left_alone(tmp_path: Path) -> None:
    layer = gemm("out", "clip")
    values = np.random.default_rng(0).choice([-1, 1], N * K)
    layer.weights["B_data"] = Weight.tagged_float32("B_data", values)
    model = swap_operands(model_of(plain("Clip", "clip", "in0", text=" 0=-0.1 1=0.1"), layer, shape=(TOKENS, K))).model
    assert smooth(model, seen(model, tmp_path, FOUR)).changed == ()
    assert smooth(model, {}).changed == ()


def with_an_outlier(seed: int, size: float = 50) -> Array:
    x = tokens(seed)
    x[2] *= size
    return x


@pytest.mark.parametrize("more", [" 10=-1", " 10=4 0=0.5 1=2"], ids=["without C", "with C"])
def test_tokens_of_different_size_get_scales_of_their_own_and_weights_keep_theirs(more: str, tmp_path: Path) -> None:
    swapped = swap_operands(model_of(gemm("out", "in0", more=more), shape=(TOKENS, K))).model
    columns = seen(swapped, tmp_path, [with_an_outlier(seed) for seed in range(4)])
    taken_apart = scale_tokens(swapped, columns)
    assert taken_apart.changed == ("out",)
    result = level_outputs(taken_apart.model)
    assert result.changed == ("out",)
    rows = np.abs(result.model.layer("out").weights["B_data"].float32().reshape(N, K)).max(axis=1)
    np.testing.assert_allclose(rows, rows[0], rtol=1e-5)
    x = with_an_outlier(9)
    before, after = (run_model(one, tmp_path, {"in0": x}, ["out"])["out"] for one in (swapped, result.model))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5 * np.abs(before).max())
    small = np.arange(TOKENS) != 2
    ratios = [
        sqnr(before[small], int8_output(one, tmp_path, x)[small]) for one in (swapped, taken_apart.model, result.model)
    ]
    assert ratios[2] > max(ratios[:2]) + 8
    assert level_outputs(result.model).changed == ()


def test_tokens_of_like_size_share_a_scale(tmp_path: Path) -> None:
    swapped = swap_operands(model_of(gemm("out", "in0"), shape=(TOKENS, K))).model
    assert scale_tokens(swapped, seen(swapped, tmp_path, FOUR)).changed == ()
    assert scale_tokens(swapped, {}).changed == ()


def test_rows_of_next_to_nothing_and_of_nothing_stay_finite(tmp_path: Path) -> None:
    layer = gemm("out", "in0", more=" 10=4")
    layer.weights["B_data"].data.reshape(N, K)[[0, 3]] *= np.array([[0], [1e-30]], np.float32)
    model = model_of(layer, shape=(TOKENS, K))
    result = level_outputs(model).model
    assert all(np.abs(weight.float32()).max() < 100 for one in result.layers for weight in one.weights.values())
    before, after = (run_model(one, tmp_path, {"in0": FOUR[0]}, ["out"])["out"] for one in (model, result))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_columns_are_those_of_matrices_and_vectors() -> None:
    """A vector is one token; some rows of a long blob stand for all, first and last among them."""
    x = np.random.default_rng(1).normal(0, 1, (100, K)).astype(np.float32)
    found = columns_of(x)
    np.testing.assert_array_equal(found.largest, np.abs(x).max(axis=0, keepdims=True))
    np.testing.assert_allclose(found.powers, np.square(x.astype(np.float64)).mean(axis=0))
    assert found.rows.shape == (16, K)
    np.testing.assert_array_equal(found.rows[[0, -1]], np.abs(x[[0, -1]]))
    vector = columns_of(x[0])
    np.testing.assert_array_equal(vector.rows, vector.largest)
    joined = joined_columns([found, vector])
    assert (joined.largest.shape, joined.rows.shape) == ((2, K), (17, K))
    np.testing.assert_allclose(joined.powers, (found.powers + vector.powers) / 2)
