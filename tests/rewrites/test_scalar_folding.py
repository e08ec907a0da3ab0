"""Scalars folded into weights and Scale layers: the same float outputs, by stock ncnn, from fewer layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from channels import assert_stored
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import calibrate, collect, load_model, quantize
from pyncnnq.errors import ModelError
from pyncnnq.inputs import InputOptions, Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Layer, Model, Params
from pyncnnq.rewrites.scalar_folding import fold_scalars

ADD, SUB, MUL, DIV, MAX, POW, RSUB, RDIV = 0, 1, 2, 3, 4, 6, 7, 8
Build = Callable[[np.random.Generator], list[Layer]]


def scalar(op: int, number: float, name: str, bottom: str, text: str = "") -> Layer:
    return plain("BinaryOp", name, bottom, text=f" 0={op} 1=1 2={number}{text}")


def image(seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (3, 12, 12)).astype(np.float32)


def check_outputs(model: Model, folded: Model, folder: Path) -> None:
    """All blobs that are left have their values, outputs their names, and the new model is read as it was written."""
    assert folded.outputs == model.outputs
    x = {"in0": image()}
    expected, found = (run_model(one, folder, x) for one in (model, folded))
    again = load_model(folder / "model.param", folder / "model.bin")
    assert (again.param_text(), again.bin_bytes()) == (folded.param_text(), folded.bin_bytes())
    assert_stored(found, expected, {})


def first(rng: np.random.Generator, text: str = "") -> Layer:
    return convolution(rng, "first", "in0", 3, 8, 3, text=f" 4=1{text}")


def without_bias(layer: Layer) -> Layer:
    layer.params.remove(1 if layer.type == "InnerProduct" else 5)
    del layer.weights["bias_data"]
    return layer


INTO_WEIGHTS: dict[str, Build] = {
    "add": lambda rng: [first(rng), scalar(ADD, 1.5, "a", "first")],
    "subtract": lambda rng: [first(rng), scalar(SUB, 1.5, "a", "first")],
    "multiply": lambda rng: [first(rng), scalar(MUL, -2.5, "a", "first")],
    "multiply by an int": lambda rng: [first(rng), scalar(MUL, 3, "a", "first")],
    "divide": lambda rng: [first(rng), scalar(DIV, 0.3, "a", "first")],
    "subtract from": lambda rng: [first(rng), scalar(RSUB, 1.5, "a", "first")],
    "multiply, then add": lambda rng: [first(rng), scalar(MUL, 3.0, "a", "first"), scalar(ADD, 0.7, "b", "a")],
    "add, then multiply": lambda rng: [first(rng), scalar(ADD, 0.7, "a", "first"), scalar(MUL, 3.0, "b", "a")],
    "all": lambda rng: [
        first(rng),
        scalar(RSUB, 0.5, "a", "first"),
        scalar(MUL, 3.0, "b", "a"),
        scalar(SUB, -0.7, "c", "b"),
        scalar(DIV, 4.0, "d", "c"),
        scalar(ADD, 0.1, "e", "d"),
        scalar(RSUB, 0.2, "f", "e"),
    ],
    "no bias": lambda rng: [without_bias(first(rng)), scalar(MUL, 3.0, "a", "first"), scalar(ADD, 0.7, "b", "a")],
    "depthwise": lambda rng: [
        convolution(rng, "first", "in0", 3, 3, 3, group=3),
        scalar(MUL, 3.0, "a", "first"),
        scalar(ADD, 0.7, "b", "a"),
    ],
    "inner product": lambda rng: [
        plain("Flatten", "flat", "in0"),
        without_bias(inner_product(rng, "first", "flat", 432, 8)),
        scalar(MUL, 3.0, "a", "first"),
        scalar(ADD, 0.7, "b", "a"),
    ],
    "read twice afterwards": lambda rng: [
        first(rng),
        scalar(MUL, 3.0, "a", "first"),
        plain("HardSwish", "x", "a", text=" 0=0.2 1=0.5"),
        plain("Sigmoid", "y", "a"),
    ],
    "before an activation": lambda rng: [first(rng), scalar(MUL, 3.0, "a", "first"), plain("ReLU", "relu", "a")],
}


@pytest.mark.parametrize("case", INTO_WEIGHTS)
def test_behind_a_linear_layer_they_go_into_its_weights(tmp_path: Path, case: str) -> None:
    model = model_of(*INTO_WEIGHTS[case](np.random.default_rng(1)))
    before = (model.param_text(), model.bin_bytes())
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert (model.param_text(), model.bin_bytes()) == before
    assert removed == [layer.name for layer in model.layers if layer.type == "BinaryOp"]
    assert [layer.name for layer in folded.layers] == [
        layer.name for layer in model.layers if layer.name not in removed
    ]
    check_outputs(model, folded, tmp_path)


INTO_A_SCALE: dict[str, tuple[Callable[[], list[Layer]], list[str]]] = {
    "one": (lambda: [scalar(MUL, 0.3, "a", "swish")], []),
    "multiply, then add": (lambda: [scalar(MUL, 0.3, "x", "swish"), scalar(ADD, 0.7, "a", "x")], ["x"]),
    "add, then multiply": (lambda: [scalar(ADD, 0.7, "x", "swish"), scalar(MUL, 0.3, "a", "x")], ["x"]),
    "three": (
        lambda: [scalar(RSUB, 0.7, "x", "swish"), scalar(DIV, 3.0, "y", "x"), scalar(SUB, 0.2, "a", "y", " 31=2")],
        ["x", "y"],
    ),
    "behind a Split": (
        lambda: [plain("Sigmoid", "other", "swish"), scalar(MUL, 0.3, "x", "swish"), scalar(ADD, 0.7, "a", "x")],
        ["x"],
    ),
    "before other layers, one of them a convolution": (
        lambda: [scalar(MUL, 0.3, "x", "swish"), scalar(ADD, 0.7, "a", "x"), plain("Sigmoid", "other", "a")],
        ["x"],
    ),
}


@pytest.mark.parametrize("reader", ["Convolution", "ConvolutionDepthWise"])
@pytest.mark.parametrize("case", INTO_A_SCALE)
def test_elsewhere_before_convolutions_they_become_one_scale(tmp_path: Path, case: str, reader: str) -> None:
    build, gone = INTO_A_SCALE[case]
    rng = np.random.default_rng(2)
    out = convolution(rng, "out", "a", 8, 8, 3, group=4 if reader == "ConvolutionDepthWise" else 0, text=" 4=1")
    model = model_of(first(rng), plain("HardSwish", "swish", "first", text=" 0=0.2 1=0.5"), *build(), out)
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert removed == gone
    assert [layer.name for layer in folded.layers if layer.type == "Scale"] == ["a"]
    assert not [layer for layer in folded.layers if layer.type == "BinaryOp"]
    scale = folded.layer("a")
    assert [len(set(weight.data.tolist())) for weight in scale.weights.values()] == [1, 1]
    assert [weight.data.size for weight in scale.weights.values()] == [8, 8], "a factor and a bias for each channel"
    assert scale.params.get_int(31, 0) == model.layer("a").params.get_int(31, 0)
    check_outputs(model, folded, tmp_path)


LEFT: dict[str, Build] = {
    "activation": lambda rng: [first(rng, " 9=1"), scalar(MUL, 3.0, "a", "first")],
    "not affine": lambda rng: [
        first(rng),
        scalar(MAX, 0.3, "a", "first"),
        scalar(POW, 2.0, "b", "a"),
        scalar(RDIV, 2.0, "c", "b"),
        convolution(rng, "out", "c", 8, 8),
    ],
    "two blobs": lambda rng: [
        first(rng),
        convolution(rng, "second", "in0", 3, 8, 3, text=" 4=1"),
        plain("BinaryOp", "a", "first", "second", text=" 0=0"),
        convolution(rng, "out", "a", 8, 8),
    ],
    "a blob that something else reads": lambda rng: [
        first(rng),
        scalar(MUL, 3.0, "a", "first"),
        plain("Sigmoid", "other", "first"),
    ],
    "no convolution reads it": lambda rng: [
        first(rng),
        plain("Sigmoid", "sigmoid", "first"),
        scalar(MUL, 3.0, "a", "sigmoid"),
    ],
    "a vector": lambda rng: [
        plain("Pooling", "pool", "in0", text=" 0=1 4=1"),
        scalar(MUL, 3.0, "a", "pool"),
        convolution(rng, "out", "a", 3, 8),
    ],
    "elements, but not channels, known": lambda rng: [
        scalar(MUL, 3.0, "a", "in0"),
        inner_product(rng, "out", "a", 432, 8),
    ],
}


@pytest.mark.parametrize("case", LEFT)
def test_the_others_stay(case: str) -> None:
    model = model_of(*LEFT[case](np.random.default_rng(1)))
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert removed == []
    assert (folded.param_text(), folded.bin_bytes()) == (model.param_text(), model.bin_bytes())


def test_a_chain_ends_at_a_blob_that_is_read_twice() -> None:
    rng = np.random.default_rng(4)
    model = model_of(
        first(rng), scalar(MUL, 3.0, "a", "first"), scalar(ADD, 0.7, "b", "a"), convolution(rng, "out", "b", 8, 8)
    )
    model.layers[-2:-2] = [
        Layer("Sigmoid", "other", ["a"], ["other"])
    ]  # without a Split, as files made by hand have it
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert removed == ["a"]
    assert folded.layer("b").type == "Scale"
    assert folded.layer("b").bottoms == ["a"]


def test_unknown_dimensions_are_not_guessed(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for shape, kind in (((), "BinaryOp"), ((3, 12, 12), "Scale")):
        model = model_of(scalar(MUL, 3.0, "a", "in0"), convolution(rng, "out", "a", 3, 8), shape=shape)
        rewritten = fold_scalars(model)
        folded, removed = rewritten.model, list(rewritten.changed)
        assert removed == []
        assert folded.layer("a").type == kind
        check_outputs(model, folded, tmp_path)


@pytest.mark.parametrize("number", ["0.0", "1e-44"])
def test_division_beyond_float32_stays(number: str) -> None:
    model = model_of(first(np.random.default_rng(6)))
    model.layers.append(Layer("BinaryOp", "a", ["first"], ["a"], Params(f" 0={DIV} 1=1 2={number}")))
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert removed == []
    assert folded.param_text() == model.param_text()


def test_an_int8_model_is_refused(tmp_path: Path) -> None:
    model = model_of(first(np.random.default_rng(7)), scalar(MUL, 3.0, "a", "first"))
    int8 = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": image()})))
    with pytest.raises(ModelError, match="int8 already"):
        fold_scalars(int8)


def test_a_real_model_loses_layers_and_nothing_else(shared: Path, tmp_path: Path) -> None:
    """PP-OCR has a multiplication and an addition behind nearly every convolution and activation."""
    name = "PP_OCRv5_mobile_det.ncnn"
    inputs = json.loads((shared / "models/models.json").read_text())[name]["inputs"]["in0"]
    preprocessing = Preprocessing(
        (640, 640), tuple(inputs["mean"]), tuple(inputs["norm"]), inputs["pixel"], Resize("stretch")
    )
    options = InputOptions(
        None, preprocessing.size, preprocessing.mean, preprocessing.norm, preprocessing.pixel, preprocessing.resize
    )
    model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
    rewritten = fold_scalars(model)
    folded, removed = rewritten.model, list(rewritten.changed)
    assert (len(model.layers), len(folded.layers), len(removed)) == (277, 197, 80)
    photographs = sorted((shared / "data/imagenet/eval").iterdir())
    # On most others there is no text, and next to no output.
    images = [np.array(load_image(photographs[index], preprocessing)) for index in (60, 200, 220, 260)]
    expected = outputs_of(model, tmp_path, images)
    assert sqnr(expected[:2], outputs_of(folded, tmp_path, images[:2])) >= 90
    decibels = []
    for one in (model, folded):
        one.save(tmp_path / "float.param", tmp_path / "float.bin")
        saved = load_model(tmp_path / "float.param", tmp_path / "float.bin")
        statistics = collect(saved, shared / "data/imagenet/calib", options=options, samples=8)
        int8 = quantize(saved, calibrate(saved, statistics, method="mse", weight_bits="proven").table)
        decibels.append(sqnr(expected, outputs_of(int8, tmp_path, images)))
    assert decibels[1] > decibels[0] - 1, decibels


def outputs_of(model: Model, folder: Path, images: list[Array]) -> Array:
    return np.stack([run_model(model, folder, {"in0": image}, ["out0"])["out0"] for image in images])
