"""Weight scales against ncnn2table's rules."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import pyncnnq
from pyncnnq.calibration.calibrate import LISTED, calibrate, check_choices
from pyncnnq.calibration.methods.aciq import aciq_weight_scales
from pyncnnq.calibration.weight_scales import ncnn_weight_bits, weight_scales
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import ScaledWeight
from pyncnnq.model.params import Params
from pyncnnq.model.weights import Weight

F32 = np.float32


def convolution(params: str, weights: ArrayLike = (), kind: str = "Convolution") -> Layer:
    weight = Weight.tagged_float32("weight_data", np.asarray(weights, np.float32).ravel())
    return Layer(kind, "layer_7", ["in0"], ["out0"], Params(params), {"weight_data": weight}, line=12)


@pytest.mark.parametrize(
    ("kind", "params", "bits"),
    [
        ("Convolution", "0=8 1=3", 6),
        ("Convolution", "0=8 1=3 11=3 2=1 12=1 3=1 13=1", 6),
        ("Convolution", "0=8 1=3 11=3 4=1 5=1 6=72 9=1", 6),
        ("Convolution", "0=8 1=1", 8),
        ("Convolution", "0=8 1=5", 8),
        ("Convolution", "0=8 1=3 11=1", 8),
        ("Convolution", "0=8 1=1 11=3", 8),
        ("Convolution", "0=8 1=3 3=2", 8),
        ("Convolution", "0=8 1=3 3=1 13=2", 8),
        ("Convolution", "0=8 1=3 3=2 13=1", 8),
        ("Convolution", "0=8 1=3 2=2", 8),
        ("Convolution", "0=8 1=3 2=1 12=2", 8),
        ("Convolution", "0=8 1=3 2=2 12=1", 8),
        ("ConvolutionDepthWise", "0=8 1=3 7=8", 8),
        ("InnerProduct", "0=8 1=3", 8),
    ],
)
def test_6_bits_for_3x3_convolutions_that_winograd_takes(kind: str, params: str, bits: int) -> None:
    assert ncnn_weight_bits(convolution(params, kind=kind)) == bits


def scales(layer: Layer, bits: int = 8) -> tuple[NDArray[np.float32], int]:
    (weight,) = layer.op.scaled_weights()
    return weight_scales(layer, weight, bits)


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (6, 31), (4, 7)])
def test_the_largest_weight_of_each_output_becomes_the_largest_int8(bits: int, largest: int) -> None:
    weights = np.random.default_rng(0).standard_normal((5, 27)).astype(np.float32)
    found, zeros = scales(convolution("0=5 1=3 6=135", weights), bits)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, F32(largest) / np.abs(weights).max(1))
    assert zeros == 0


def test_a_depthwise_convolution_has_a_scale_for_each_group() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 2, 18)).astype(np.float32)
    layer = convolution("0=8 1=3 6=144 7=4", weights, "ConvolutionDepthWise")
    np.testing.assert_array_equal(scales(layer)[0], F32(127) / np.abs(weights).max((1, 2)))


def test_rows_of_zeros_and_of_denormals_get_1_and_are_counted() -> None:
    weights = np.ones((5, 4), np.float32)
    weights[1] = 0
    weights[2] = -0.0
    weights[3] = 1e-40  # 127 / 1e-40 is infinite in float32
    found, zeros = scales(convolution("0=5 1=2 6=20", weights))
    np.testing.assert_array_equal(found, [127, 1, 1, 1, 127])
    assert zeros == 3


def test_tiny_weights_keep_their_scale() -> None:
    found, zeros = scales(convolution("0=1 1=1 6=2", [[1e-36, -2e-36]]))
    assert found[0] == F32(127) / F32(2e-36)
    assert zeros == 0


def test_half_precision_weights() -> None:
    weights = np.array([0.1, -0.7, 0.3], np.float16)
    layer = convolution("0=1 1=1 6=3", [0, 0, 0])
    layer.weights["weight_data"] = Weight.tagged_float16("weight_data", weights)
    np.testing.assert_array_equal(scales(layer)[0], [F32(127) / F32(np.float16(0.7))])


@pytest.mark.parametrize(("bits", "largest", "deviations"), [(8, 127, 3.92403714), (6, 31, 3.28691474)])
def test_aciq_clips_each_output_as_if_its_weights_were_normal(bits: int, largest: int, deviations: float) -> None:
    weights = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    weights[1] = 0
    layer = convolution("0=3 1=5 6=150", weights)
    found, zeros = aciq_weight_scales(layer, layer.op.scaled_weights()[0], bits)
    spread = 0.35 * (1 + np.sqrt(np.pi * np.log(4))) / np.sqrt(2 * np.log(50))
    expected = largest / (deviations * spread * np.abs(weights[[0, 2]]).max(1))
    np.testing.assert_allclose(found, [expected[0], 1, expected[1]], rtol=1e-6)
    assert zeros == 1


def test_aciq_of_one_weight_for_each_output_keeps_it() -> None:
    """ncnn2table writes a scale of 0 for it: of one number no spread can be guessed."""
    layer = convolution("0=4 1=1 6=4 7=4", [0.5, -2, 0, 1e-3], "ConvolutionDepthWise")
    found, zeros = aciq_weight_scales(layer, layer.op.scaled_weights()[0], 8)
    np.testing.assert_array_equal(found, np.array([254, 63.5, 1, F32(127) / F32(1e-3)], np.float32))
    assert zeros == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_name_the_layer_and_the_element(bad: float) -> None:
    weights = np.ones((3, 40), np.float32)
    weights[1, 33] = bad
    model = pyncnnq.Model([convolution("0=3 1=2 6=120", weights)])
    with pytest.raises(pyncnnq.ModelError, match=r"'layer_7' \(Convolution, line 12\): weight_data .*\[73\] = "):
        calibrate(model)


@pytest.mark.parametrize("rows", [0, -1, 7])
def test_weights_that_do_not_divide_are_an_error(rows: int) -> None:
    layer = convolution("0=3 1=2 6=12", np.ones(12))
    with pytest.raises(pyncnnq.ModelError, match=f"12 elements, which do not divide into {rows} outputs"):
        weight_scales(layer, ScaledWeight("weight_data", rows, "weight_data_int8_scales"), 8)


def test_unknown_rule_lists_the_known() -> None:
    with pytest.raises(pyncnnq.PyncnnqError, match="unknown weight bits '7'; there are: ncnn"):
        check_choices("kl", "7")


def weight_only_model(kind: str, params: str, sizes: dict[str, int]) -> tuple[Model, dict[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(1)
    arrays = {name: rng.standard_normal(size).astype(np.float32) for name, size in sizes.items()}
    weights = {name: Weight.tagged_float32(name, array) for name, array in arrays.items()}
    layers = [Layer("Input", "in0", [], ["in0"]), Layer(kind, "it", ["in0"], ["out0"], Params(params), weights)]
    return Model(layers), arrays


@pytest.mark.parametrize(
    ("kind", "params", "rows"),
    [
        ("Embed", "0=4 1=9", {"weight_data": (1, 36)}),
        ("RNN", "0=5 1=30 2=0", {"weight_xc_data": (5, 6), "weight_hc_data": (5, 5)}),
        ("GRU", "0=5 1=180 2=2", {"weight_xc_data": (30, 6), "weight_hc_data": (30, 5)}),
        ("LSTM", "0=5 1=120 2=1", {"weight_xc_data": (20, 6), "weight_hc_data": (20, 5)}),
        (
            "LSTM",
            "0=5 1=336 2=0 3=14",
            {"weight_xc_data": (56, 6), "weight_hc_data": (56, 5), "weight_hr_data": (0, 70)},
        ),
        (
            "MultiHeadAttention",
            "0=8 1=2 2=64",
            {"q_weight_data": (8, 8), "k_weight_data": (8, 8), "v_weight_data": (8, 8), "out_weight_data": (1, 64)},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_layers_that_need_no_data(kind: str, params: str, rows: dict[str, tuple[int, int]]) -> None:
    """One scale for each gate's output in each direction, for each of q, k and v, one for all of an Embed or an out
    matrix."""
    sizes = {name: max(1, count) * length for name, (count, length) in rows.items()}
    model, arrays = weight_only_model(kind, params, sizes)
    expected = [F32(127) / np.abs(arrays[name].reshape(shape)).max(1) for name, shape in rows.items() if shape[0]]
    table = calibrate(model).table
    assert [row.key for row in table.rows()] == [f"it_param_{index}" for index in range(len(expected))]
    for row, scale in zip(table.rows(), expected, strict=True):
        np.testing.assert_array_equal(row.scales, scale)


def test_warnings_name_layers_with_zero_weights(shared: Path) -> None:
    folder = shared / "golden/zeroch"
    result = pyncnnq.calibrate(*_calibrated(folder))
    zero = [line for line in result.warnings if "zero" in line]
    infinite = [
        line.split()[0] for line in (folder / "kl.table").read_text().splitlines() if re.search(r"\binf\b", line)
    ]
    assert infinite, "the golden has lost its all-zero outputs"
    for key in infinite:
        assert any(repr(key.removesuffix("_param_0")) in line for line in zero), key
    assert all(np.isfinite(row.scales).all() for row in result.table.rows())


@pytest.mark.parametrize("count", [LISTED, LISTED + 1])
def test_many_layers_with_zero_weights_get_one_line(count: int) -> None:
    embeds = [
        Layer(
            "Embed",
            f"e{index}",
            [f"b{index}"],
            [f"b{index + 1}"],
            Params("0=2 1=3 3=6"),
            {"weight_data": Weight.tagged_float32("weight_data", np.zeros(6))},
        )
        for index in range(count)
    ]
    warnings = calibrate(Model([Layer("Input", "b0", [], ["b0"]), *embeds])).warnings
    if count == LISTED:
        assert len(warnings) == count
        assert warnings[1].startswith("layer 'e1' (Embed): all of its weights are zero in weight_data")
    else:
        (warning,) = warnings
        assert warning.startswith(f"{count} layers have outputs with only zero weights")
        assert "e0 (1 of 1), e1 (1 of 1)" in warning


def _calibrated(folder: Path) -> tuple[pyncnnq.Model, pyncnnq.Statistics]:
    model = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    return model, pyncnnq.collect(model, folder / "inputs", samples=1, workers=1)
