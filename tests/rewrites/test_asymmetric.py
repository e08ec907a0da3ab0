"""Linear blobs that are not symmetric, stored shifted for convolutions that pad: small models, folded, quantized, run
by stock ncnn.

As in test_zero_point.py, inputs and weights are exact in int8: all noise is that of the blob between the layers, and
float models before and after folding have the same outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from channels import assert_stored
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr
from test_zero_point import exact, image, thirds, without_bias

from pyncnnq import Table, calibrate, collect, load_model, quantize
from pyncnnq.errors import ModelError, TableError
from pyncnnq.inputs import InputOptions, Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.asymmetric import fold_asymmetric
from pyncnnq.rewrites.scalar_folding import fold_scalars

Build = Callable[[np.random.Generator], list[Layer]]
PADS = " 4=1"


def offset(layer: Layer, number: float) -> Layer:
    layer.weights["bias_data"] = Weight.raw("bias_data", np.full(layer.params.get_int(0, 0), number))
    return layer


def first(rng: np.random.Generator, number: float = 20.0, outputs: int = 16, text: str = "") -> Layer:
    """A convolution of the input, whose outputs have a deviation of about 2.5 around this number."""
    return offset(convolution(rng, "first", "in0", 3, outputs, 3, text=text), number)


def scale(name: str, bottom: str, number: float) -> Layer:
    weights = {
        key: Weight.raw(key, values)
        for key, values in (("scale_data", np.full(16, 0.5)), ("bias_data", np.full(16, number)))
    }
    return Layer("Scale", name, [bottom], [name], Params(" 0=16 1=1"), weights)


def scale_without_bias(name: str, bottom: str) -> Layer:
    layer = scale(name, bottom, 0.0)
    del layer.weights["bias_data"]
    layer.params.remove(1)
    return layer


def prepared(layers: list[Layer], folder: Path, x: Array) -> tuple[Model, Table, dict[str, tuple[float, float]]]:
    """The model with weights that are exact in int8, its table, and the ranges of all blobs."""
    model = model_of(*layers)
    exact(Model(layer for layer in model.layers if layer.type != "Scale"))
    blobs = run_model(model, folder, {"in0": x})
    return (
        model,
        absmax_table(model, blobs),
        {name: (float(blob.min()), float(blob.max())) for name, blob in blobs.items()},
    )


FOLDABLE: dict[str, tuple[Build, list[str]]] = {
    "positive": (lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=PADS)], ["first"]),
    "negative": (lambda rng: [first(rng, -20.0), convolution(rng, "out", "first", 16, 8, 3, text=PADS)], ["first"]),
    "of both signs": (lambda rng: [first(rng, 6.0), convolution(rng, "out", "first", 16, 8, 3, text=PADS)], ["first"]),
    "few channels": (
        lambda rng: [first(rng, outputs=3), convolution(rng, "out", "first", 3, 5, 3, text=PADS)],
        ["first"],
    ),
    "depthwise": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 16, 3, group=16, text=PADS)],
        ["first"],
    ),
    "depthwise, negative": (
        lambda rng: [first(rng, -20.0), convolution(rng, "out", "first", 16, 16, 3, group=16, text=PADS)],
        ["first"],
    ),
    "groups": (lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, group=2, text=PADS)], ["first"]),
    "padding below only": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 16=2")],
        ["first"],
    ),
    "same padding": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 3=2 4=-233")],
        ["first"],
    ),
    "reader without bias": (
        lambda rng: [first(rng), without_bias(convolution(rng, "out", "first", 16, 8, 3, text=PADS))],
        ["first"],
    ),
    "reader with activation": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=f"{PADS} 9=1")],
        ["first"],
    ),
    "Scale": (
        lambda rng: [
            first(rng, 0.0, text=" 9=1"),
            scale("scaled", "first", -0.5),
            convolution(rng, "out", "scaled", 16, 8, 3, text=PADS),
        ],
        ["scaled"],
    ),
    "Scale without bias": (
        lambda rng: [
            first(rng, 0.0, text=" 9=1"),
            scale_without_bias("scaled", "first"),
            convolution(rng, "out", "scaled", 16, 16, 3, group=16, text=PADS),
        ],
        ["scaled"],
    ),
    "siblings": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 8, 3, text=PADS),
            convolution(rng, "b", "first", 16, 8),
        ],
        ["first", "first_0", "first_1"],
    ),
    "inner product beside it": (
        lambda rng: [
            first(rng, outputs=2),
            convolution(rng, "a", "first", 2, 8, 3, text=PADS),
            inner_product(rng, "b", "first", 200, 8),
        ],
        ["first", "first_0", "first_1"],
    ),
    "two in a row": (
        lambda rng: [
            first(rng),
            offset(convolution(rng, "second", "first", 16, 16, 3, text=PADS), 100.0),
            convolution(rng, "out", "second", 16, 8, 3, text=PADS),
        ],
        ["first", "second"],
    ),
}


@pytest.mark.parametrize("case", FOLDABLE)
def test_int8_gains_and_float_stays(tmp_path: Path, case: str) -> None:
    build, blobs = FOLDABLE[case]
    x = image(np.random.default_rng(1))
    model, table, ranges = prepared(build(np.random.default_rng(2)), tmp_path, x)
    before = (model.param_text(), model.bin_bytes(), table.text())
    rewritten = fold_asymmetric(model, table, ranges)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert (model.param_text(), model.bin_bytes(), table.text()) == before
    assert names == blobs
    outputs = model.outputs
    floats, shifted = run_model(model, tmp_path, {"in0": x}), run_model(folded, tmp_path, {"in0": x})
    assert_stored(shifted, floats, rewritten.storage)
    again = load_model(tmp_path / "model.param", tmp_path / "model.bin")
    assert (again.param_text(), again.bin_bytes()) == (folded.param_text(), folded.bin_bytes())
    for blob in outputs:
        np.testing.assert_allclose(
            shifted[blob], floats[blob], rtol=1e-4, atol=2e-5 * np.abs(floats[blob]).max(), err_msg=blob
        )
    for blob in blobs:
        low, high = shifted[blob].min(), shifted[blob].max()
        assert max(-low, high) < np.abs(floats[blob]).max() / 1.03
    readers = [
        layer
        for layer in folded.layers
        if set(layer.bottoms).intersection(blobs) and layer.type.startswith("Convolution")
    ]
    assert all(layer.params.get_float(18, 0.0) >= 0 for layer in readers)
    decibels = []
    for one, scales in ((model, table), (folded, adjusted)):
        found = run_model(quantize(one, scales), tmp_path, {"in0": x}, outputs)
        decibels.append(sqnr(*(np.concatenate([blobs[blob].ravel() for blob in outputs]) for blobs in (floats, found))))
    assert decibels[1] > decibels[0] + 2, decibels


NOT_FOLDABLE: dict[str, Build] = {
    "nothing pads": lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3)],
    "activation": lambda rng: [
        first(rng, text=" 9=2 -23310=1,0.1"),
        convolution(rng, "out", "first", 16, 8, 3, text=PADS),
    ],
    "another reader": lambda rng: [
        first(rng),
        convolution(rng, "out", "first", 16, 8, 3, text=PADS),
        plain("Sigmoid", "other", "first"),
    ],
    "an output too": lambda rng: [
        first(rng),
        Layer("Split", "split", ["first"], ["a", "b"]),
        convolution(rng, "out", "a", 16, 8, 3, text=PADS),
    ],
    "padding with a number": lambda rng: [
        first(rng),
        convolution(rng, "out", "first", 16, 8, 3, text=f"{PADS} 18=1.0"),
    ],
    "may not be int8": lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=f"{PADS} 31=8")],
}


@pytest.mark.parametrize("case", NOT_FOLDABLE)
def test_what_cannot_be_folded_or_need_not_stays(tmp_path: Path, case: str) -> None:
    model, table, ranges = prepared(
        NOT_FOLDABLE[case](np.random.default_rng(2)), tmp_path, image(np.random.default_rng(1))
    )
    rewritten = fold_asymmetric(model, table, ranges)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == []
    assert (folded.param_text(), folded.bin_bytes(), adjusted.text()) == (
        model.param_text(),
        model.bin_bytes(),
        table.text(),
    )


def two_layers(folder: Path) -> tuple[Model, Table, dict[str, tuple[float, float]]]:
    rng = np.random.default_rng(2)
    return prepared([first(rng), convolution(rng, "out", "first", 16, 8, 3, text=PADS)], folder, image(rng))


def test_layers_that_stay_in_float_and_unknown_ranges_prevent_it(tmp_path: Path) -> None:
    model, table, ranges = two_layers(tmp_path)
    assert list(fold_asymmetric(model, table, {}).changed) == []
    for key in ("out", "out_param_0"):
        del table[key]
    assert list(fold_asymmetric(model, table, ranges).changed) == []


def test_a_reader_that_stays_in_float_reads_it_shifted(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = image(rng)
    layers = [first(rng), *(convolution(rng, name, "first", 16, 8, 3, text=PADS) for name in "ab")]
    model, table, ranges = prepared(layers, tmp_path, x)
    del table["b"]
    model.layer("b").weights["weight_data"] = thirds(16 * 8 * 9)
    rewritten = fold_asymmetric(model, table, ranges)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == ["first", "first_0", "first_1"]
    expected, without, with_ = (
        run_model(one, tmp_path, {"in0": x}) for one in (model, quantize(model, table), quantize(folded, adjusted))
    )
    assert sqnr(expected["a"], with_["a"]) > sqnr(expected["a"], without["a"]) + 1
    assert (
        sqnr(without["b"], with_["b"]) > 80
    )  # 61 to 74 dB with a shift that fits the weights before they become float16


def test_ranges_that_are_nearly_symmetric_need_no_shift(tmp_path: Path) -> None:
    model, table, _ = two_layers(tmp_path)
    for low, high, names in ((-9.0, 9.5, []), (-8.0, 9.0, ["first"]), (-9.0, 8.0, ["first"]), (0.0, 0.0, [])):
        assert list(fold_asymmetric(model, table, {"first": (low, high)}).changed) == names


def test_siblings_with_other_scales_prevent_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    layers = [first(rng), convolution(rng, "a", "first", 16, 8, 3, text=PADS), convolution(rng, "b", "first", 16, 8)]
    model, table, ranges = prepared(layers, tmp_path, image(rng))
    assert list(fold_asymmetric(model, table, ranges).changed) == ["first", "first_0", "first_1"]
    table["b"] = table["b"] * 2
    assert list(fold_asymmetric(model, table, ranges).changed) == []


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_clipping_and_headroom_stay_in_proportion(tmp_path: Path, factor: float) -> None:
    """The table's threshold is half, or twice, the largest magnitude."""
    model, table, ranges = two_layers(tmp_path)
    table["out"] = table["out"] / factor
    threshold = 127 / float(table["out"][0])
    low, high = min(0.0, ranges["first"][0]), max(0.0, ranges["first"][1])
    rewritten = fold_asymmetric(model, table, ranges)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == ["first"]
    middle = folded.layer("out").params.get_float(18, 0.0)
    half = 127 / float(adjusted["out"][0])
    expected = (low, threshold) if factor < 1 else (low - (threshold - high) / 2, high + (threshold - high) / 2)
    step = half / 127
    assert (middle - half, middle + half) == (
        pytest.approx(expected[0], abs=step),
        pytest.approx(expected[1], abs=step),
    )
    assert middle / step == pytest.approx(round(middle / step), abs=1e-3), "the border is one of the int8 numbers"


def test_unfit_arguments(tmp_path: Path) -> None:
    model, table, ranges = two_layers(tmp_path)
    with pytest.raises(ModelError, match="int8 already"):
        fold_asymmetric(quantize(model, table), table, ranges)
    unsound = model.copy()
    unsound.layer("out").weights["bias_data"] = Weight.raw("bias_data", np.full(8, np.nan))
    with pytest.raises(ModelError, match="not finite"):
        fold_asymmetric(unsound, table, ranges)
    table["other"] = 1
    with pytest.raises(TableError, match="row other belongs to no layer"):
        fold_asymmetric(model, table, ranges)


def test_a_real_model_gains(shared: Path, tmp_path: Path) -> None:
    """PP-OCR: what a hard swish writes, times a number, goes into depthwise convolutions; its range begins just below
    zero."""
    name = "PP_OCRv5_mobile_det.ncnn"
    inputs = json.loads((shared / "models/models.json").read_text())[name]["inputs"]["in0"]
    options = InputOptions(None, (640, 640), inputs["mean"], inputs["norm"], inputs["pixel"], Resize("stretch"))
    model = fold_scalars(load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")).model
    model.save(tmp_path / "float.param", tmp_path / "float.bin")
    model = load_model(tmp_path / "float.param", tmp_path / "float.bin")
    statistics = collect(model, shared / "data/imagenet/calib", options=options, samples=8)
    table = calibrate(model, statistics, method="mse", weight_bits="proven").table
    ranges = {blob: (one.min, one.max) for blob, one in statistics.blobs.items()}
    rewritten = fold_asymmetric(model, table, ranges)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert len(names) > 15
    preprocessing = Preprocessing(
        (640, 640), tuple(inputs["mean"]), tuple(inputs["norm"]), inputs["pixel"], Resize("stretch")
    )
    photographs = sorted((shared / "data/imagenet/eval").iterdir())[:400:100]
    images = [np.array(load_image(path, preprocessing)) for path in photographs]
    blobs = ("43", "129")  # of the backbone; what comes later tips over on some images
    found: list[list[dict[str, Array]]] = []
    for one in (model, quantize(model, table), quantize(folded, adjusted)):
        found.append([run_model(one, tmp_path, {"in0": x}, blobs) for x in images])
    floats, without, with_ = ({blob: np.stack([one[blob] for one in run]) for blob in blobs} for run in found)
    for blob in blobs:
        gain = sqnr(floats[blob], with_[blob]) - sqnr(floats[blob], without[blob])
        assert gain > 0.8, (blob, gain)
