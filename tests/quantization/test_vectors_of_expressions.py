"""Convolutions of what a Reshape by expressions writes: an alarm where ncnn's int8 fails, and none where it works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import absmax_table, convolution, model_of, plain, run_model, sqnr

import pyncnnq
from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.quantization import quantize

ALARM = "returns garbage"


def classifier(*reshaping: Layer, bottom: str) -> Model:
    """A model of an input without sizes, as pnnx leaves it: a 3x3 convolution, layers that reshape, one of 1x1."""
    rng = np.random.default_rng(0)
    model = model_of(
        convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1"),
        *reshaping,
        convolution(rng, "conv", bottom, 8, 8),
    )
    for layer in model.input_layers:
        layer.op.clear()
    return model


def pooled(*others: str, expression: str) -> list[Layer]:
    """A global pooling, and a Reshape of what it writes with the sizes of other blobs."""
    return [
        plain("Pooling", "pool", "first", text=" 0=1 4=1"),
        plain("Reshape", "top", "pool", *others, text=f' 6="{expression}"'),
    ]


@pytest.mark.parametrize(
    ("others", "expression", "kind"),
    [
        ((), "1,1,8", "Convolution"),
        ((), "1,1,0w", "Convolution"),
        ((), "//(0w,8),1,*(0h,8)", "Convolution"),
        (("first",), "//(1w,1w),//(1h,1h),8", "Convolution"),
        (("first",), "*(1,1),//(1c,8),1c", "Convolution"),
        (("first", "in0"), "//(1w,2w),+(0,1),+(*(2c,2),//(1c,4))", "Convolution"),
        ((), "8", "InnerProduct"),
        ((), "*(0w,1)", "InnerProduct"),
        (("first",), "1c", "InnerProduct"),
    ],
)
def test_no_alarm_where_expressions_tell(others: tuple[str, ...], expression: str, kind: str, tmp_path: Path) -> None:
    model = classifier(*pooled(*others, expression=expression), bottom="top")
    x = np.random.default_rng(1).normal(0, 1, (3, 12, 12)).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    quantized = quantize(model, absmax_table(model, floats))
    assert not any(ALARM in warning for warning in quantized.summary.warnings)
    assert quantized.layer("conv").type == kind
    blobs = run_model(quantized, tmp_path, {"in0": x}, ["conv"])
    assert blobs["conv"].shape == floats["conv"].shape
    assert sqnr(floats["conv"], blobs["conv"]) > 25


@pytest.mark.parametrize("shape", [(8,), (8, 1, 1)])
def test_an_alarm_where_nothing_tells(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Of a vector, ncnn's int8 convolution writes another shape than the float one; data tell."""
    rng = np.random.default_rng(0)
    model = Model([Layer("Input", "in0", [], ["in0"]), convolution(rng, "conv", "in0", 8, 8)])
    (tmp_path / "data").mkdir()
    for number in range(5):
        np.save(tmp_path / f"data/{number}.npy", rng.normal(0, 1, shape).astype(np.float32))
    inputs = {"in0": np.load(tmp_path / "data/0.npy")}
    floats = run_model(model, tmp_path, inputs)

    alarmed = quantize(model, absmax_table(model, floats))
    assert any(ALARM in warning for warning in alarmed.summary.warnings)
    is_right = run_model(alarmed, tmp_path, inputs)["conv"].shape == floats["conv"].shape
    assert is_right == (len(shape) == 3)

    model.save(tmp_path / "net.param", tmp_path / "net.bin")
    loaded = pyncnnq.load_model(tmp_path / "net.param", tmp_path / "net.bin")
    made = pyncnnq.quantize(loaded, tmp_path / "data", workers=1, recipe="table")
    assert not any(ALARM in warning for warning in made.int8.summary.warnings)
    blobs = run_model(made.int8, tmp_path, inputs)
    assert blobs["conv"].shape == floats["conv"].shape
    assert sqnr(floats["conv"], blobs["conv"]) > 25


def test_an_alarm_where_samples_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = Model([Layer("Input", "in0", [], ["in0"]), convolution(rng, "conv", "in0", 8, 8)])
    (tmp_path / "data").mkdir()
    for number in range(8):
        np.save(tmp_path / f"data/{number}.npy", rng.normal(0, 1, (8, 1, 1)[: 3 if number % 2 else 1]))
    model.save(tmp_path / "net.param", tmp_path / "net.bin")
    loaded = pyncnnq.load_model(tmp_path / "net.param", tmp_path / "net.bin")
    made = pyncnnq.quantize(loaded, tmp_path / "data", workers=1, recipe="table")
    assert any(ALARM in warning for warning in made.int8.summary.warnings)


@pytest.mark.parametrize(
    ("kind", "bottoms", "matrix"),
    [("GLU", 1, False), ("GLU", 1, True), ("MatMul", 2, False), ("MatMul", 2, True), ("SDPA", 3, False)],
)
def test_layers_whose_dimensions_are_known(kind: str, bottoms: int, matrix: bool, tmp_path: Path) -> None:
    """Stock ncnn gives as many."""
    text = " 0=0" if kind == "GLU" else ""
    layers = [plain("Reshape", "flat", "in0", text=" 0=8 1=64")] if matrix else []
    model = model_of(*layers, plain(kind, "top", *["flat" if matrix else "in0"] * bottoms, text=text), shape=(8, 8, 8))
    if matrix and kind == "MatMul":
        model.layer("top").params.set(0, 1)
    blobs = run_model(model, tmp_path, {"in0": np.ones((8, 8, 8), np.float32)})
    assert dimensions(model.layers)["top"] == blobs["top"].ndim
