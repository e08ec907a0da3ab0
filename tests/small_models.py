"""Small models made for a test, run by stock ncnn, with tables of plain absolute maxima."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq import Table
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.model.ops import Calibrated

Array = NDArray[np.float32]


def model_of(*layers: Layer, shape: tuple[int, ...] = (3, 12, 12)) -> Model:
    """A model with the input `in0` of shape (channels, height, width); blobs read twice go through a Split."""
    keys = " ".join(f"{key}={size}" for key, size in zip((0, 1, 2), reversed(shape), strict=False))
    return Model(_with_splits([Layer("Input", "in0", [], ["in0"], Params(f" {keys}")), *layers]))


def _with_splits(layers: Sequence[Layer]) -> list[Layer]:
    readers: dict[str, int] = {}
    for layer in layers:
        for bottom in layer.bottoms:
            readers[bottom] = readers.get(bottom, 0) + 1
    split = {blob: [f"{blob}_{index}" for index in range(count)] for blob, count in readers.items() if count > 1}
    unread = {blob: list(copies) for blob, copies in split.items()}
    result = []
    for layer in layers:
        layer.bottoms = [unread[bottom].pop(0) if bottom in split else bottom for bottom in layer.bottoms]
        result.append(layer)
        result += [Layer("Split", f"split_{top}", [top], split[top]) for top in layer.tops if top in split]
    return result


def convolution(
    rng: np.random.Generator,
    name: str,
    bottom: str,
    channels: int,
    outputs: int,
    kernel: int = 1,
    *,
    group: int = 0,
    text: str = "",
) -> Layer:
    """A layer that writes the blob of its own name; with `group` a ConvolutionDepthWise.  `text` holds more
    parameters."""
    weights = rng.normal(
        0, (kernel * kernel * channels / max(group, 1)) ** -0.5, outputs * channels // max(group, 1) * kernel**2
    )
    params = Params(f" 0={outputs} 1={kernel} 5=1 6={weights.size}" + (f" 7={group}" if group else "") + text)
    kind = "ConvolutionDepthWise" if group else "Convolution"
    return Layer(kind, name, [bottom], [name], params, _weights(rng, weights, outputs))


def inner_product(rng: np.random.Generator, name: str, bottom: str, inputs: int, outputs: int) -> Layer:
    weights = rng.normal(0, inputs**-0.5, outputs * inputs)
    return Layer(
        "InnerProduct",
        name,
        [bottom],
        [name],
        Params(f" 0={outputs} 1=1 2={weights.size}"),
        _weights(rng, weights, outputs),
    )


def _weights(rng: np.random.Generator, weights: NDArray[np.float64], outputs: int) -> dict[str, Weight]:
    bias = Weight.raw("bias_data", rng.normal(0, 0.2, outputs))
    return {"weight_data": Weight.tagged_float32("weight_data", weights), "bias_data": bias}


def weighted(layer: Layer, weights: Array) -> Layer:
    """The layer itself, with other weights."""
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    return layer


def weights_of(layer: Layer) -> Array:
    """The weights of each output of a layer."""
    return layer.weights["weight_data"].float32().reshape(layer.params.get_int(0, 0), -1).copy()


def random_data(folder: Path) -> Path:
    """A new folder with 24 arrays of random numbers, for models of `model_of`."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(24):
        np.save(folder / f"{number:02}.npy", rng.normal(0, 1, (3, 12, 12)).astype(np.float32))
    return folder


def plain(kind: str, name: str, *bottoms: str, text: str = "") -> Layer:
    """A layer without weights that writes the blob of its own name."""
    return Layer(kind, name, list(bottoms), [name], Params(text))


def run_ncnn(param: Path, bin_path: Path, inputs: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
    """Blobs of one inference by stock ncnn; int8 blobs come as int8 numbers."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.lightmode = False
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = False  # else x86 rounds the weights of a float InnerProduct
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(bin_path)) == 0
    extractor = net.create_extractor()
    for name, array in inputs.items():
        # Mat(array) does not own its memory, which need not be aligned as ncnn's AVX code (of Interp) takes for
        # granted.
        assert extractor.input(name, ncnn.Mat(array).clone()) == 0
    found = {}
    for blob in blobs:
        code, mat = extractor.extract(blob)
        assert code == 0, blob
        found[blob] = np.empty(0, np.float32) if mat.empty() else np.array(mat)
    return found


def run_model(model: Model, folder: Path, inputs: Mapping[str, Array], blobs: Sequence[str] = ()) -> dict[str, Array]:
    """Blobs (all, unless some are named) of a model that is first written to `folder`."""
    param, bin_path = folder / "model.param", folder / "model.bin"
    model.save(param, bin_path)
    return run_ncnn(param, bin_path, inputs, blobs or [top for layer in model.layers for top in layer.tops])


def absmax_table(model: Model, blobs: Mapping[str, Array]) -> Table:
    """A table whose scales are 127 divided by the largest magnitudes of weights (by output or group) and of `blobs`."""
    table = Table()
    for layer in model.layers:
        if isinstance(layer.op, Calibrated):
            rows = layer.params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else layer.params.get_int(0, 0)
            absmax = np.abs(layer.weights["weight_data"].float32().reshape(rows, -1)).max(axis=1)
            table[f"{layer.name}_param_0"] = 127 / absmax
            table[layer.name] = 127 / max(float(np.abs(blobs[layer.bottoms[0]]).max()), 1e-6)
    return table


def sqnr(expected: Array, found: Array) -> float:
    """Signal to noise in dB."""
    noise = float(np.sum((expected.astype(np.float64) - found) ** 2))
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / noise)) if noise else np.inf
