"""Against ncnn2int8: what it wrote for the networks in ../shared/golden, from the same tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
    ("Convolution1D", 2): 1, ("Convolution1D", 3): 1,
    ("ConvolutionDepthWise1D", 2): 1, ("ConvolutionDepthWise1D", 3): 1,
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
def test_weights_that_ncnn2int8_clips_are_counted_in_warnings(shared: Path, name: str) -> None:
    """ncnn2int8 takes the scale of a Gemm's B from its first row; a warning says how many of the other weights that
    clips."""
    folder = shared / "golden" / name
    model = load_model(folder / "model.param", folder / "model.bin")
    clipping = []
    for layer in model.layers:
        if layer.type == "Gemm":
            magnitudes = np.abs(layer.weights["B_data"].float32())
            if clipped := np.count_nonzero(magnitudes > magnitudes[: layer.params.get_int(9, 0)].max()):
                clipping.append(f"{layer}: its scale clips {clipped} of {magnitudes.size} weights")
    assert clipping
    warnings = quantize(model, Table.read(folder / "kl.table")).summary.warnings
    assert [",".join(warning.split(",")[:2]) for warning in warnings] == clipping


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
