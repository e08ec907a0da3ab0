"""The 3x3 layers of whole int8 models, on inputs that make their sums as large as they can be: no sum overflows in
stock ncnn.

tests/calibration/test_winograd.py has the same for single layers made up of all kinds of weights.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, model_of, run_model

from pyncnnq import InputOptions, Model, calibrate, collect, load_model
from pyncnnq.calibration.winograd import LARGEST_SUM, largest_sums
from pyncnnq.inputs import Resize
from pyncnnq.model import Graph, Layer, Params, Weight
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.source import Source
from pyncnnq.quantization.options import QuantizeOptions

Int8 = NDArray[np.int8]

NO_WINOGRAD = 64  # the bit in key 31, the mask of what ncnn shall not use for a layer


def squeezenet(shared: Path, folder: Path) -> Model:
    del folder
    options = InputOptions(
        size=(227, 227), mean=(104, 117, 123), norm=(1, 1, 1), pixel="BGR", resize=Resize("short-side", 256)
    )
    return int8_model(shared / "models/squeezenet_v1.1", shared / "data/imagenet/calib", options)


def resnet18(shared: Path, folder: Path) -> Model:
    del folder
    mean, norm = (125.307, 122.961, 113.8575), (0.0193849165, 0.0195695321, 0.0195102917)
    options = InputOptions(size=(32, 32), mean=mean, norm=norm, pixel="RGB")
    return int8_model(shared / "models/resnet18_cifar10.ncnn", shared / "data/cifar10/calib", options)


def wide(shared: Path, folder: Path) -> Model:
    """512 channels, of which some outputs have weights of one sign alone."""
    del shared
    rng = np.random.default_rng(5)
    names = ("in0", "a", "b", "c")
    layers = [convolution(rng, top, bottom, 512, 512, 3, text=" 4=1 9=1") for bottom, top in itertools.pairwise(names)]
    for layer in layers:
        values = layer.weights["weight_data"].float32().reshape(512, -1).copy()
        values[::3] = np.abs(values[::3])
        layer.weights["weight_data"] = Weight.tagged_float32("weight_data", values)
    model_of(*layers, shape=(512, 6, 6)).save(folder / "float.param", folder / "float.bin")
    np.save(folder / "x.npy", rng.standard_normal((512, 6, 6), np.float32))
    return int8_model(folder / "float", folder / "x.npy", InputOptions())


def int8_model(path: Path, data: Path, options: InputOptions) -> Model:
    """With 8 bits everywhere and zero points, and winograd where a proof allows it."""
    model = load_model(f"{path}.param", f"{path}.bin")
    calibration = calibrate(model, collect(model, data, options=options, samples=4), method="minmax", weight_bits="8")
    made = Draft(Source(model), "minmax", calibration, folds=True).finish(QuantizeOptions())
    assert made.folded
    return made.int8


def weights_of(layer: Layer) -> Int8:
    """(outputs, channels, 3, 3)"""
    outputs = layer.params.get_int(0, 0)
    weights: Int8 = layer.weights["weight_data"].data.reshape(outputs, -1, 3, 3)
    return weights


def adversarial_inputs(weights: Int8, non_negative: bool) -> NDArray[np.int64]:
    """Images (channels, 9, 9) of int8 numbers: a worst output's largest and smallest sum; +127 alone; and, unless
    negative, -127 alone."""
    worst = weights[largest_sums(weights.reshape(len(weights), -1), non_negative).argmax()]
    signs = np.tile(np.sign(worst.astype(np.int64)), (3, 3))  # the kernel's own place is at every third pixel
    ones = np.ones_like(signs)
    lowest = 0 if non_negative else -1
    return 127 * np.stack([np.maximum(image, lowest) for image in (signs, -signs, ones, -ones)])


def exact_sums(layer: Layer, image: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of products, (outputs, height, width), in integers."""
    padded = np.pad(image, ((0, 0), *[[pad_of(layer)] * 2] * 2), constant_values=pad_number(layer))
    size = padded.shape[1] - 2
    columns = np.stack([padded[:, y : y + size, x : x + size] for y in range(3) for x in range(3)], axis=1).reshape(
        -1, size * size
    )
    # In float64, which is exact below 2**53, and which NumPy multiplies much faster than int64.
    sums = weights_of(layer).reshape(-1, len(columns)).astype(np.float64) @ columns.astype(np.float64)
    return sums.astype(np.int64).reshape(-1, size, size)


def pad_of(layer: Layer) -> int:
    pads = {layer.params.get_int(key, layer.params.get_int(4, 0)) for key in (4, 14, 15, 16)}
    assert len(pads) == 1
    return pads.pop()


def pad_number(layer: Layer) -> int:
    """The int8 number of the border: an int8 layer pads what is int8 already."""
    number = layer.params.get_float(18, 0.0)
    assert number in range(-127, 128)
    return int(number)


def sums_by_ncnn(layer: Layer, images: NDArray[np.int64], folder: Path) -> NDArray[np.float32]:
    """The sums of products as stock ncnn computes them: the layer alone, with scales of 1, without bias and
    activation."""
    outputs, channels = weights_of(layer).shape[:2]
    weights = {
        "weight_data": layer.weights["weight_data"],
        "weight_data_int8_scales": Weight.raw("weight_data_int8_scales", np.ones(outputs)),
        "bottom_blob_int8_scales": Weight.raw("bottom_blob_int8_scales", np.ones(1)),
    }
    mask = layer.params.get_int(31, 0)
    params = f" 0={outputs} 1=3 4={pad_of(layer)} 6={outputs * channels * 9} 8=1 18={pad_number(layer):e} 31={mask}"
    model = Model(
        [
            Layer("Input", "in0", [], ["in0"], Params(f" 0=9 1=9 2={channels}")),
            Layer("Convolution", "conv", ["in0"], ["out0"], Params(params), weights),
        ]
    )
    return np.stack([run_model(model, folder, {"in0": image.astype(np.float32)}, ["out0"])["out0"] for image in images])


def assert_same(found: NDArray[np.float32], expected: NDArray[np.int64], name: str) -> None:
    # On x86 ncnn multiplies by 1 / 576 in float32 and cuts, which costs 1 in some large sums; an overflow is wrong by
    # 2**32 / 576.
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1, err_msg=name)


def is_of_winograd_shape(layer: Layer) -> bool:
    """Whether ncnn could take winograd for it, but for its feature mask."""
    unmasked = layer.copy()
    unmasked.params.set(31, 0)
    return unmasked.op.may_use_winograd


@pytest.mark.parametrize("make", [squeezenet, resnet18, wide])
def test_no_layer_overflows(make: Callable[[Path, Path], Model], shared: Path, tmp_path: Path) -> None:
    model = make(shared, tmp_path)
    graph: Graph = model.graph()
    layers = [layer for layer in model.layers if is_of_winograd_shape(layer) and layer.op.is_int8]
    assert len(layers) >= 3
    # Of real models a proof forbids winograd to some layers alone.
    assert make is wide or any(layer.op.may_use_winograd for layer in layers)
    assert any(layer.op.pads_with_value for layer in layers)
    for layer in layers:
        weights = weights_of(layer)
        non_negative = graph.is_non_negative(layer.bottoms[0]) and not layer.op.pads_with_value
        images = adversarial_inputs(weights, non_negative)
        expected = np.stack([exact_sums(layer, image) for image in images])
        largest = int(np.abs(expected).max())
        assert largest == largest_sums(weights.reshape(len(weights), -1), non_negative).max(), layer.name
        if not layer.params.get_int(31, 0) & NO_WINOGRAD:
            assert largest <= LARGEST_SUM, layer.name
        assert_same(sums_by_ncnn(layer, images, tmp_path), expected, layer.name)


@pytest.mark.parametrize("mask", [0, NO_WINOGRAD])
def test_beyond_the_bound_a_layer_is_right_only_without_winograd(mask: int, tmp_path: Path) -> None:
    if not mask and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("other CPUs may multiply without winograd")
    weights = np.random.default_rng(0).choice(np.array([-127, 127], np.int8), (64, 512, 3, 3))
    params = Params(f" 0=64 1=3 4=1 6={weights.size} 8=1 31={mask}")
    layer = Layer(
        "Convolution", "conv", ["in0"], ["out0"], params, {"weight_data": Weight.tagged_int8("weight_data", weights)}
    )
    images = adversarial_inputs(weights, non_negative=False)
    expected = np.stack([exact_sums(layer, image) for image in images])
    assert np.abs(expected).max() > 10 * LARGEST_SUM
    found = sums_by_ncnn(layer, images, tmp_path)
    if mask:
        assert_same(found, expected, "conv")
    else:
        assert np.abs(found - expected).max() > LARGEST_SUM
