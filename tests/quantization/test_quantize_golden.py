"""Against ncnn2int8: what it wrote for the networks in ../shared/golden, from the same tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import run_ncnn, sqnr

from pyncnnq import Model, Table, load_model, quantize
from pyncnnq.model import Layer, Params

NETWORKS = ("audio1d", "chain", "former", "lstmproj", "residual", "seq", "split", "twoin", "unet", "vitish", "zeroch")
GEMM = ("former", "seq", "vitish")
FAULTY_ZEROS = ("zeroch",)  # see test_zero_channels_get_scale_one

cases = pytest.mark.parametrize("method", ["kl", "aciq"])
networks = pytest.mark.parametrize("name", NETWORKS)


def ours(shared: Path, name: str, method: str) -> Model:
    folder = shared / "golden" / name
    return quantize(load_model(folder / "model.param", folder / "model.bin"), Table.read(folder / f"{method}.table"))


def theirs(shared: Path, name: str, method: str) -> Model:
    folder = shared / "golden" / name
    return load_model(folder / f"{method}.int8.param", folder / f"{method}.int8.bin")


@cases
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in FAULTY_ZEROS])
def test_bin_is_byte_identical(shared: Path, name: str, method: str) -> None:
    assert ours(shared, name, method).bin_bytes() == (shared / "golden" / name / f"{method}.int8.bin").read_bytes()


@cases
@networks
def test_param_has_the_same_layers_keys_and_values(shared: Path, name: str, method: str) -> None:
    found, expected = ours(shared, name, method), theirs(shared, name, method)
    assert len(found.layers) == len(expected.layers)
    for layer, reference in zip(found.layers, expected.layers, strict=True):
        assert (layer.type, layer.name, layer.bottoms, layer.tops) == (
            reference.type,
            reference.name,
            reference.bottoms,
            reference.tops,
        )
        for key in sorted({*layer.params.keys(), *reference.params.keys()}):
            here, there = (_value(one, key) for one in (layer, reference))
            if key not in reference.params:
                # ncnn's writer leaves out what equals the default: the value that a layer without the key has.
                assert here == _value(Layer(layer.type, "", [], [], _without(layer, key)), key), (layer, key)
            elif key in layer.params:
                assert here == pytest.approx(there, rel=1e-6), (layer, key)  # it prints floats with %e
            else:
                assert (layer.type, key) == ("MultiHeadAttention", 6), (
                    layer,
                    key,
                )  # it writes out the default, 1 / sqrt(head size)


_DEFAULTS = {
    # default values that are not 0, or are taken from another key: of the keys that the golden networks give
    ("Convolution", 2): 1, ("Convolution", 3): 1, ("ConvolutionDepthWise", 2): 1, ("ConvolutionDepthWise", 3): 1,
    ("Convolution1D", 2): 1, ("Convolution1D", 3): 1, ("ConvolutionDepthWise1D", 2): 1, ("ConvolutionDepthWise1D", 3): 1,
    ("Deconvolution", 2): 1, ("Deconvolution", 3): 1, ("GroupNorm", 3): 1, ("InstanceNorm", 2): 1, ("LayerNorm", 2): 1,
    ("HardSwish", 1): 0.5, ("HardSwish", 0): 0.2, ("Reduction", 1): 1, ("Softmax", 1): 1,
}  # fmt: skip
_FOLLOWED = {11: 1, 12: 2, 13: 3, 14: 4}  # a height is the width, unless given


def _value(layer: Layer, key: int) -> object:
    array = layer.params.get_array(key)
    if array:
        return list(array)
    default = _DEFAULTS.get((layer.type, key), 0)
    if key in _FOLLOWED and "onvolution" in layer.type:
        default = _value(layer, _FOLLOWED[key])
    return layer.params.get_float(key, default)


def _without(layer: Layer, key: int) -> Params:
    params = layer.params.copy()
    params.remove(key)
    return params


@pytest.mark.parametrize("name", GEMM)
def test_all_rows_of_a_gemm_count_on_request(shared: Path, name: str) -> None:
    """By default the scale comes from the first row of B, as in ncnn2int8, and a warning says how many weights it
    clips."""
    folder = shared / "golden" / name
    model = load_model(folder / "model.param", folder / "model.bin")
    table = Table.read(folder / "kl.table")
    default, all_rows = quantize(model, table), quantize(model, table, gemm_scale="absmax")
    clipping = []
    for source, ncnn_layer, layer in zip(model.layers, default.layers, all_rows.layers, strict=True):
        for array, weight in layer.weights.items():
            if layer.type != "Gemm" or not array.startswith("B_data"):
                assert weight.pieces() == ncnn_layer.weights[array].pieces(), (layer, array)
        if layer.type == "Gemm":
            b = source.weights["B_data"].float32()
            quantized, scale = layer.weights["B_data"].data, layer.weights["B_data_int8_scale"].data[0]
            assert scale == np.float32(127) / np.abs(b).max()
            assert np.abs(quantized / scale - b).max() <= 0.5001 / scale, layer
            first = np.abs(b[: source.params.get_int(9, 0)]).max()
            if clipped := np.count_nonzero(np.abs(b) > first):
                clipping.append(f"{layer}: its scale clips {clipped} of {b.size} weights")
    assert clipping
    assert [warning.split(",")[0] + "," + warning.split(",")[1] for warning in default.summary.warnings] == clipping
    assert all_rows.summary.warnings == ()


@pytest.mark.parametrize(("name", "gain"), [("seq", 15.0), ("vitish", 0.0), ("former", -2.0)])
def test_what_all_rows_of_a_gemm_are_worth(shared: Path, tmp_path: Path, name: str, gain: float) -> None:
    """Measured, absmax against ncnn2int8: seq 47.6 and 29.9 dB, vitish 31.9 and 31.6, former 39.9 and 41.1."""
    folder = shared / "golden" / name
    model = load_model(folder / "model.param", folder / "model.bin")
    found = quantize(model, Table.read(folder / "kl.table"), gemm_scale="absmax")
    found.save(tmp_path / "q.param", tmp_path / "q.bin")
    samples = [{blob: np.load(folder / f"inputs/{index}_{blob}.npy") for blob in model.inputs} for index in range(8)]
    outputs = [
        np.stack([run_ncnn(param, param.with_suffix(".bin"), inputs, ["out0"])["out0"] for inputs in samples])
        for param in (folder / "model.param", tmp_path / "q.param", folder / "kl.int8.param")
    ]
    assert sqnr(outputs[0], outputs[1]) > sqnr(outputs[0], outputs[2]) + gain


@cases
def test_zero_channels_get_scale_one(shared: Path, method: str) -> None:
    """127 / 0 = inf is in the table; ncnn2int8 writes it, and -127 for weights of 0 * inf.  Here: 1 and 0; all else
    equal."""
    source = load_model(shared / "golden/zeroch/model.param", shared / "golden/zeroch/model.bin")
    zeros = 0
    for layer, reference, float_layer in zip(
        ours(shared, "zeroch", method).layers, theirs(shared, "zeroch", method).layers, source.layers, strict=True
    ):
        for array, weight in layer.weights.items():
            expected = reference.weights[array].data.copy()
            if array == "weight_data_int8_scales":
                zero = ~float_layer.weights["weight_data"].float32().reshape(expected.size, -1).any(axis=1)
                assert (np.isinf(expected) == zero).all(), "the golden is faulty in just these places"
                expected[zero] = 1
                zeros += int(zero.sum())
            if array == "weight_data":
                expected[float_layer.weights["weight_data"].float32() == 0] = 0
            np.testing.assert_array_equal(weight.data, expected, err_msg=f"{layer} {array}")
    assert zeros == 6


@cases
def test_zero_channels_are_named_in_warnings(shared: Path, method: str) -> None:
    folder = shared / "golden/zeroch"
    model = load_model(folder / "model.param", folder / "model.bin")
    warnings = quantize(model, Table.read(folder / f"{method}.table")).summary.warnings
    assert [warning.split(":")[1] for warning in warnings] == ["1", "3", "4"], "the lines of the table"
    assert "'convrelu_0'" in warnings[0]
    assert "inf" in warnings[0]
