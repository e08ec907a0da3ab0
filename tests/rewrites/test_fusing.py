"""Layers fused into others: the same outputs, by stock ncnn, from fewer layers; and where they must stay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, run_ncnn
from unfused import batch_norm, memory, scale, unfused

from pyncnnq import fuse, load_model, quantize
from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Params, Weight

Rng = np.random.Generator
Build = Callable[[Rng], list[Layer]]

# Rounding of float32, which depends on the path that ncnn takes through a layer.
RELATIVE = 1e-5


def image(shape: tuple[int, ...] = (3, 12, 12), seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    for blob, values in expected.items():
        assert found[blob].shape == values.shape, blob
        assert np.abs(found[blob] - values).max(initial=0) <= RELATIVE * np.abs(values).max(initial=1e-6), blob


def check_outputs(model: Model, fused: Model, folder: Path, x: dict[str, Array]) -> None:
    """Outputs have their names, all blobs that are left their values, and the new model is read as it was written."""
    assert (fused.inputs, sorted(fused.outputs)) == (model.inputs, sorted(model.outputs))
    expected, found = (run_model(one, folder, x) for one in (model, fused))
    again = load_model(folder / "model.param", folder / "model.bin")
    assert (again.param_text(), again.bin_bytes()) == (fused.param_text(), fused.bin_bytes())
    assert_same(found, {blob: expected[blob] for blob in found.keys() & expected.keys()})


def numbers(rng: Rng, count: int) -> np.ndarray:
    return rng.uniform(0.3, 2, count) * rng.choice([-1, 1], count)


def bn(rng: Rng, name: str, bottom: str, count: int) -> Layer:
    return batch_norm(
        name, bottom, numbers(rng, count), numbers(rng, count), rng.uniform(0.1, 4, count), numbers(rng, count)
    )


def conv(rng: Rng, text: str = " 4=1", name: str = "conv", bottom: str = "in0") -> Layer:
    return convolution(rng, name, bottom, 3, 8, 3, text=text)


def bias(rng: Rng, name: str, bottom: str, count: int) -> Layer:
    return Layer(
        "Bias",
        name,
        [bottom],
        [name],
        Params(f" 0={count}"),
        {"bias_data": Weight.raw("bias_data", numbers(rng, count))},
    )


def deconvolution(rng: Rng, text: str = "") -> Layer:
    layer = convolution(rng, "conv", "in0", 3, 8, 3, text=f" 3=2 18=1{text}")
    layer.type = "Deconvolution"
    return layer


def fully(rng: Rng, *layers: Layer) -> list[Layer]:
    return [plain("Flatten", "flat", "in0"), inner_product(rng, "conv", "flat", 432, 8), *layers]


def without_bias(layer: Layer) -> Layer:
    layer.params.remove(5)
    del layer.weights["bias_data"]
    return layer


def in_half(layer: Layer) -> Layer:
    layer.weights["weight_data"] = Weight.tagged_float16("weight_data", layer.weights["weight_data"].data)
    return layer


INTO_WEIGHTS: dict[str, Build] = {
    "BatchNorm": lambda rng: [conv(rng), bn(rng, "a", "conv", 8)],
    "Scale": lambda rng: [conv(rng), scale("a", "conv", numbers(rng, 8), numbers(rng, 8))],
    "Scale without bias": lambda rng: [conv(rng), scale("a", "conv", numbers(rng, 8))],
    "Bias": lambda rng: [conv(rng), bias(rng, "a", "conv", 8)],
    "BatchNorm and Scale": lambda rng: [
        conv(rng),
        bn(rng, "a", "conv", 8),
        scale("b", "a", numbers(rng, 8), numbers(rng, 8)),
    ],
    "behind a convolution without bias": lambda rng: [without_bias(conv(rng)), bn(rng, "a", "conv", 8)],
    "behind float16 weights": lambda rng: [in_half(conv(rng)), bn(rng, "a", "conv", 8)],
    "depthwise": lambda rng: [convolution(rng, "conv", "in0", 3, 3, 3, group=3), bn(rng, "a", "conv", 3)],
    "grouped": lambda rng: [conv(rng), convolution(rng, "g", "conv", 8, 12, 3, group=4), bn(rng, "a", "g", 12)],
    "deconvolution": lambda rng: [deconvolution(rng), bn(rng, "a", "conv", 8), scale("b", "a", numbers(rng, 8))],
    "inner product": lambda rng: fully(rng, bn(rng, "a", "conv", 8), scale("b", "a", numbers(rng, 8), numbers(rng, 8))),
    "1x1 convolution of a vector": lambda rng: [
        plain("Pooling", "gap", "in0", text=" 0=1 4=1"),
        convolution(rng, "conv", "gap", 3, 8),
        bn(rng, "a", "conv", 8),
    ],
    "Dropout with a factor": lambda rng: [
        conv(rng),
        plain("Dropout", "a", "conv", text=" 0=0.75"),
        bn(rng, "b", "a", 8),
    ],
    "Dropout with a factor, of a matrix": lambda rng: [
        plain("Reshape", "flat", "in0", text=" 0=12 1=36"),
        inner_product(rng, "conv", "flat", 12, 8),
        plain("Dropout", "a", "conv", text=" 0=0.75"),
    ],
    "an added constant": lambda rng: [
        memory("m", numbers(rng, 8)),
        conv(rng),
        plain("BinaryOp", "a", "conv", "m", text=" 0=0"),
    ],
    "a constant that comes first": lambda rng: [
        memory("m", numbers(rng, 8)),
        conv(rng),
        plain("BinaryOp", "a", "m", "conv", text=" 0=0"),
    ],
    "a factor of shape (c, 1, 1)": lambda rng: [
        memory("m", numbers(rng, 8), " 0=1 1=1 2=8"),
        conv(rng),
        plain("BinaryOp", "a", "conv", "m", text=" 0=2"),
    ],
    "a constant behind an inner product": lambda rng: fully(
        rng, memory("m", numbers(rng, 8)), plain("BinaryOp", "a", "conv", "m", text=" 0=0"), plain("ReLU", "b", "a")
    ),
    "as many channels as columns": lambda rng: [
        memory("m", numbers(rng, 12)),
        convolution(rng, "conv", "in0", 3, 12, 3, text=" 4=1"),
        plain("BinaryOp", "a", "conv", "m", text=" 0=0"),
    ],
}


@pytest.mark.parametrize("case", INTO_WEIGHTS)
def test_factors_and_offsets_become_part_of_weights(tmp_path: Path, case: str) -> None:
    model = model_of(*INTO_WEIGHTS[case](np.random.default_rng(1)))
    before = (model.param_text(), model.bin_bytes())
    fused = fuse(model)
    assert (model.param_text(), model.bin_bytes()) == before
    weighted = "g" if case == "grouped" else "conv"
    assert fused.reweighted == [weighted]
    kept = [
        layer.name
        for layer in model.layers
        if layer.type in ("Input", "Flatten", "Pooling", "Reshape") or layer.name in ("conv", "g")
    ]
    assert [layer.name for layer in fused.model.layers] == kept
    assert list(fused.changes) == [layer.name for layer in model.layers if layer.name not in kept]
    check_outputs(model, fused.model, tmp_path, {"in0": image()})


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (("ReLU", ""), (1, ())),
        (("ReLU", " 0=0.1"), (2, (0.1,))),
        (("Clip", " 0=0 1=0.7"), (3, (0, 0.7))),
        (("Clip", " 1=0.7"), (3, (-3.4028235e38, 0.7))),
        (("Clip", " 0=-0.7"), (3, (-0.7, 3.4028235e38))),
        (("Sigmoid", ""), (4, ())),
        (("Mish", ""), (5, ())),
        (("HardSwish", ""), (6, (0.2, 0.5))),
        (("HardSwish", " 0=0.1666667 1=0.5"), (6, (0.1666667, 0.5))),
    ],
)
@pytest.mark.parametrize(
    "kind", ["Convolution", "ConvolutionDepthWise", "group", "InnerProduct", "Deconvolution", "DeconvolutionDepthWise"]
)
def test_activations_in_float_and_int8(
    tmp_path: Path, kind: str, activation: tuple[str, str], expected: tuple[int, tuple[float, ...]]
) -> None:
    """Each in each layer, on the paths that ncnn takes for numbers of channels that are and are not multiples of 8 and
    16."""
    for channels in (3, 8, 16):
        rng = np.random.default_rng(channels)
        outputs, group = (channels, channels) if kind.endswith("DepthWise") else (16, 4 if kind == "group" else 0)
        if kind == "group" and channels == 3:
            continue
        if kind == "InnerProduct":
            first, then = (
                inner_product(rng, "first", "in0", channels, outputs),
                inner_product(rng, "then", "a", outputs, 4),
            )
        else:
            first = convolution(rng, "first", "in0", channels, outputs, 3, group=group, text=" 4=1")
            then = convolution(rng, "then", "a", outputs, 8, 3)
        if kind.startswith("Deconvolution"):
            first.type = kind
        x = image((channels,) if kind == "InnerProduct" else (channels, 9, 7))
        model = model_of(first, plain(activation[0], "a", "first", text=activation[1]), then, shape=x.shape)
        fused = fuse(model)
        layer = fused.model.layer("first")
        assert [one.name for one in fused.model.layers] == ["in0", "first", "then"]
        assert (layer.params.get_int(9, 0), layer.params.get_array(10)) == (expected[0], pytest.approx(expected[1]))
        assert (fused.reweighted, layer.tops) == ([], ["a"])
        check_outputs(model, fused.model, tmp_path, {"in0": x})
        table = absmax_table(model, run_model(model, tmp_path, {"in0": x}))
        int8 = [run_model(quantize(one, table), tmp_path, {"in0": x}, ["then"])["then"] for one in (model, fused.model)]
        np.testing.assert_allclose(int8[1], int8[0], rtol=0, atol=1e-6 * np.abs(int8[0]).max())


def test_prelu_with_one_slope_is_a_leaky_relu(tmp_path: Path) -> None:
    prelu = Layer("PReLU", "a", ["conv"], ["a"], Params(" 0=1"), {"slope_data": Weight.raw("slope_data", [0.3])})
    model = model_of(conv(np.random.default_rng(1)), prelu)
    fused = fuse(model).model
    assert [layer.type for layer in fused.layers] == ["Input", "Convolution"]
    check_outputs(model, fused, tmp_path, {"in0": image()})


GATES = [("Sigmoid", "", "Swish"), ("HardSigmoid", " 0=0.3 1=0.4", "HardSwish")]


@pytest.mark.parametrize(("gate", "text", "kind"), GATES)
@pytest.mark.parametrize("order", [("norm", "gate"), ("gate", "norm")])
@pytest.mark.parametrize("others", [[], ["Pooling"]])
def test_a_product_with_its_own_gate_is_one_activation(
    tmp_path: Path, others: list[str], order: tuple[str, str], gate: str, text: str, kind: str
) -> None:
    """Whether others read the blob too, through a Split that must stay then, or not."""
    norm = plain("LRN", "norm", "in0")  # what no activation can become part of
    product = [plain(gate, "gate", "norm", text=text), plain("BinaryOp", "product", *order, text=" 0=2")]
    more = [plain(other, "other", "norm", text=" 0=1 4=1") for other in others]
    model = model_of(norm, *product, conv(np.random.default_rng(1), bottom="product"), *more)
    fused = fuse(model).model
    splits = ["Split"] if others else []
    assert [layer.type for layer in fused.layers] == ["Input", "LRN", *splits, kind, "Convolution", *others]
    check_outputs(model, fused, tmp_path, {"in0": image()})


@pytest.mark.parametrize(("gate", "text", "kind"), GATES)
def test_a_gate_without_a_split_and_one_before_a_convolution(tmp_path: Path, gate: str, text: str, kind: str) -> None:
    rng = np.random.default_rng(1)
    layers = [
        conv(rng),
        plain(gate, "gate", "conv", text=text),
        plain("BinaryOp", "product", "conv", "gate", text=" 0=2"),
    ]
    unsplit = Model([*model_of().layers, *layers])
    fused = fuse(unsplit).model
    expected = ["Input", "Convolution"] + (
        ["Swish"] if kind == "Swish" else []
    )  # a HardSwish is the convolution's own then
    assert [layer.type for layer in fused.layers] == expected
    check_outputs(unsplit, fused, tmp_path, {"in0": image()})


@pytest.mark.parametrize("order", [("conv", "other"), ("gate", "gate"), ("other", "gate")])
@pytest.mark.parametrize("op", [0, 2])
def test_gates_of_something_else_stay(op: int, order: tuple[str, str]) -> None:
    rng = np.random.default_rng(1)
    layers = [
        conv(rng),
        conv(rng, name="other"),
        plain("Sigmoid", "gate", "conv"),
        plain("Pooling", "pool", "gate", text=" 0=1 4=1"),
    ]
    fused = fuse(
        model_of(
            *layers, plain("BinaryOp", "out", *order, text=f" 0={op}"), plain("Pooling", "p", "conv", text=" 0=1 4=1")
        )
    )
    assert fused.changes == {}


@pytest.mark.parametrize("own", ["", " 4=1", " 4=0 15=1 14=2 16=0"])
@pytest.mark.parametrize("pads", [" 0=1 1=1 2=1 3=1", " 0=0 1=1 2=0 3=1", " 0=1 1=2 2=3 3=4", " 2=1"])
@pytest.mark.parametrize("group", [0, 3])
def test_padding_becomes_the_border_of_a_convolution(tmp_path: Path, pads: str, own: str, group: int) -> None:
    rng = np.random.default_rng(1)
    model = model_of(
        plain("Padding", "pad", "in0", text=pads),
        convolution(rng, "conv", "pad", 3, 9, 3, group=group, text=f" 3=2{own}"),
    )
    fused = fuse(model)
    assert [layer.type for layer in fused.model.layers] == ["Input", model.layers[2].type]
    assert fused.reweighted == []
    check_outputs(model, fused.model, tmp_path, {"in0": image()})
    table = absmax_table(model, run_model(model, tmp_path, {"in0": image()}))
    int8 = [
        run_model(quantize(one, table), tmp_path, {"in0": image()}, ["conv"])["conv"] for one in (model, fused.model)
    ]
    np.testing.assert_array_equal(int8[1], int8[0])


def test_layers_that_copy_are_removed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model = model_of(
        conv(rng, ""),
        plain("Dropout", "drop", "conv"),
        plain("Noop", "noop", "drop"),
        Layer("Split", "copy", ["noop"], ["copied"]),
        plain("Padding", "nothing", "copied"),
        plain("ReLU", "relu", "nothing"),
        plain("Noop", "last", "relu"),
    )
    fused = fuse(model)
    assert [layer.name for layer in fused.model.layers] == ["in0", "conv"]
    assert list(fused.changes) == ["drop", "noop", "copy", "nothing", "relu", "last"]
    assert fused.reweighted == []
    check_outputs(model, fused.model, tmp_path, {"in0": image()})


@pytest.mark.parametrize("order", ["BatchNorm, Scale", "Scale, BatchNorm", "Scale, Scale", "BatchNorm, BatchNorm"])
def test_what_follows_no_weights_becomes_one_scale(tmp_path: Path, order: str) -> None:
    rng = np.random.default_rng(1)
    kinds = {
        "BatchNorm": bn,
        "Scale": lambda rng, name, bottom, count: scale(name, bottom, numbers(rng, count), numbers(rng, count)),
    }
    first, second = order.split(", ")
    layers = [
        kinds[first](rng, "a", "in0", 3),
        kinds[second](rng, "b", "a", 3),
        plain("ReLU", "r", "b"),
        conv(rng, bottom="r"),
    ]
    model = model_of(*layers)
    fused = fuse(model)
    assert [(layer.type, layer.name) for layer in fused.model.layers[1:]] == [
        ("Scale", "a"),
        ("ReLU", "r"),
        ("Convolution", "conv"),
    ]
    check_outputs(model, fused.model, tmp_path, {"in0": image()})


MUST_STAY: dict[str, Build] = {
    "two readers": lambda rng: [conv(rng), bn(rng, "a", "conv", 8), plain("Sigmoid", "b", "conv")],
    "two readers, without a Split": lambda rng: [conv(rng), plain("BinaryOp", "twice", "conv", "conv", text=" 0=0")],
    "the blob is an output too": lambda rng: [
        conv(rng),
        Layer("Split", "s", ["conv"], ["out", "c"]),
        plain("ReLU", "a", "c"),
    ],
    "an activation between": lambda rng: [conv(rng, " 9=1"), bn(rng, "a", "conv", 8)],
    "a second activation": lambda rng: [conv(rng, " 9=2 -23310=1,0.1"), plain("Clip", "a", "conv", text=" 0=-1 1=1")],
    "no activation of ncnn's layers": lambda rng: [conv(rng), plain("TanH", "a", "conv")],
    "Swish": lambda rng: [conv(rng), plain("Swish", "a", "conv")],
    "a slope for each channel": lambda rng: [
        conv(rng),
        Layer("PReLU", "a", ["conv"], ["a"], Params(" 0=8"), {"slope_data": Weight.raw("slope_data", numbers(rng, 8))}),
    ],
    "a HardSwish without slope": lambda rng: [conv(rng), plain("HardSwish", "a", "conv", text=" 0=0.0 1=0.5")],
    "padding with a number": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1 5=1.5"),
        conv(rng, "", bottom="a"),
    ],
    "padding with copies": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1 4=1"),
        conv(rng, "", bottom="a"),
    ],
    "padding by reflection": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1 4=2"),
        conv(rng, "", bottom="a"),
    ],
    "padding of channels": lambda rng: [
        plain("Padding", "a", "in0", text=" 7=1"),
        convolution(rng, "conv", "a", 4, 8, 3),
    ],
    "a convolution that pads with a number": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1"),
        conv(rng, " 4=1 18=1.5", bottom="a"),
    ],
    "a convolution that pads as much as it needs": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1"),
        conv(rng, " 4=-233", bottom="a"),
    ],
    "padding before pooling": lambda _: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1"),
        plain("Pooling", "p", "a", text=" 1=3"),
    ],
    "padding that is read twice": lambda rng: [
        plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1"),
        conv(rng, "", bottom="a"),
        conv(rng, "", name="other", bottom="a"),
    ],
    "BatchNorm of a matrix, by its rows": lambda rng: [
        plain("Reshape", "flat", "in0", text=" 0=54 1=8"),
        inner_product(rng, "conv", "flat", 54, 8),
        bn(rng, "a", "conv", 8),
    ],
    "Bias of a vector, one for all": lambda rng: fully(rng, bias(rng, "a", "conv", 8)),
    "a constant of another shape": lambda rng: [
        memory("m", numbers(rng, 144), " 0=12 1=12"),
        conv(rng),
        plain("BinaryOp", "a", "conv", "m", text=" 0=0"),
    ],
    "a constant that adds dimensions": lambda rng: fully(
        rng, memory("m", numbers(rng, 8), " 0=1 1=1 2=8"), plain("BinaryOp", "a", "conv", "m", text=" 0=0")
    ),
    "a constant that is read twice": lambda rng: [
        memory("m", numbers(rng, 8)),
        conv(rng),
        conv(rng, name="other"),
        plain("BinaryOp", "a", "conv", "m", text=" 0=0"),
        plain("BinaryOp", "b", "other", "m", text=" 0=0"),
    ],
    "a maximum": lambda rng: [
        memory("m", numbers(rng, 8)),
        conv(rng),
        plain("BinaryOp", "a", "conv", "m", text=" 0=4"),
    ],
    "the sum of two convolutions": lambda rng: [
        conv(rng),
        conv(rng, name="other"),
        plain("BinaryOp", "a", "conv", "other", text=" 0=0"),
    ],
    "weights from a blob": lambda rng: [
        memory("w", rng.normal(0, 1, 72), " 0=3 1=3 2=8"),
        Layer("Convolution", "conv", ["in0", "w"], ["conv"], Params(" 0=8 1=3 2=1 3=1 4=0 5=0 6=72 19=1")),
        bn(rng, "a", "conv", 8),
        plain("ReLU", "b", "a"),
    ],
    "a copy of an input": lambda _: [plain("Noop", "a", "in0"), plain("Sigmoid", "b", "a")],
    "a Noop with two blobs": lambda rng: [
        conv(rng),
        conv(rng, name="other"),
        Layer("Noop", "a", ["conv", "other"], ["x", "y"]),
        plain("BinaryOp", "b", "x", "y", text=" 0=0"),
    ],
    "one BatchNorm alone": lambda rng: [bn(rng, "a", "in0", 3), conv(rng, bottom="a")],
}


@pytest.mark.parametrize("case", MUST_STAY)
def test_what_must_stay(case: str) -> None:
    model = model_of(*MUST_STAY[case](np.random.default_rng(1)))
    fused = fuse(model)
    assert (fused.model, fused.changes, fused.reweighted) == (model, {}, []), "the very model that was given"


def test_a_blob_that_two_layers_read_without_a_split_stays() -> None:
    rng = np.random.default_rng(1)
    first = Layer("Input", "in0", [], ["in0"], Params(" 0=12 1=12 2=3"))
    model = Model([first, conv(rng), bn(rng, "a", "conv", 8), plain("ReLU", "b", "conv")])
    assert fuse(model).model is model
    model = Model(
        [first, plain("Padding", "a", "in0", text=" 0=1"), conv(rng, bottom="a"), conv(rng, name="other", bottom="a")]
    )
    assert fuse(model).model is model
    model = Model(
        [
            first,
            conv(rng),
            memory("m", numbers(rng, 8)),
            plain("BinaryOp", "a", "conv", "m", text=" 0=0"),
            plain("ReLU", "b", "m"),
        ]
    )
    assert fuse(model).model is model


def test_a_layer_of_another_number_of_channels_stays() -> None:
    rng = np.random.default_rng(1)
    for layers in (
        [bn(rng, "a", "conv", 4)],
        [memory("m", numbers(rng, 4)), plain("BinaryOp", "a", "conv", "m", text=" 0=0")],
    ):
        model = model_of(conv(rng), *layers)
        assert fuse(model).model is model
    model = model_of(bn(rng, "a", "in0", 3), scale("b", "a", numbers(rng, 1)))
    assert fuse(model).model is model


def test_borders_add_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pads = [
        plain("Padding", "a", "in0", text=" 0=1 3=2"),
        plain("Noop", "b", "a"),
        plain("Padding", "c", "b", text=" 0=1 1=1 2=1"),
    ]
    model = model_of(*pads, conv(rng, bottom="c"))
    fused = fuse(model)
    assert list(fused.changes) == ["a", "b", "c"]
    check_outputs(model, fused.model, tmp_path, {"in0": image()})


def test_weights_never_become_infinite() -> None:
    rng = np.random.default_rng(1)
    model = model_of(conv(rng), scale("a", "conv", np.full(8, 1e30)), scale("b", "a", np.full(8, 1e30)))
    assert list(fuse(model).changes) == ["a"]
    model = model_of(scale("a", "in0", np.full(3, 1e30)), scale("b", "a", np.full(3, 1e30)))
    assert fuse(model).changes == {}


def test_the_1x1_convolution_of_what_may_be_a_vector_keeps_its_padding() -> None:
    """ncnn computes an InnerProduct there and does not pad."""
    rng = np.random.default_rng(1)
    padding = plain("Padding", "a", "in0", text=" 0=1 1=1 2=1 3=1")
    unknown = Model([Layer("Input", "in0", [], ["in0"]), padding, convolution(rng, "conv", "a", 3, 8)])
    assert fuse(unknown).changes == {}
    assert list(fuse(model_of(padding, convolution(rng, "conv", "a", 3, 8))).changes) == ["a"]


def test_a_negative_variance_is_an_error() -> None:
    rng = np.random.default_rng(1)
    model = model_of(
        conv(rng), batch_norm("norm", "conv", np.ones(8), np.zeros(8), np.array([1.0, -0.5] + [1.0] * 6), np.zeros(8))
    )
    with pytest.raises(
        ModelError, match=r"'norm' \(BatchNorm\): variance -0.5 \+ eps 0.000976562 of channel 1 is negative"
    ):
        fuse(model)


def test_no_variance_and_no_eps_is_what_ncnn_makes_of_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    variance = np.array([0.0, 1.0] * 4)
    model = model_of(
        conv(rng), batch_norm("norm", "conv", numbers(rng, 8), numbers(rng, 8), variance, numbers(rng, 8), eps=0.0)
    )
    check_outputs(model, fuse(model).model, tmp_path, {"in0": image()})


def test_an_int8_model_is_an_error(shared: Path) -> None:
    folder = shared / "golden/chain"
    with pytest.raises(ModelError, match="is int8 already"):
        fuse(load_model(folder / "kl.int8.param", folder / "kl.int8.bin"))


def test_weights_that_are_not_finite_are_an_error() -> None:
    rng = np.random.default_rng(1)
    model = model_of(conv(rng), scale("norm", "conv", np.array([np.nan] * 8)))
    with pytest.raises(ModelError, match=r"'norm' .*not finite"):
        fuse(model)


def test_real_models_have_nothing_to_fuse(shared: Path) -> None:
    params = [
        *shared.glob("models/*.param"),
        *(path for path in shared.glob("golden/*/model.param") if path.parent.name != "chain"),
    ]
    assert len(params) == 15
    for param in params:
        model = load_model(param, param.with_suffix(".bin"))
        assert fuse(model).model is model, param


TWINS = [
    "golden/chain/model",
    "golden/residual/model",
    "golden/twoin/model",
    "golden/unet/model",
    "models/resnet18_cifar10.ncnn",
]


def golden_inputs(path: Path) -> dict[str, Array]:
    if path.parent.name == "models":
        return {"in0": image((3, 32, 32))}
    return {file.stem.split("_")[1]: np.load(file) for file in sorted((path.parent / "inputs").glob("0_*.npy"))}


@pytest.mark.parametrize("name", TWINS)
def test_an_unfused_twin_computes_the_same_when_it_is_fused(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / name
    model = load_model(path.with_name(f"{path.name}.param"), path.with_name(f"{path.name}.bin"))
    reference = fuse(model).model  # chain has a HardSwish to fuse
    twin = unfused(model, np.random.default_rng(5))
    fused = fuse(twin).model
    assert len(twin.layers) > 2 * len(model.layers) / 1.2
    assert [(layer.type, layer.name) for layer in fused.layers] == [
        (layer.type, layer.name) for layer in reference.layers
    ]
    assert [layer.tops for layer in fused.layers] == [layer.tops for layer in reference.layers]
    x = golden_inputs(path)
    assert_same(run_model(fused, tmp_path, x, model.outputs), run_model(twin, tmp_path, x, model.outputs))
    assert_same(run_model(fused, tmp_path, x, model.outputs), run_ncnn(*model.files[:2], x, model.outputs))


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_of_powers_of_two_comes_back_to_the_bit(shared: Path, name: str) -> None:
    """So its int8 model is that of the fused one."""
    path = shared / name
    model = load_model(path.with_name(f"{path.name}.param"), path.with_name(f"{path.name}.bin"))
    fused = fuse(unfused(model, np.random.default_rng(5), exact=True)).model
    for layer in fuse(model).model.layers:
        for key, weight in layer.weights.items():
            np.testing.assert_array_equal(fused.layer(layer.name).weights[key].float32(), weight.float32())


@st.composite
def graphs(draw: st.DrawFn) -> Model:
    """Layers of all kinds in a row or side by side, blobs that are read several times or not at all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes: dict[str, tuple[int, ...]] = {"in0": (3, 9, 9)}
    layers: list[Layer] = []
    kinds = [
        "conv",
        "depthwise",
        "deconv",
        "dense",
        "pool",
        "bn",
        "bn",
        "scale",
        "bias",
        "constant",
        "act",
        "act",
        "pad",
        "copy",
        "add",
    ]
    for index in range(draw(st.integers(3, 12))):
        kind, name = draw(st.sampled_from(kinds)), f"l{index}"
        recent = list(shapes)[-1 if draw(st.integers(0, 4)) else -4 :]  # mostly the last one
        bottom = draw(st.sampled_from(recent))
        shape = shapes[bottom]
        c, flat = shape[0], len(shape) == 1
        if kind in ("conv", "depthwise", "deconv") and not flat and shape[1] >= 3:
            kernel, pad = draw(st.sampled_from([(1, 0), (3, 1), (3, 0)]))
            outputs = c if kind == "depthwise" else draw(st.sampled_from([3, 8]))
            activation = draw(st.sampled_from(["", "", "", " 9=1"]))
            layer = convolution(
                rng,
                name,
                bottom,
                c,
                outputs,
                kernel,
                group=c if kind == "depthwise" else 0,
                text=f" 4={pad}{activation}",
            )
            grown = 2 * pad - kernel + 1
            if kind == "deconv":
                layer.type, grown = "Deconvolution", -grown
            layers.append(layer)
            shapes[name] = (outputs, shape[1] + grown, shape[2] + grown)
        elif kind == "dense":
            layers.append(inner_product(rng, name, bottom, int(np.prod(shape)), 5))
            shapes[name] = (5,)
        elif kind == "pool" and not flat:
            layers.append(plain("Pooling", name, bottom, text=" 0=1 4=1"))
            shapes[name] = (c,)
        elif kind in ("bn", "scale", "bias"):
            offsets = numbers(rng, c) if draw(st.booleans()) else None
            built = (
                scale(name, bottom, numbers(rng, c), offsets)
                if kind == "scale"
                else (bn if kind == "bn" else bias)(rng, name, bottom, c)
            )
            layers.append(built)
            shapes[name] = shape
        elif kind == "constant":
            keys = "" if flat or draw(st.booleans()) else f" 0=1 1=1 2={c}"
            data = memory(f"{name}_m", numbers(rng, c), keys)
            ends = [bottom, data.name] if draw(st.booleans()) else [data.name, bottom]
            layers += [data, plain("BinaryOp", name, *ends, text=f" 0={draw(st.sampled_from([0, 2]))}")]
            shapes[name] = shape
        elif kind == "act":
            names = [
                ("ReLU", ""),
                ("ReLU", " 0=0.2"),
                ("Clip", " 0=-1.0 1=1.5"),
                ("Sigmoid", ""),
                ("Mish", ""),
                ("HardSwish", ""),
                ("TanH", ""),
            ]
            layer_type, text = draw(st.sampled_from(names))
            layers.append(plain(layer_type, name, bottom, text=text))
            shapes[name] = shape
        elif kind == "pad" and not flat:
            pads = [draw(st.integers(0, 2)) for _ in range(4)]
            text = "".join(f" {key}={size}" for key, size in enumerate(pads)) + draw(
                st.sampled_from(["", "", " 5=0.5", " 4=1"])
            )
            layers.append(plain("Padding", name, bottom, text=text))
            shapes[name] = (c, shape[1] + pads[0] + pads[1], shape[2] + pads[2] + pads[3])
        elif kind == "copy":
            layer_type, text = draw(
                st.sampled_from([("Noop", ""), ("Dropout", ""), ("Dropout", " 0=0.5"), ("Split", "")])
            )
            layers.append(plain(layer_type, name, bottom, text=text))
            shapes[name] = shape
        elif kind == "add":
            same = [other for other in shapes if shapes[other] == shape and other != bottom]
            if same:
                layers.append(plain("BinaryOp", name, bottom, draw(st.sampled_from(same)), text=" 0=0"))
                shapes[name] = shape
    return model_of(*layers, shape=shapes["in0"])


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_random_graphs_keep_their_outputs(model: Model) -> None:
    before = (model.param_text(), model.bin_bytes())
    fused = fuse(model)
    assert (model.param_text(), model.bin_bytes()) == before
    assert set(fused.changes) == {layer.name for layer in model.layers} - {layer.name for layer in fused.model.layers}
    assert fuse(fused.model).changes == {}, "there is nothing left to fuse"
    left = [(layer.name, layer.type) for layer in model.layers if layer.name not in fused.changes]
    assert [
        (layer.name, "Scale" if layer.type == "Scale" else kind)
        for layer, (_, kind) in zip(fused.model.layers, left, strict=True)
    ] == [(layer.name, layer.type) for layer in fused.model.layers]
    if fused.changes:
        with tempfile.TemporaryDirectory() as folder:
            check_outputs(model, fused.model, Path(folder), {"in0": image((3, 9, 9))})
    else:
        assert fused.model is model
