"""Layers that ncnn runs in float alone, written as layers that it runs in int8: floats stay, as stock ncnn has them."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Array, model_of, plain, run_model, sqnr

from pyncnnq import load_model, quantize
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.constant_products import constant_products, products_as_gemm
from pyncnnq.rewrites.deconvolutions import shuffle_deconvolutions
from pyncnnq.rewrites.rewritten import Rewritten
from pyncnnq.rewrites.row_convolutions import widen_row_convolutions


def weighted(kind: str, name: str, bottom: str, text: str, seed: int = 3) -> Layer:
    rng = np.random.default_rng(seed)
    layer = plain(kind, name, bottom, text=text)
    for expected in layer.expected_weights():
        storage = Weight.tagged_float32 if expected.storage == "tagged" else Weight.raw
        layer.weights[expected.name] = storage(expected.name, rng.normal(0, 0.3, expected.size))
    return layer


def assert_floats_stay(model: Model, result: Rewritten, x: Array, folder: Path) -> None:
    before, after = (run_model(one, folder, {"in0": x}, ["out"])["out"] for one in (model, result.model))
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def values(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


ROWS = {
    "of one element": (6, 11, "Convolution1D", " 0=5 1=1 6=30 5=1"),
    "padded": (6, 11, "Convolution1D", " 0=5 1=3 4=1 6=90 5=1 9=1"),
    "padded unevenly, by a number": (6, 11, "Convolution1D", " 0=5 1=3 4=2 15=0 18=0.5 6=90"),
    "dilated and strided": (6, 20, "Convolution1D", " 0=5 1=4 2=3 3=2 6=120 9=2 -23310=1,0.1"),
    "of the same size": (6, 11, "Convolution1D", " 0=5 1=4 3=2 4=-233 6=120 5=1"),
    "of the same size, the other way": (6, 11, "Convolution1D", " 0=5 1=4 4=-234 6=120"),
    "by channel": (6, 11, "ConvolutionDepthWise1D", " 0=6 1=5 4=2 6=30 7=6 5=1"),
    "in groups": (6, 11, "ConvolutionDepthWise1D", " 0=4 1=3 4=1 6=36 7=2 9=4"),
    "of one channel": (1, 30, "Convolution1D", " 0=4 1=7 6=28 5=1"),
}


@pytest.mark.parametrize(("channels", "length", "kind", "text"), ROWS.values(), ids=ROWS)
def test_convolutions_along_rows(channels: int, length: int, kind: str, text: str, tmp_path: Path) -> None:
    model = model_of(weighted(kind, "out", "in0", text), shape=(channels, length))
    result = widen_row_convolutions(model)
    assert result.changed == ("out",)
    assert [layer.type for layer in result.model.layers][2] == kind.removesuffix("1D")
    assert_floats_stay(model, result, values((channels, length)), tmp_path)


def row_network() -> Model:
    """Two convolutions with an activation between, the second read by a third and a sum."""
    return model_of(
        weighted("Convolution1D", "a", "in0", " 0=8 1=3 4=1 6=144 5=1"),
        plain("Swish", "swish", "a"),
        weighted("ConvolutionDepthWise1D", "b", "swish", " 0=8 1=5 4=2 6=40 7=8 5=1 9=1"),
        weighted("Convolution1D", "c", "b", " 0=8 1=1 6=64"),
        plain("BinaryOp", "sum", "c", "b", text=" 0=0"),
        weighted("Convolution1D", "out", "sum", " 0=4 1=1 6=32"),
        shape=(6, 16),
    )


def test_nothing_is_reshaped_between_convolutions_along_rows(tmp_path: Path) -> None:
    model = row_network()
    result = widen_row_convolutions(model)
    assert result.changed == ("a", "b", "c", "out")
    kinds = " ".join(layer.type for layer in result.model.layers)
    assert "Convolution Swish ConvolutionDepthWise Reshape Split" in kinds
    assert kinds.count("Reshape") == 6  # into a, out of b, and around c and out
    before, after = (run_model(one, tmp_path, {"in0": values((6, 16))}) for one in (model, result.model))
    for blob in before.keys() & after.keys():
        np.testing.assert_allclose(after[blob], before[blob], rtol=1e-5, atol=1e-5)


DECONVOLUTIONS = {
    "kernel 2, stride 2": " 0=5 1=2 3=2 6=120 5=1",
    "kernel 3, stride 3": " 0=5 1=3 3=3 6=270 5=1 9=1",
    "kernel 4, stride 2, a border of 1": " 0=5 1=4 3=2 4=1 6=480 5=1 9=4",
    "kernel 4, stride 2": " 0=5 1=4 3=2 6=480",
    "kernel 4, stride 2, an uneven border": " 0=5 1=4 3=2 4=1 15=2 14=3 16=0 6=480 5=1",
    "kernel 6 x 4, stride 2": " 0=5 1=4 11=6 3=2 4=1 14=2 6=720 5=1 9=2 -23310=1,0.2",
    "kernel 16, stride 8": " 0=2 1=16 3=8 4=4 6=3072",
    "kernel 3, stride 1, a border of 1": " 0=5 1=3 4=1 6=270 5=1",
}


@pytest.mark.parametrize("text", DECONVOLUTIONS.values(), ids=DECONVOLUTIONS)
def test_deconvolutions(text: str, tmp_path: Path) -> None:
    model = model_of(weighted("Deconvolution", "out", "in0", text), shape=(6, 5, 7))
    result = shuffle_deconvolutions(model)
    assert result.changed == ("out",)
    assert result.model.layer("out").type == "Convolution"
    assert_floats_stay(model, result, values((6, 5, 7)), tmp_path)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_parameters(data: st.DataObject) -> None:
    """Of those that a rewrite takes; any that it leaves alone are no loss."""

    def number(least: int, most: int) -> int:
        return data.draw(st.integers(least, most))

    inputs, outputs, kernel, stride, seed = number(1, 9), number(1, 9), number(1, 5), number(1, 4), number(0, 99)
    pads = number(0, 3), number(0, 3)
    words = f" 0={outputs} 3={stride} 4={pads[0]} 15={pads[1]} 5={number(0, 1)} 9={number(0, 1)}"
    shape: tuple[int, ...]
    if data.draw(st.booleans()):
        dilation, shape = number(1, 3), (inputs, number(14, 30))
        text = f"{words} 1={kernel} 2={dilation} 18={number(-1, 1)} 6={outputs * inputs * kernel}"
        model = model_of(weighted("Convolution1D", "out", "in0", text, seed), shape=shape)
        result = widen_row_convolutions(model)
        assert result.changed
    else:
        height, width = stride * number(1, 3), stride * kernel
        shape = (inputs, number(5, 6), number(7, 8))
        borders = f" 14={number(0, 2)} 16={number(0, 2)}"
        text = f"{words}{borders} 1={width} 11={height} 6={outputs * inputs * width * height}"
        model = model_of(weighted("Deconvolution", "out", "in0", text, seed), shape=shape)
        result = shuffle_deconvolutions(model)
    with tempfile.TemporaryDirectory() as folder:
        assert_floats_stay(model, result, values(shape, seed), Path(folder))


OTHERS = {
    "by channel": ("DeconvolutionDepthWise", " 0=6 1=2 3=2 6=24 7=6"),
    "a kernel of no multiple": ("Deconvolution", " 0=5 1=3 3=2 4=1 6=270"),
    "dilated": ("Deconvolution", " 0=5 1=2 2=2 3=2 6=120"),
    "strides that differ": ("Deconvolution", " 0=5 1=2 3=2 13=1 6=120"),
    "a border of the output": ("Deconvolution", " 0=5 1=2 3=2 18=1 6=120"),
    "a size that is stated": ("Deconvolution", " 0=5 1=4 3=2 4=-233 20=10 21=10 6=480"),
    "more than the kernel cut": ("Deconvolution", " 0=5 1=2 3=2 4=2 6=120"),
    "in float anyway": ("Deconvolution", " 0=5 1=2 3=2 6=120 31=8"),
}


@pytest.mark.parametrize(("kind", "text"), OTHERS.values(), ids=OTHERS)
def test_other_deconvolutions_are_left_alone(kind: str, text: str) -> None:
    model = model_of(weighted(kind, "out", "in0", text), shape=(6, 5, 7))
    result = shuffle_deconvolutions(model)
    assert result.changed == ()
    assert result.model.param_text() == model.param_text()


PRODUCTS = {
    "a matrix": ((7, 6), (6, 4), False, False),
    "a matrix, turned": ((7, 6), (4, 6), True, False),
    "behind the constant": ((6, 7), (5, 6), False, True),
    "behind the constant, turned": ((7, 6), (5, 6), True, True),
    "a batch": ((3, 7, 6), (6, 4), False, False),
    "a batch of batches": ((2, 3, 7, 6), (4, 6), True, False),
}


def product(shape: tuple[int, ...], constant: tuple[int, int], *, turned: bool, first: bool) -> Model:
    memory = plain("MemoryData", "constant", text=f" 0={constant[1]} 1={constant[0]}")
    memory.weights["data"] = Weight.raw("data", np.random.default_rng(1).normal(0, 0.4, math.prod(constant)))
    order = ("constant", "in0") if first else ("in0", "constant")
    sizes = dict(zip((0, 1, 2) if len(shape) < 4 else (0, 1, 11, 2), reversed(shape), strict=False))
    words = "".join(f" {key}={size}" for key, size in sizes.items())
    given = Layer("Input", "in0", [], ["in0"], Params(words))
    return Model([given, memory, plain("MatMul", "out", *order, text=f" 0={int(turned)}")])


@pytest.mark.parametrize(("shape", "constant", "turned", "first"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_with_constants(
    shape: tuple[int, ...], constant: tuple[int, int], turned: bool, first: bool, tmp_path: Path
) -> None:
    model = product(shape, constant, turned=turned, first=first)
    assert constant_products(model) == ["in0"]
    result = products_as_gemm(model, {"in0": shape})
    assert result.changed == ("out",)
    assert {layer.type for layer in result.model.layers} <= {"Input", "Gemm", "Split", "Reshape"}
    assert_floats_stay(model, result, values(shape), tmp_path)


def test_products_of_vectors_and_of_what_is_not_known_are_left_alone() -> None:
    model = product((6,), (6, 4), turned=False, first=False)
    assert products_as_gemm(model, {"in0": (6,)}).changed == ()
    assert products_as_gemm(model, {}).changed == ()
    behind = product((3, 6, 7), (5, 6), turned=False, first=True)
    assert products_as_gemm(behind, {"in0": (3, 6, 7)}).changed == ()


MADE = {
    "row convolutions": (row_network(), (6, 16), "accuracy"),
    "constant products": (product((3, 7, 6), (6, 4), turned=False, first=False), (3, 7, 6), "accuracy"),
    "deconvolutions": (
        model_of(weighted("Deconvolution", "out", "in0", DECONVOLUTIONS["kernel 2, stride 2"]), shape=(6, 5, 7)),
        (6, 5, 7),
        "size",
    ),
}


@pytest.mark.parametrize("technique", MADE)
def test_they_are_int8_in_the_end(technique: str, tmp_path: Path) -> None:
    model, shape, goal = MADE[technique]
    model.save(tmp_path / "m.param", tmp_path / "m.bin")
    (tmp_path / "x").mkdir()
    for seed in range(8):
        np.save(tmp_path / "x" / f"{seed}.npy", values(shape, seed))
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    without = ["mixed precision", "rounding"]
    made = quantize(model, tmp_path / "x", recipe="best", goal=goal, without=without, workers=1)
    assert technique in made.chosen.techniques
    assert {layer.name for layer in made.int8.summary.quantized} >= {"out"}
    made.int8.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    x = values(shape, 100)
    before, after = (
        run_model(one, tmp_path, {"in0": x}, ["out"])["out"]
        for one in (model, load_model(tmp_path / "int8.param", tmp_path / "int8.bin"))
    )
    assert sqnr(before, after) > 25


def test_deconvolutions_stay_where_accuracy_counts(tmp_path: Path) -> None:
    model, shape, _ = MADE["deconvolutions"]
    model.save(tmp_path / "m.param", tmp_path / "m.bin")
    for seed in range(4):
        np.save(tmp_path / f"{seed}.npy", values(shape, seed))
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    data = sorted(tmp_path.glob("*.npy"))
    assert "deconvolutions" not in quantize(model, data, recipe="best", workers=1).chosen.techniques
