"""Centring: small models whose channels do not lie around zero, before and after, in stock ncnn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from channels import assert_same_outputs, assert_same_ranges, assert_stored, measured, uneven
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import quantize
from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.rewritten import stored_ranges

Rng = np.random.Generator
Build = Callable[[Rng], list[Layer]]


def conv(
    rng: Rng, name: str, bottom: str, channels: int, outputs: int, kernel: int = 1, *, group: int = 0, text: str = ""
) -> Layer:
    return uneven(rng, convolution(rng, name, bottom, channels, outputs, kernel, group=group, text=text), shift=8)


def dense(rng: Rng, name: str, bottom: str, inputs: int, outputs: int) -> Layer:
    return uneven(rng, inner_product(rng, name, bottom, inputs, outputs), shift=8)


def without_bias(layer: Layer) -> Layer:
    layer.params.remove(5)
    del layer.weights["bias_data"]
    return layer


def scale(rng: Rng, name: str, bottom: str, *, bias: bool) -> Layer:
    names = ["scale_data", "bias_data"] if bias else ["scale_data"]
    weights = {key: Weight.raw(key, rng.normal(0, 2, 8)) for key in names}
    return Layer("Scale", name, [bottom], [name], Params(f" 0=8 1={int(bias)}"), weights)


def add(name: str, *bottoms: str) -> Layer:
    return plain("BinaryOp", name, *bottoms, text=" 0=0")


# The layers, the blobs that are named, and all that are centred.
CENTRED: dict[str, tuple[Build, list[str], list[str]]] = {
    "convolutions": (lambda rng: [conv(rng, "a", "in0", 3, 8, 3), conv(rng, "out", "a", 8, 4, 3)], ["a"], ["a"]),
    "reader without a bias": (
        lambda rng: [conv(rng, "a", "in0", 3, 8), without_bias(conv(rng, "out", "a", 8, 4))],
        ["a"],
        ["a"],
    ),
    "writer without a bias": (
        lambda rng: [without_bias(conv(rng, "a", "in0", 3, 8)), conv(rng, "out", "a", 8, 4)],
        ["a"],
        ["a"],
    ),
    "reader with an activation": (
        lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "out", "a", 8, 4, text=" 9=4")],
        ["a"],
        ["a"],
    ),
    "depthwise": (lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "out", "a", 8, 8, 3, group=8)], ["a"], ["a"]),
    "groups": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 6, 3, group=3),
            conv(rng, "b", "a", 6, 8, 3, group=2),
            conv(rng, "out", "b", 8, 4),
        ],
        ["a", "b"],
        ["a", "b"],
    ),
    "vectors": (
        lambda rng: [
            conv(rng, "c", "in0", 3, 8, text=" 9=1"),
            plain("Pooling", "g", "c", text=" 0=1 4=1"),
            dense(rng, "a", "g", 8, 8),
            dense(rng, "out", "a", 8, 4),
        ],
        ["a"],
        ["a"],
    ),
    "planes read as a vector": (
        lambda rng: [conv(rng, "a", "in0", 3, 8, text=" 3=4"), dense(rng, "out", "a", 72, 4)],
        ["a"],
        ["a"],
    ),
    "scale": (
        lambda rng: [
            conv(rng, "c", "in0", 3, 8, text=" 9=4"),
            scale(rng, "a", "c", bias=True),
            conv(rng, "out", "a", 8, 4),
        ],
        ["a"],
        ["a"],
    ),
    "scale without a bias": (
        lambda rng: [
            conv(rng, "c", "in0", 3, 8, text=" 9=4"),
            scale(rng, "a", "c", bias=False),
            conv(rng, "out", "a", 8, 4),
        ],
        ["a"],
        ["a"],
    ),
    "siblings, one enlarged": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "x", "a", 8, 4),
            plain("Interp", "i", "a", text=" 0=2 1=2.0 2=2.0"),
            conv(rng, "y", "i", 8, 4),
            conv(rng, "z", "i", 8, 4, 3),
        ],
        ["a"],
        ["a", "a_0", "a_1", "i", "i_0", "i_1"],
    ),
    "sum with a linear term": (
        lambda rng: [
            conv(rng, "r", "in0", 3, 8, text=" 9=1"),
            conv(rng, "t", "in0", 3, 8),
            add("sum", "r", "t"),
            conv(rng, "out", "sum", 8, 4),
        ],
        ["sum"],
        ["sum", "t"],
    ),
    "chain of residuals": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "b", "a", 8, 8, text=" 9=1"),
            conv(rng, "c", "b", 8, 8, 3, text=" 4=1"),
            add("s", "a", "c"),
            conv(rng, "d", "s", 8, 8, text=" 9=1"),
            conv(rng, "e", "d", 8, 8, 3, text=" 4=1"),
            add("t", "s", "e"),
            conv(rng, "out", "t", 8, 4),
        ],
        ["a", "s", "t"],
        ["a", "a_0", "a_1", "c", "s", "s_0", "s_1", "e", "t"],
    ),
    "term of a sum that is not centred": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "x", "a", 8, 4),
            conv(rng, "b", "in0", 3, 8),
            add("s", "a", "b"),
            plain("ReLU", "out", "s"),
        ],
        ["a"],
        ["a", "a_0", "a_1", "b"],
    ),
}

NOT_CENTRED: dict[str, Build] = {
    "padding reader": lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "out", "a", 8, 4, 3, text=" 4=1")],
    "reader that pads below only": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "out", "a", 8, 4, 3, text=" 16=1"),
    ],
    "one of two readers pads": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "x", "a", 8, 4),
        conv(rng, "y", "a", 8, 4, 3, text=" 4=1"),
    ],
    "ReLU": lambda rng: [conv(rng, "a", "in0", 3, 8, text=" 9=1"), conv(rng, "out", "a", 8, 4)],
    "ReLU layer": lambda rng: [conv(rng, "a", "in0", 3, 8), plain("ReLU", "b", "a"), conv(rng, "out", "b", 8, 4)],
    "read by a sigmoid too": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "out", "a", 8, 4),
        plain("Sigmoid", "other", "a"),
    ],
    "output": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        Layer("Split", "s", ["a"], ["b", "c"]),
        conv(rng, "out", "b", 8, 4),
    ],
    "average that pads": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        plain("Pooling", "p", "a", text=" 0=1 1=3 2=2 3=1 6=1"),
        conv(rng, "out", "p", 8, 4),
    ],
    "sum without a linear term": lambda rng: [
        conv(rng, "a", "in0", 3, 8, text=" 9=1"),
        conv(rng, "b", "in0", 3, 8, text=" 9=1"),
        add("s", "a", "b"),
        conv(rng, "out", "s", 8, 4),
    ],
    "sum whose linear term is read elsewhere too": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        plain("Sigmoid", "b", "a"),
        add("s", "a", "b"),
        conv(rng, "out", "s", 8, 4),
    ],
    "sum of a blob with itself": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        add("s", "a", "a"),
        conv(rng, "out", "s", 8, 4),
    ],
    "sum with one channel": lambda rng: [
        conv(rng, "a", "in0", 3, 8, text=" 9=1"),
        conv(rng, "b", "in0", 3, 1),
        add("s", "a", "b"),
        conv(rng, "out", "s", 8, 4),
    ],
    "difference": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "b", "in0", 3, 8),
        plain("BinaryOp", "s", "a", "b", text=" 0=1"),
        conv(rng, "out", "s", 8, 4),
    ],
}


def image(rng: Rng) -> Array:
    return rng.normal(0, 1, (3, 12, 12)).astype(np.float32)


def build_model(build: Build) -> tuple[Model, list[dict[str, Array]]]:
    """A model and some images."""
    rng = np.random.default_rng(4)
    return model_of(*build(rng)), [{"in0": image(rng)} for _ in range(3)]


@pytest.mark.parametrize("case", CENTRED)
def test_channels_are_centred_and_outputs_stay(case: str, tmp_path: Path) -> None:
    build, names, blobs = CENTRED[case]
    model, images = build_model(build)
    before = model.param_text(), model.bin_bytes()
    floats = run_model(model, tmp_path, images[0])
    before_ranges = measured(model, tmp_path, images)
    rewritten = centre(model, before_ranges)
    centred, ranges = rewritten.model, stored_ranges(before_ranges, rewritten.storage)
    assert (model.param_text(), model.bin_bytes()) == before, "the model that was given is changed"
    assert list(rewritten.changed) == names
    found = run_model(centred, tmp_path, images[0])
    assert_same_outputs(found, floats, model.outputs)
    changed = {blob for blob in floats if not np.allclose(found[blob], floats[blob], rtol=1e-3, atol=1e-3)}
    assert changed == set(blobs) == rewritten.storage.keys()
    assert_stored(found, floats, rewritten.storage)
    after = measured(centred, tmp_path, images)
    assert_same_ranges(ranges, after)
    for name in names:
        one = after.get(name) or after["i"]
        np.testing.assert_allclose(one.max, -one.min, atol=1e-3 * one.absmax.max(), err_msg=name)


@pytest.mark.parametrize("case", NOT_CENTRED)
def test_what_cannot_be_centred_is_left_alone(case: str, tmp_path: Path) -> None:
    model, images = build_model(NOT_CENTRED[case])
    ranges = measured(model, tmp_path, images)
    rewritten = centre(model, ranges)
    centred = rewritten.model
    assert rewritten.changed == ()
    assert rewritten.storage == {}
    assert (centred.param_text(), centred.bin_bytes()) == (model.param_text(), model.bin_bytes())


def test_a_blob_that_never_changed_is_left_alone(tmp_path: Path) -> None:
    """What it takes in another image, nobody knows: shifted, it would be all zeros here and get a scale that means
    nothing."""
    model, images = build_model(CENTRED["vectors"][0])
    assert centre(model, measured(model, tmp_path, images[:1] * 2)).changed == ()


def test_a_blob_whose_ranges_are_not_known_is_left_alone(tmp_path: Path) -> None:
    model, images = build_model(CENTRED["convolutions"][0])
    ranges = measured(model, tmp_path, images)
    assert centre(model, {"in0": ranges["in0"]}).changed == ()
    assert centre(model, {"a": ranges["in0"]}).changed == ()


def test_int8_gains(tmp_path: Path) -> None:
    model, images = build_model(CENTRED["convolutions"][0])
    centred = centre(model, measured(model, tmp_path, images)).model
    floats = run_model(model, tmp_path, images[0])
    found = []
    for one in (model, centred):
        table = absmax_table(one, run_model(one, tmp_path, images[0]))
        # The mean of the output is what corrected biases see to.
        output = run_model(quantize(one, table), tmp_path, images[0])["out"]
        error = output - floats["out"]
        found.append(sqnr(floats["out"], floats["out"] + error - error.mean(axis=(1, 2), keepdims=True)))
    assert found[1] > found[0] + 2, found


def test_channels_of_zeros_and_constants(tmp_path: Path) -> None:
    model, images = build_model(CENTRED["convolutions"][0])
    first = model.layer("a")
    weights, bias = (
        first.weights["weight_data"].float32().reshape(8, -1).copy(),
        first.weights["bias_data"].float32().copy(),
    )
    weights[:4] = 0
    bias[:4] = [0, 0, 0.25, -3]
    first.weights = {
        "weight_data": Weight.tagged_float32("weight_data", weights),
        "bias_data": Weight.raw("bias_data", bias),
    }
    before = measured(model, tmp_path, images)
    rewritten = centre(model, before)
    centred, ranges = rewritten.model, stored_ranges(before, rewritten.storage)
    centred.check_finite()
    np.testing.assert_array_equal(ranges["a"].absmax[:4], 0)
    assert_same_outputs(run_model(centred, tmp_path, images[0]), run_model(model, tmp_path, images[0]), ["out"])


def test_an_int8_model_is_refused(tmp_path: Path) -> None:
    model, images = build_model(CENTRED["convolutions"][0])
    int8 = quantize(model, absmax_table(model, run_model(model, tmp_path, images[0])))
    with pytest.raises(ModelError, match="is int8 already"):
        centre(int8, {})
