"""A worker's side of a walk: what it answers to requests, against naive loops in NumPy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import Array, convolution, inner_product, plain

from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.inputs.loading import owning_mat
from pyncnnq.layerwise.walk.contrast import UNITS, Contrast, Differences
from pyncnnq.layerwise.walk.conversation import Walk, Walker
from pyncnnq.layerwise.walk.layer_walk import segments
from pyncnnq.layerwise.walk.look import DIFFERENCE, Look, Moments, Window
from pyncnnq.layerwise.walk.run import Finish, Run
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import NONE, RELU, Activation, Calibrated
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.rewrites.linear import bias, set_bias
from pyncnnq.runtime.network import array_of

Floats = NDArray[np.float64]
EVERYTHING = 10**6


def seen_by_each_output(layer: Layer, x: Array) -> Floats:
    """What each output position of a layer sees of its input, one element after another: (groups, positions, size)."""
    params = layer.params
    if layer.type == "InnerProduct":
        return x.reshape(1, 1, -1).astype(np.float64)
    kernel, stride, dilation = params.get_int(1, 0), params.get_int(3, 1), params.get_int(2, 1)
    groups = params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    pad, value = params.get_int(4, 0), params.get_float(18, 0.0)
    channels, height, width = x.shape
    reach = (kernel - 1) * dilation + 1
    if pad < 0:  # as large as the input; -233 puts the odd one behind, -234 before
        total = [max(0, (size - 1) // stride * stride + reach - size) for size in (height, width)]
        before = [one // 2 if pad == -233 else one - one // 2 for one in total]
        border = [(before[axis], total[axis] - before[axis]) for axis in (0, 1)]
    else:
        border = [(pad, params.get_int(16, params.get_int(14, pad))), (pad, params.get_int(15, pad))]
    padded = np.pad(x.astype(np.float64), [(0, 0), *border], constant_values=value)
    seen = []
    for group in range(groups):
        positions = []
        for top in range(0, padded.shape[1] - reach + 1, stride):
            for left in range(0, padded.shape[2] - reach + 1, stride):
                positions.append(
                    [
                        padded[channel, top + row * dilation, left + column * dilation]
                        for channel in range(group * channels // groups, (group + 1) * channels // groups)
                        for row in range(kernel)
                        for column in range(kernel)
                    ]
                )
        seen.append(positions)
    return np.array(seen)


def layer_named(kind: str) -> tuple[Layer, tuple[int, ...]]:
    rng = np.random.default_rng(0)
    layers = {
        "1x1": (convolution(rng, "it", "in0", 6, 4), (6, 5, 4)),
        "padded": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=1"), (3, 5, 6)),
        "padded with a value": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=1 18=0.5"), (3, 5, 6)),
        "padded on the right": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=0 15=1 14=0 16=1"), (3, 6, 6)),
        "strided": (convolution(rng, "it", "in0", 3, 4, 3, text=" 3=2 4=1"), (3, 7, 6)),
        "dilated": (convolution(rng, "it", "in0", 2, 4, 3, text=" 2=2"), (2, 8, 7)),
        "same, odd one behind": (convolution(rng, "it", "in0", 2, 4, 3, text=" 3=2 4=-233"), (2, 6, 7)),
        "same, odd one before": (convolution(rng, "it", "in0", 2, 4, 3, text=" 3=2 4=-234"), (2, 6, 7)),
        "depthwise": (convolution(rng, "it", "in0", 4, 4, 3, group=4, text=" 4=1"), (4, 5, 5)),
        "groups": (convolution(rng, "it", "in0", 6, 4, 3, group=2), (6, 5, 5)),
        "inner product": (inner_product(rng, "it", "in0", 24, 5), (2, 3, 4)),
    }
    return layers[kind]


KINDS = [
    "1x1",
    "padded",
    "padded with a value",
    "padded on the right",
    "strided",
    "dilated",
    "same, odd one behind",
    "same, odd one before",
]
KINDS += ["depthwise", "groups", "inner product"]


def walker_of(folder: Path, arrays: list[Array]) -> Walker:
    for index, array in enumerate(arrays):
        np.save(folder / f"{index}.npy", array)
    samples = {index: (folder / f"{index}.npy",) for index in range(len(arrays))}
    return Walk([("in0", ArraySpec())], samples).start()


def look(
    window: Window,
    quantizer: Quantizer | None,
    *,
    outputs: int = EVERYTHING,
    crosses: bool = True,
    part: bool | None = None,
) -> Look:
    return Look(blob="in0", window=window, quantizer=quantizer, outputs=outputs, seed=5, crosses=crosses, part=part)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_what_outputs_see(kind: str, tmp_path: Path) -> None:
    layer, shape = layer_named(kind)
    rng = np.random.default_rng(1)
    arrays = [rng.normal(1, 1, shape).astype(np.float32) for _ in range(3)]
    quantizer = Quantizer(30.0, 1.0)
    found = walker_of(tmp_path, arrays).answer(look(Window.of(layer), quantizer))
    assert isinstance(found, Moments)
    values = np.concatenate([seen_by_each_output(layer, x) for x in arrays], axis=1)
    scaled = (values - 1) * 30
    codes = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -127, 127)
    assert found.count == codes.shape[1]
    assert np.abs(codes).max() > 40
    np.testing.assert_array_equal(found.codes, codes.sum(axis=1))
    np.testing.assert_array_equal(found.products, np.einsum("gni,gnj->gij", codes, codes))
    missed = (scaled - codes) * DIFFERENCE
    assert found.differences is not None
    assert found.crosses is not None
    np.testing.assert_allclose(found.differences, missed.sum(axis=1), atol=codes.shape[1])
    np.testing.assert_allclose(found.crosses, np.einsum("gni,gnj->gij", missed, codes), atol=100 * codes.shape[1])


@pytest.mark.parametrize("shape", [(6, 9), (6, 1, 9), (9,)])
def test_rows_are_seen_by_their_own_largest_magnitude(shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = [np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32) for seed in range(3)]
    arrays[0].reshape(-1, 9)[0] = 0
    window = Window(groups=1, channels=9, flattened=False, of_rows=True)
    found = walker_of(tmp_path, arrays).answer(look(window, None))
    assert isinstance(found, Moments)
    rows = np.concatenate([x.reshape(-1, 9) for x in arrays]).astype(np.float64)
    codes = np.rint(rows * (127 / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-9)))
    assert found.count == len(rows)
    np.testing.assert_array_equal(found.codes[0], codes.sum(axis=0))
    np.testing.assert_array_equal(found.products[0], codes.T @ codes)


def test_of_many_outputs_some_are_seen_the_same_in_both_branches(tmp_path: Path) -> None:
    layer, shape = layer_named("padded")
    array = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
    found = walker_of(tmp_path, [array]).answer(look(Window.of(layer), Quantizer(1000.0, 0.0), outputs=7))
    assert isinstance(found, Moments)
    assert found.count == 7
    # Nothing has been quantized before: but for what is clipped, differences are those of rounding.
    assert found.differences is not None
    assert (np.abs(found.differences) <= 7 * np.abs(array).max() * 1000 * DIFFERENCE).all()


def test_one_sample_in_four_validates(tmp_path: Path) -> None:
    layer, shape = layer_named("1x1")
    arrays = [np.full(shape, number, np.float32) for number in range(8)]
    walker = walker_of(tmp_path, arrays)
    window, quantizer = Window.of(layer), Quantizer(1.0, 0.0)
    fit, validation = (
        walker.answer(look(window, quantizer, outputs=1, crosses=False, part=part)) for part in (False, True)
    )
    assert isinstance(fit, Moments)
    assert isinstance(validation, Moments)
    assert fit.codes[0, 0] == 0 + 2 + 3 + 4 + 6 + 7
    assert validation.codes[0, 0] == 1 + 5


def test_differences_count_between_the_bounds_alone(tmp_path: Path) -> None:
    walker = walker_of(tmp_path, [np.array([[[-1.0, 0, 2, 6]], [[3, 3, 3, 9]]], np.float32)])
    walker.rough = {"in0": {0: owning_mat(np.array([[[5.0, 5, 1.5, 5]], [[2, 3, 4.25, 0]]], np.float32))}}
    found = walker.answer(Contrast("in0", 0.0, 6.0))
    assert isinstance(found, Differences)
    np.testing.assert_array_equal(found.counts, [1, 3])
    np.testing.assert_array_equal(found.sums / UNITS, [0.5, -0.25])


def test_layers_are_cut_around_those_that_stand_alone() -> None:
    layers = [Layer("Input", "in", [], ["in"]), *(plain("ReLU", name, "in") for name in "abcde")]
    cut = [[layer.name for layer in part] for part in segments(layers, {"c", "d"})]
    assert cut == [["a", "b"], ["c"], ["d"], ["e"]]


@pytest.mark.parametrize(
    "activation", [NONE, RELU, Activation("leaky_relu", (0.1,)), Activation("clip", (-1.0, 0.5))], ids=lambda a: a.kind
)
def test_finishing_a_layer_is_running_it_again(activation: Activation, tmp_path: Path) -> None:
    """The layer with its activation and its new bias, by ncnn, is the oracle."""
    layer, shape = layer_named("padded")
    walker = walker_of(
        tmp_path, [np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32) for seed in (1, 2)]
    )
    change = np.array([0.3, -0.2, 0.0, 1.5])
    full, changed = layer.copy(), layer.copy()
    for each in (full, changed):
        each.as_op(Calibrated).activation = activation
    set_bias(changed, bias(changed) + change)
    files = [
        Model([Layer("Input", "in", [], ["in0"]), each]).stored(tmp_path, name).files
        for name, each in (("linear", layer), ("full", full), ("changed", changed))
    ]
    run = partial(Run, bottoms=[("in0", "in0")], quantizers={}, tops=layer.tops)
    walker.answer(run(exact=files[0], rough=files[0]))
    walker.answer(Finish(blob=layer.tops[0], change=change, activation=activation))
    finished = [[array_of(mat).copy() for mat in each[layer.tops[0]].values()] for each in (walker.exact, walker.rough)]
    walker.answer(run(exact=files[1], rough=files[2]))
    expected = [[array_of(mat) for mat in each[layer.tops[0]].values()] for each in (walker.exact, walker.rough)]
    np.testing.assert_allclose(finished, expected, atol=2e-6)
