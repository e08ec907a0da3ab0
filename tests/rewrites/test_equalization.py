"""Equalization: small models whose channels differ in range, before and after, in stock ncnn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from channels import assert_same_outputs, assert_same_ranges, assert_stored, measured, ranges_of, uneven
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import quantize
from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.equalization import LARGEST_FACTOR, equalize
from pyncnnq.rewrites.rewritten import stored_ranges
from pyncnnq.statistics.ranges import ChannelRanges

Rng = np.random.Generator
Build = Callable[[Rng], list[Layer]]


def conv(
    rng: Rng, name: str, bottom: str, channels: int, outputs: int, kernel: int = 1, *, group: int = 0, text: str = ""
) -> Layer:
    return uneven(rng, convolution(rng, name, bottom, channels, outputs, kernel, group=group, text=text))


def dense(rng: Rng, name: str, bottom: str, inputs: int, outputs: int) -> Layer:
    return uneven(rng, inner_product(rng, name, bottom, inputs, outputs))


def per_channel(kind: str, name: str, bottom: str, channels: int, text: str, **arrays: object) -> Layer:
    weights = {key: Weight.raw(key, np.asarray(values, np.float32)) for key, values in arrays.items()}
    return Layer(kind, name, [bottom], [name], Params(f" 0={channels}{text}"), weights)


def half(layer: Layer) -> Layer:
    layer.weights["weight_data"] = Weight.tagged_float16("weight_data", layer.weights["weight_data"].float32())
    return layer


def without_bias(layer: Layer) -> Layer:
    layer.params.remove(5)
    del layer.weights["bias_data"]
    return layer


FREE: dict[str, tuple[Build, set[str]]] = {
    "no activation": (lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "out", "a", 8, 4)], {"a"}),
    "ReLU": (
        lambda rng: [conv(rng, "a", "in0", 3, 8, 3, text=" 9=1"), conv(rng, "out", "a", 8, 4, 3, text=" 4=1")],
        {"a"},
    ),
    "leaky": (lambda rng: [conv(rng, "a", "in0", 3, 8, text=" 9=2 -23310=1,0.1"), conv(rng, "out", "a", 8, 4)], {"a"}),
    "no bias": (
        lambda rng: [without_bias(conv(rng, "a", "in0", 3, 8)), without_bias(conv(rng, "out", "a", 8, 4))],
        {"a"},
    ),
    "float16": (lambda rng: [half(conv(rng, "a", "in0", 3, 8)), half(conv(rng, "out", "a", 8, 4))], {"a"}),
    "depthwise": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "b", "a", 8, 8, 3, group=8, text=" 4=1 9=1"),
            conv(rng, "out", "b", 8, 4),
        ],
        {"a", "b"},
    ),
    "squeeze and excite": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            Layer("Split", "s", ["a"], ["s0", "s1"], Params("")),
            plain("Pooling", "pool", "s0", text=" 0=1 4=1"),
            dense(rng, "squeeze", "pool", 8, 4),
            dense(rng, "excite", "squeeze", 4, 8),
            plain("HardSigmoid", "gate", "excite", text=" 0=0.2 1=0.5"),
            plain("BinaryOp", "gated", "s1", "gate", text=" 0=2"),
            conv(rng, "out", "gated", 8, 4),
        ],
        {"a", "s0", "s1", "pool", "squeeze", "gated"},
    ),
    "activation layers": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            plain("ReLU", "r", "a", text=" 0=0.2"),
            conv(rng, "b", "r", 8, 8),
            per_channel("PReLU", "p", "b", 8, "", slope_data=rng.uniform(-0.5, 0.5, 8)),
            plain("Dropout", "d", "p"),
            conv(rng, "out", "d", 8, 4),
        ],
        {"a", "r", "b", "p", "d"},
    ),
    "siblings": (
        lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "x", "a", 8, 4), conv(rng, "y", "a", 8, 4, 3, text=" 4=1")],
        {"a", "a_0", "a_1"},
    ),
    "concat": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "b", "in0", 3, 4, text=" 9=1"),
            plain("Concat", "both", "a", "b"),
            conv(rng, "out", "both", 12, 4),
        ],
        {"a", "b", "both"},
    ),
    "concat along a negative axis, with what is locked": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "b", "in0", 3, 4, text=" 9=4"),
            plain("Concat", "both", "a", "b", text=" 0=-3"),
            conv(rng, "out", "both", 12, 4),
        ],
        {"a", "both"},
    ),
    "shuffle and slice": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 12),
            plain("ShuffleChannel", "s", "a", text=" 0=3"),
            Layer("Slice", "slice", ["s"], ["left", "right"], Params(" -23300=2,4,-233")),
            conv(rng, "x", "left", 4, 4),
            conv(rng, "y", "right", 8, 4),
        ],
        {"a", "s", "left", "right"},
    ),
    "reversed shuffle, slice in three": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 10),
            plain("ShuffleChannel", "s", "a", text=" 0=5 1=1"),
            Layer("Slice", "slice", ["s"], ["l", "m", "r"], Params(" -23300=3,-233,-233,-233 1=-3")),
            conv(rng, "x", "l", 3, 4),
            conv(rng, "y", "m", 3, 4),
            conv(rng, "z", "r", 4, 4),
        ],
        {"a", "s", "l", "m", "r"},
    ),
    "pooling and interp": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            plain("Pooling", "m", "a", text=" 0=0 1=3 2=2 3=1"),
            plain("Pooling", "v", "m", text=" 0=1 1=2 2=1 3=1 6=1"),
            plain("Interp", "i", "v", text=" 0=2 1=2.0 2=2.0"),
            conv(rng, "out", "i", 8, 4),
        ],
        {"a", "m", "v", "i"},
    ),
    "global pooling": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            plain("Pooling", "g", "a", text=" 0=1 4=1"),
            dense(rng, "b", "g", 8, 8),
            dense(rng, "out", "b", 8, 4),
        ],
        {"a", "g", "b"},
    ),
    "residual": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8, text=" 9=1"),
            conv(rng, "b", "a", 8, 8, 3, text=" 4=1"),
            plain("BinaryOp", "sum", "a", "b", text=" 0=0"),
            plain("ReLU", "r", "sum"),
            conv(rng, "out", "r", 8, 4),
        ],
        {"a", "a_0", "a_1", "b", "sum", "r"},
    ),
    "weighted sum": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8),
            conv(rng, "b", "in0", 3, 8),
            plain("Eltwise", "sum", "a", "b", text=" 0=1 -23301=2,0.5,-2.0"),
            conv(rng, "out", "sum", 8, 4),
        ],
        {"a", "b", "sum"},
    ),
    "scale": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8, text=" 9=4"),
            per_channel(
                "Scale", "s", "a", 8, " 1=1", scale_data=np.exp2(rng.uniform(-3, 3, 8)), bias_data=rng.normal(0, 1, 8)
            ),
            conv(rng, "b", "s", 8, 8, 3),
            per_channel("Scale", "t", "b", 8, "", scale_data=np.exp2(rng.uniform(-3, 3, 8))),
            conv(rng, "out", "t", 8, 4),
        ],
        {"s", "t"},  # b feeds no quantizable layer
    ),
    "flatten": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8, 3, text=" 3=4"),
            plain("Flatten", "f", "a"),
            dense(rng, "out", "f", 72, 4),
        ],
        {"a", "f"},
    ),
    "reshape": (
        lambda rng: [
            conv(rng, "a", "in0", 3, 8, 3, text=" 3=4"),
            plain("Reshape", "f", "a", text=" 0=-1"),
            dense(rng, "out", "f", 72, 4),
        ],
        {"a", "f"},
    ),
    "planes read as a vector": (
        lambda rng: [conv(rng, "a", "in0", 3, 8, 3, text=" 3=4"), dense(rng, "out", "a", 72, 4)],
        {"a"},
    ),
}


def two(between: Callable[[Rng], list[Layer]], last: str, *, channels: int = 8, text: str = "") -> Build:
    return lambda rng: [conv(rng, "a", "in0", 3, 8, text=text), *between(rng), conv(rng, "out", last, channels, 4)]


LOCKED: dict[str, Build] = {
    "input": lambda rng: [conv(rng, "out", "in0", 3, 4)],
    "output": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        Layer("Split", "s", ["a"], ["b", "c"]),
        conv(rng, "out", "b", 8, 4),
    ],
    "ReLU6": two(lambda _: [], "a", text=" 9=3 -23310=2,0.0,6.0"),
    "sigmoid activation": two(lambda _: [], "a", text=" 9=4"),
    "hard swish activation": two(lambda _: [], "a", text=" 9=6 -23310=2,0.2,0.5"),
    "Clip": two(lambda _: [plain("Clip", "b", "a", text=" 0=0.0 1=6.0")], "b"),
    "HardSwish": two(lambda _: [plain("HardSwish", "b", "a")], "b"),
    "Softmax": two(lambda _: [plain("Softmax", "b", "a", text=" 0=0 1=1")], "b"),
    "read by a sigmoid too": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "out", "a", 8, 4),
        plain("Sigmoid", "other", "a"),
    ],
    "product": two(lambda rng: [conv(rng, "b", "in0", 3, 8), plain("BinaryOp", "c", "a", "b", text=" 0=2")], "c"),
    "sum with a number": two(lambda _: [plain("BinaryOp", "c", "a", text=" 0=0 1=1 2=0.5")], "c"),
    "sum with one channel": two(
        lambda rng: [conv(rng, "b", "in0", 3, 1), plain("BinaryOp", "c", "a", "b", text=" 0=0")], "c"
    ),
    "sum with a vector": two(
        lambda rng: [
            conv(rng, "b", "in0", 3, 8),
            plain("Pooling", "g", "b", text=" 0=1 4=1"),
            plain("BinaryOp", "c", "a", "g", text=" 0=0"),
        ],
        "c",
    ),
    "concat of rows": two(lambda rng: [conv(rng, "b", "in0", 3, 8), plain("Concat", "c", "a", "b", text=" 0=1")], "c"),
    "slice of rows": two(
        lambda _: [Layer("Slice", "s", ["a"], ["b", "c"], Params(" -23300=2,5,-233 1=1")), plain("ReLU", "d", "c")], "b"
    ),
    "permute": two(lambda _: [plain("Permute", "b", "a", text=" 0=3")], "b", channels=12),
    "grouped reader": lambda rng: [conv(rng, "a", "in0", 3, 8), conv(rng, "out", "a", 8, 4, group=2)],
    "grouped writer": lambda rng: [conv(rng, "a", "in0", 3, 6, group=3), conv(rng, "out", "a", 6, 4)],
    "padding with a number": lambda rng: [
        conv(rng, "a", "in0", 3, 8),
        conv(rng, "out", "a", 8, 4, 3, text=" 4=1 18=0.5"),
    ],
}


def image(rng: Rng) -> Array:
    return rng.normal(0, 1, (3, 12, 12)).astype(np.float32)


def build_model(build: Build) -> tuple[Model, Array]:
    rng = np.random.default_rng(3)
    return model_of(*build(rng)), image(rng)


@pytest.mark.parametrize("case", FREE)
def test_channels_are_multiplied_and_outputs_stay(case: str, tmp_path: Path) -> None:
    build, expected = FREE[case]
    model, x = build_model(build)
    before = model.param_text(), model.bin_bytes()
    floats = run_model(model, tmp_path, {"in0": x})
    before_ranges = measured(model, tmp_path, [{"in0": x}])
    rewritten = equalize(model, before_ranges)
    equalized, ranges = rewritten.model, stored_ranges(before_ranges, rewritten.storage)
    assert (model.param_text(), model.bin_bytes()) == before, "the model that was given is changed"
    found = run_model(equalized, tmp_path, {"in0": x})
    assert_same_outputs(found, floats, model.outputs)
    changed = {blob for blob in floats if not np.allclose(found[blob], floats[blob], rtol=1e-3, atol=1e-5)}
    assert changed == expected == rewritten.storage.keys()
    assert {blob for group in rewritten.groups for blob in group.blobs} == set(rewritten.changed) <= changed
    assert_stored(found, floats, rewritten.storage)
    assert_same_ranges(ranges, measured(equalized, tmp_path, [{"in0": x}]))


@pytest.mark.parametrize("case", LOCKED)
def test_what_cannot_be_multiplied_is_left_alone(case: str, tmp_path: Path) -> None:
    model, x = build_model(LOCKED[case])
    ranges = measured(model, tmp_path, [{"in0": x}])
    rewritten = equalize(model, ranges)
    equalized = rewritten.model
    assert rewritten.groups == ()
    assert rewritten.changed == ()
    assert rewritten.storage == {}
    assert (equalized.param_text(), equalized.bin_bytes()) == (model.param_text(), model.bin_bytes())


def test_weights_from_a_blob_prevent_it() -> None:
    rng = np.random.default_rng(3)
    dynamic = Layer("Convolution", "out", ["a", "w", "b"], ["out"], Params(" 0=4 1=1 6=32 5=1 19=1"))
    memory = [
        Layer(
            "MemoryData",
            name,
            [],
            [name],
            Params(sizes),
            {"data": Weight.tagged_float32("data", rng.normal(0, 1, size))},
        )
        for name, sizes, size in (("w", " 0=1 1=1 11=8 2=4 21=0", 32), ("b", " 0=4 21=0", 4))
    ]
    first = conv(rng, "a", "in0", 3, 8)
    model = model_of(first, *memory, dynamic)
    rewritten = equalize(model, {"in0": ranges_of([image(rng)])})
    assert rewritten.groups == ()
    assert rewritten.model.bin_bytes() == model.bin_bytes()


@pytest.mark.parametrize("missing", ["unknown", "other count"])
def test_a_blob_whose_channels_are_not_known_is_left_alone(missing: str, tmp_path: Path) -> None:
    model, x = build_model(FREE["ReLU"][0])
    ranges = measured(model, tmp_path, [{"in0": x}])
    del ranges["a"]
    if missing == "other count":
        ranges["a"] = ranges["in0"]
    rewritten = equalize(model, ranges)
    assert rewritten.groups == ()
    assert rewritten.model.bin_bytes() == model.bin_bytes()


def test_int8_gains(tmp_path: Path) -> None:
    model, x = build_model(FREE["depthwise"][0])
    rewritten = equalize(model, measured(model, tmp_path, [{"in0": x}]))
    floats = run_model(model, tmp_path, {"in0": x})
    found = []
    for one in (model, rewritten.model):
        table = absmax_table(one, run_model(one, tmp_path, {"in0": x}))
        found.append(sqnr(floats["out"], run_model(quantize(one, table), tmp_path, {"in0": x})["out"]))
    assert found[1] > found[0] + 2, found
    assert all(group.gain > 0 for group in rewritten.groups)


def test_ranges_become_equal_where_weights_do_not_matter(tmp_path: Path) -> None:
    """A depthwise reader has a weight scale for each channel: nothing speaks against equal ranges, up to the largest
    factor."""
    model, x = build_model(FREE["depthwise"][0])
    before = measured(model, tmp_path, [{"in0": x}])["a"].absmax
    rewritten = equalize(model, measured(model, tmp_path, [{"in0": x}]))
    after = measured(rewritten.model, tmp_path, [{"in0": x}])["a"].absmax
    assert rewritten.groups[0].power == 1
    np.testing.assert_allclose(after, np.minimum(before.max(), before * LARGEST_FACTOR), rtol=1e-4)


def test_weights_that_would_suffer_hold_it_back() -> None:
    """The small channel is taken by the small weights already: dividing those further gains nothing, and costs the
    steps of the other."""
    first = convolution(np.random.default_rng(0), "a", "in0", 1, 2)
    last = convolution(np.random.default_rng(0), "out", "a", 2, 1)
    last.weights["weight_data"] = Weight.tagged_float32("weight_data", [1.0, 1e-3])
    model = model_of(first, last, shape=(1, 12, 12))
    one = ChannelRanges(np.array([-1.0]), np.array([1.0]), np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1))
    two = ChannelRanges(
        np.array([-1.0, -0.1]), np.array([1.0, 0.1]), np.zeros(2), np.array([1e-6, 1.0]), np.zeros(2), np.zeros(2)
    )
    assert equalize(model, {"in0": one, "a": two}).groups == ()
    # With weights the other way round there is much to gain.
    last.weights["weight_data"] = Weight.tagged_float32("weight_data", [1e-3, 1.0])
    two = ChannelRanges(two.min, two.max, two.mean, np.array([1.0, 1e-4]), two.spread, two.zeros)
    (group,) = equalize(model, {"in0": one, "a": two}).groups
    assert group.gain > 10


def test_what_varies_from_image_to_image_is_multiplied_less() -> None:
    """A channel stays below the largest one of the blob even in an image whose extreme lies two spreads beyond all that
    was seen."""
    rng = np.random.default_rng(0)
    model = model_of(
        convolution(rng, "a", "in0", 1, 4), convolution(rng, "out", "a", 4, 4, 3, group=4), shape=(1, 12, 12)
    )
    zeros, ones = np.zeros(4), np.ones(4)
    one = ChannelRanges(-ones[:1], ones[:1], zeros[:1], ones[:1], zeros[:1], zeros[:1])
    absmax, spread = np.array([4.0, 1.0, 1.0, 0.1]), np.array([1.0, 0.0, 0.5, 0.0])
    blob = ChannelRanges(-absmax, absmax, zeros, absmax**2 / 20, spread, zeros)
    before = {"in0": one, "a": blob}
    rewritten = equalize(model, before)
    (group,) = rewritten.groups
    ranges = stored_ranges(before, rewritten.storage)
    assert group.power == 1
    np.testing.assert_allclose(ranges["a"].absmax / absmax, [1, 4, 4 / 2, LARGEST_FACTOR])


@pytest.mark.parametrize("kind", ["all zero", "one zero", "constant"])
def test_channels_without_a_range(kind: str, tmp_path: Path) -> None:
    model, x = build_model(FREE["depthwise"][0])
    first = model.layer("a")
    dead = slice(None) if kind == "all zero" else slice(2, 4)
    weights, bias = (
        first.weights["weight_data"].float32().reshape(8, -1).copy(),
        first.weights["bias_data"].float32().copy(),
    )
    weights[dead] = 0
    bias[dead] = 0.25 if kind == "constant" else 0
    first.weights = {
        "weight_data": Weight.tagged_float32("weight_data", weights),
        "bias_data": Weight.raw("bias_data", bias),
    }
    floats = run_model(model, tmp_path, {"in0": x})
    before = measured(model, tmp_path, [{"in0": x}])
    rewritten = equalize(model, before)
    equalized, ranges = rewritten.model, stored_ranges(before, rewritten.storage)
    equalized.check_finite()
    assert_same_outputs(run_model(equalized, tmp_path, {"in0": x}), floats, ["out"])
    assert_same_ranges(ranges, measured(equalized, tmp_path, [{"in0": x}]))


def test_an_int8_model_is_refused(tmp_path: Path) -> None:
    model, x = build_model(FREE["ReLU"][0])
    int8 = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})))
    with pytest.raises(ModelError, match="is int8 already"):
        equalize(int8, {})
