"""Weight scales with which ncnn's int8 winograd cannot overflow, tried on stock ncnn with the worst inputs there
are."""

from __future__ import annotations

import itertools
import platform
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import run_ncnn

from pyncnnq import Model, Table, quantize
from pyncnnq._core import quantize_rows
from pyncnnq.calibration.winograd import LARGEST_SUM, bounded_scales, largest_sums
from pyncnnq.model import Graph, Layer, Params, Weight

Floats = NDArray[np.float32]

CHANNELS, OUTPUTS, SIZE = 64, 16, 8


def weights_of(kind: str) -> Floats:
    rng = np.random.default_rng(0)
    shape = (OUTPUTS, CHANNELS * 9)
    return {
        "normal": rng.standard_normal(shape),
        "ones": np.ones(shape),
        "signs": rng.choice([-1.0, 1.0], shape),
        "uniform": rng.uniform(-1, 1, shape),
        "some rows": np.where(
            np.arange(OUTPUTS)[:, None] % 2, rng.choice([-1.0, 1.0], shape), rng.standard_normal(shape) ** 3
        ),
    }[kind].astype(np.float32)


def worst_inputs(weights: NDArray[np.int8], non_negative: bool) -> NDArray[np.int32]:
    """For each output two images (channels, SIZE, SIZE) of int8 numbers, whose sum at the middle is the largest and
    the smallest."""
    patches = np.sign(weights.astype(np.int32)).reshape(-1, CHANNELS, 3, 3)
    images = []
    for patch, sign in itertools.product(patches, (1, -1)):
        image = np.zeros((CHANNELS, SIZE, SIZE), np.int32)
        image[:, 3:6, 3:6] = 127 * (np.maximum(sign * patch, 0) if non_negative else sign * patch)
        images.append(image)
    return np.stack(images)


def int8_outputs(folder: Path, weights: Floats, scales: Floats, images: NDArray[np.int32]) -> NDArray[np.float64]:
    """The sums of products at the middle of each image, (images, outputs), as stock ncnn computes them: input scale
    1, no bias."""
    params = Params(f" 0={OUTPUTS} 1=3 4=1 6={weights.size}")
    layer = Layer(
        "Convolution",
        "conv",
        ["in0"],
        ["out0"],
        params,
        {"weight_data": Weight.tagged_float32("weight_data", weights.ravel())},
    )
    table = Table()
    table["conv_param_0"], table["conv"] = scales, 1.0
    model = Model([Layer("Input", "in0", [], ["in0"], Params(f" 0={SIZE} 1={SIZE} 2={CHANNELS}")), layer])
    quantize(model, table).save(folder / "m.param", folder / "m.bin")
    found = [
        run_ncnn(folder / "m.param", folder / "m.bin", {"in0": image.astype(np.float32)}, ["out0"])["out0"]
        for image in images
    ]
    return np.stack(found)[:, :, 4, 4] * scales.astype(np.float64)


def exact(weights: NDArray[np.int8], images: NDArray[np.int32]) -> NDArray[np.int64]:
    return images[:, :, 3:6, 3:6].reshape(len(images), -1).astype(np.int64) @ weights.T.astype(np.int64)


@pytest.mark.parametrize("non_negative", [False, True], ids=["any input", "non-negative input"])
@pytest.mark.parametrize("kind", ["normal", "ones", "signs", "uniform", "some rows"])
def test_no_input_overflows(tmp_path: Path, kind: str, non_negative: bool) -> None:
    weights = weights_of(kind)
    scales = bounded_scales(weights, np.float32(127) / np.abs(weights).max(axis=1), non_negative)
    q = quantize_rows(weights, scales)
    images = worst_inputs(q, non_negative)
    expected = exact(q, images)
    assert np.abs(expected).max() > 0.9 * largest_sums(q, non_negative).max()
    np.testing.assert_allclose(int8_outputs(tmp_path, weights, scales, images), expected, rtol=1e-5, atol=1)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other CPUs may multiply without winograd")
def test_without_the_bound_outputs_are_wrong(tmp_path: Path) -> None:
    """That the worst inputs do reach an overflow: 8 bits everywhere, and even ncnn2table's 6."""
    for largest, kind in ((127, "signs"), (127, "uniform")):
        weights = weights_of(kind)
        scales = np.float32(largest) / np.abs(weights).max(axis=1)
        q = quantize_rows(weights, scales)
        images = worst_inputs(q, non_negative=False)
        difference = np.abs(int8_outputs(tmp_path, weights, scales, images) - exact(q, images))
        assert difference.max() > LARGEST_SUM


@pytest.mark.parametrize("non_negative", [False, True])
def test_scales_are_lowered_only_where_needed_and_no_more(non_negative: bool) -> None:
    for kind in ("normal", "some rows", "signs"):
        weights = weights_of(kind)
        full = np.float32(127) / np.abs(weights).max(axis=1)
        scales = bounded_scales(weights, full, non_negative)
        needed = largest_sums(quantize_rows(weights, full), non_negative) > LARGEST_SUM
        np.testing.assert_array_equal(scales[~needed], full[~needed])
        assert (scales[needed] < full[needed]).all()
        sums = largest_sums(quantize_rows(weights, scales), non_negative)
        assert (sums <= LARGEST_SUM).all()
        # Equal weights are all rounded alike, so that a whole step may be lost; others are spread.
        if kind != "signs":
            assert (sums[needed] > 0.97 * LARGEST_SUM).all()


@settings(max_examples=30)
@given(st.lists(st.integers(-127, 127), min_size=1, max_size=6), st.booleans())
def test_largest_sum_is_that_of_an_exhaustive_search(row: list[int], non_negative: bool) -> None:
    numbers = (
        (0, 127) if non_negative else (-127, 0, 127)
    )  # a sum of products is linear in each: the extremes are at the ends
    reached = max(
        abs(sum(a * b for a, b in zip(row, x, strict=True))) for x in itertools.product(numbers, repeat=len(row))
    )
    assert largest_sums(np.array([row], np.int8), non_negative)[0] == reached


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("Convolution", " 0=8 1=3", True),
        ("Convolution", " 0=8 1=3 11=1", False),
        ("Convolution", " 0=8 1=3 3=2", False),
        ("Convolution", " 0=8 1=3 2=2", False),
        ("Convolution", " 0=8 1=5", False),
        ("ConvolutionDepthWise", " 0=8 1=3 7=8", False),
    ],
)
def test_which_layers_may_use_winograd(kind: str, params: str, expected: bool) -> None:
    assert Layer(kind, "it", ["a"], ["b"], Params(params)).op.may_use_winograd is expected


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("Convolution", " 0=8 9=1", True),
        ("Convolution", " 0=8 9=2 -23310=1,1.000000e-01", False),
        ("Convolution", " 0=8 9=3 -23310=2,0.000000e+00,6.000000e+00", True),
        ("Convolution", " 0=8 9=3 -23310=2,-1.000000e+00,6.000000e+00", False),
        ("Convolution", " 0=8 9=4", True),
        ("Convolution", " 0=8 9=6 -23310=2,1.666667e-01,5.000000e-01", False),
        ("Convolution", " 0=8", False),
        ("InnerProduct", " 0=8 9=1", True),
        ("ReLU", "", True),
        ("ReLU", " 0=1.000000e-01", False),
        ("Clip", " 0=0.000000e+00 1=6.000000e+00", True),
        ("Clip", " 1=6.000000e+00", False),
        ("Sigmoid", "", True),
        ("TanH", "", False),
        ("Swish", "", False),
    ],
)
def test_what_proves_that_a_blob_is_not_negative(kind: str, params: str, expected: bool) -> None:
    layers = [Layer("Input", "in0", [], ["in0"]), Layer(kind, "it", ["in0"], ["a"], Params(params))]
    layers += [
        Layer("Split", "s", ["a"], ["b", "c"]),
        Layer("Pooling", "p", ["b"], ["d"]),
        Layer("Concat", "t", ["c", "d"], ["e"]),
    ]
    graph = Graph(layers)
    assert graph.is_non_negative("a") is expected
    assert graph.is_non_negative("e") is expected
    assert not graph.is_non_negative("in0")


def test_one_branch_that_may_be_negative_is_enough() -> None:
    layers = [
        Layer("Input", "in0", [], ["in0"]),
        Layer("Split", "s", ["in0"], ["a", "b"]),
        Layer("ReLU", "r", ["a"], ["c"]),
    ]
    graph = Graph([*layers, Layer("Concat", "t", ["b", "c"], ["d"])])
    assert graph.is_non_negative("c")
    assert not graph.is_non_negative("d")
