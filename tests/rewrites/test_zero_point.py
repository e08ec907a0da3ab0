"""Zero points: small models with a blob that is never negative, folded by us, quantized, and run by stock ncnn.

Inputs and weights are exact in int8, so that the noise of an int8 model is that of the blobs between its layers alone,
which a zero point halves (6 dB), and so that float models before and after folding have the same outputs.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from channels import assert_stored
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, run_ncnn, sqnr

from pyncnnq import Table, calibrate, collect, load_model, quantize
from pyncnnq._core import quantize_rows
from pyncnnq.calibration.winograd import forbid_where_sums_overflow
from pyncnnq.errors import ModelError, TableError
from pyncnnq.inputs import InputOptions, Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.zero_point import fold_zero_points

STEP = 2.0**-7
Build = Callable[[np.random.Generator], list[Layer]]


def first(rng: np.random.Generator, outputs: int = 16, text: str = " 9=1") -> Layer:
    return convolution(rng, "first", "in0", 3, outputs, 3, text=text)


def without_bias(layer: Layer) -> Layer:
    layer.params.remove(1 if layer.type == "InnerProduct" else 5)
    del layer.weights["bias_data"]
    return layer


def with_relu(layer: Layer) -> Layer:
    layer.params.set(9, 1)
    return layer


def exact(model: Model) -> Model:
    """The model with weights that are multiples of STEP, up to 127 of them in each row of scales."""
    for layer in model.layers:
        if layer.weights:
            rows = layer.params.get_int(7 if layer.type == "ConvolutionDepthWise" else 0, 0)
            steps = np.clip(np.rint(layer.weights["weight_data"].float32() / STEP), -127, 127).reshape(rows, -1)
            row = np.arange(rows)
            steps[row, row % steps.shape[1]] = np.where(row % 3, 127, -127)
            layer.weights["weight_data"] = Weight.tagged_float32("weight_data", steps * STEP)
    return model


def image(rng: np.random.Generator) -> Array:
    steps = rng.integers(-127, 128, (3, 12, 12)).astype(np.float32)
    steps[0, 0, 0] = 127
    return steps * np.float32(2.0**-5)


def calibrated(layers: list[Layer], folder: Path, x: Array) -> tuple[Model, Table]:
    model = exact(model_of(*layers))
    return model, absmax_table(model, run_model(model, folder, {"in0": x}))


FOLDABLE: dict[str, tuple[Build, list[str], int]] = {
    "chain": (lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8)], ["first"], 1),
    "3x3": (lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3)], ["first"], 1),
    "padding": (lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 4=1")], ["first"], -1),
    "padding below only": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 16=2")],
        ["first"],
        -1,
    ),
    "same padding": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 3=2 4=-233")],
        ["first"],
        -1,
    ),
    "few channels": (
        lambda rng: [first(rng, 3), convolution(rng, "out", "first", 3, 5, 3, text=" 4=1")],
        ["first"],
        -1,
    ),
    "ReLU6": (
        lambda rng: [first(rng, text=" 9=3 -23310=2,0.0,6.0"), convolution(rng, "out", "first", 16, 8, 3, text=" 4=1")],
        ["first"],
        -1,
    ),
    "ReLU6, no padding": (
        lambda rng: [first(rng, text=" 9=3 -23310=2,0.0,6.0"), convolution(rng, "out", "first", 16, 8)],
        ["first"],
        1,
    ),
    "depthwise": (
        lambda rng: [
            first(rng, text=" 9=1"),
            convolution(rng, "deep", "first", 16, 16, 3, group=16, text=" 4=1 9=1"),
            convolution(rng, "out", "deep", 16, 8),
        ],
        ["first", "deep"],
        -1,
    ),
    "groups": (
        lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, group=2, text=" 4=1")],
        ["first"],
        -1,
    ),
    "three in a row": (
        lambda rng: [
            first(rng),
            convolution(rng, "second", "first", 16, 16, text=" 9=1"),
            convolution(rng, "third", "second", 16, 16, 3, text=" 4=1 9=1"),
            convolution(rng, "out", "third", 16, 8, 3),
        ],
        ["first", "second", "third"],
        1,
    ),
    "no bias": (
        lambda rng: [without_bias(first(rng)), without_bias(convolution(rng, "out", "first", 16, 8, 3, text=" 4=1"))],
        ["first"],
        -1,
    ),
    "siblings": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 8, text=" 9=1"),
            convolution(rng, "b", "first", 16, 8, 3, text=" 4=1"),
            convolution(rng, "out", "a", 8, 8),
        ],
        ["first", "first_0", "first_1", "a"],
        -1,
    ),
    "concat": (
        lambda rng: [
            convolution(rng, "a", "in0", 3, 8, text=" 9=1"),
            convolution(rng, "b", "in0", 3, 8, 3, text=" 4=1 9=1"),
            plain("Concat", "both", "a", "b"),
            plain("Dropout", "dropped", "both"),
            convolution(rng, "out", "dropped", 16, 8, 3, text=" 4=1"),
        ],
        ["a", "b", "both", "dropped"],
        -1,
    ),
    "shuffle and slice": (
        lambda rng: [
            first(rng),
            plain("ShuffleChannel", "shuffled", "first", text=" 0=2"),
            Layer("Slice", "slice", ["shuffled"], ["left", "right"], Params(" -23300=2,8,-233")),
            convolution(rng, "a", "left", 8, 8),
            convolution(rng, "b", "right", 8, 8, 3, text=" 4=1"),
        ],
        ["first", "shuffled", "left", "right"],
        -1,
    ),
    "global average": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 0=1 4=1 6=1"),
            inner_product(rng, "out", "pool", 16, 8),
        ],
        ["first", "pool"],
        1,
    ),
    "mean": (
        lambda rng: [
            first(rng),
            plain("Reduction", "mean", "first", text=" 0=3 1=0 -23303=2,1,2 4=0 5=1"),
            inner_product(rng, "out", "mean", 16, 8),
        ],
        ["first", "mean"],
        1,
    ),
    "average": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 0=1 1=3 2=2 3=1"),
            convolution(rng, "out", "pool", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "pool"],
        -1,
    ),
    "average that would count a border": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 0=1 1=2 2=2 5=1 6=1"),
            convolution(rng, "out", "pool", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "pool"],
        -1,
    ),
    "adaptive average": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 0=1 7=1 8=4 18=4 6=1"),
            convolution(rng, "out", "pool", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "pool"],
        -1,
    ),
    "maximum": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 1=3 2=2 3=1"),
            convolution(rng, "out", "pool", 16, 8, 3),
        ],
        ["first", "pool"],
        1,
    ),
    "ReLU layer": (
        lambda rng: [
            first(rng, text=""),
            plain("ReLU", "relu", "first"),
            convolution(rng, "out", "relu", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "relu"],
        -1,
    ),
    "ReLU layer, no padding": (
        lambda rng: [first(rng, text=""), plain("ReLU", "relu", "first"), convolution(rng, "out", "relu", 16, 8, 3)],
        ["first", "relu"],
        1,
    ),
    "residual": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 16, 3, text=" 4=1 9=1"),
            convolution(rng, "b", "a", 16, 16),
            plain("BinaryOp", "sum", "b", "first", text=" 0=0"),
            plain("ReLU", "relu", "sum"),
            convolution(rng, "out", "relu", 16, 8),
        ],
        ["first", "first_0", "first_1", "a", "b", "sum", "relu"],
        1,
    ),
    "residual with a Clip": (
        lambda rng: [
            first(rng),
            convolution(rng, "b", "first", 16, 16),
            plain("BinaryOp", "sum", "first", "b", text=" 0=0"),
            plain("Clip", "relu", "sum", text=" 0=0.0 1=4.0"),
            convolution(rng, "out", "relu", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "first_0", "first_1", "b", "sum", "relu"],
        -1,
    ),
    "residual behind a maximum": (
        lambda rng: [
            first(rng),
            plain("Pooling", "pool", "first", text=" 1=2 2=2"),
            convolution(rng, "a", "pool", 16, 16, 3, text=" 4=1"),
            plain("BinaryOp", "sum", "pool", "a", text=" 0=0"),
            plain("ReLU", "relu", "sum"),
            convolution(rng, "b", "relu", 16, 16, 3, text=" 4=1"),
            plain("BinaryOp", "sum2", "b", "relu", text=" 0=0"),
            plain("ReLU", "relu2", "sum2"),
            convolution(rng, "out", "relu2", 16, 8),
        ],
        ["a", "sum", "relu", "relu_0", "relu_1", "b", "sum2", "relu2"],
        -1,
    ),
    "residual with what cannot be shifted": (
        lambda rng: [
            first(rng, text=" 9=2 -23310=1,0.1"),
            convolution(rng, "a", "in0", 3, 16, 3),
            plain("BinaryOp", "sum", "a", "first", text=" 0=0"),
            plain("ReLU", "relu", "sum"),
            convolution(rng, "out", "relu", 16, 8, 3, text=" 4=1"),
        ],
        ["a", "sum", "relu"],
        -1,
    ),
    "residual that is an output": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 16, 3, text=" 4=1"),
            plain("BinaryOp", "sum", "a", "first", text=" 0=0"),
            plain("ReLU", "last", "sum"),
        ],
        ["first", "first_0", "first_1", "a"],
        -1,
    ),
    "residuals without padding": (
        lambda rng: [
            first(rng),
            convolution(rng, "b", "first", 16, 16),
            plain("BinaryOp", "sum", "b", "first", text=" 0=0"),
            plain("ReLU", "relu", "sum"),
            convolution(rng, "c", "relu", 16, 16),
            plain("BinaryOp", "sum2", "relu", "c", text=" 0=0"),
            plain("ReLU", "relu2", "sum2"),
            convolution(rng, "out", "relu2", 16, 8),
        ],
        ["first", "first_0", "first_1", "b", "sum", "relu", "relu_0", "relu_1", "c", "sum2", "relu2"],
        1,
    ),
    "dense": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 16, 3, text=" 4=1"),
            plain("ReLU", "relu", "a"),
            plain("Concat", "both", "first", "relu"),
            convolution(rng, "out", "both", 32, 8),
        ],
        ["first", "first_0", "first_1", "a", "relu", "both"],
        -1,
    ),
    "residual of two convolutions": (
        lambda rng: [
            first(rng),
            convolution(rng, "a", "first", 16, 16),
            convolution(rng, "b", "first", 16, 16, 3, text=" 4=1"),
            plain("BinaryOp", "sum", "a", "b", text=" 0=0"),
            plain("ReLU", "relu", "sum"),
            convolution(rng, "out", "relu", 16, 8, 3, text=" 4=1"),
        ],
        ["first", "first_0", "first_1", "a", "b", "sum", "relu"],
        -1,
    ),
    "inner products": (
        lambda rng: [
            first(rng, 4),
            plain("Reshape", "flat", "first", text=" 0=-1"),
            with_relu(inner_product(rng, "hidden", "flat", 400, 32)),
            inner_product(rng, "out", "hidden", 32, 64),
        ],
        ["first", "flat", "hidden"],
        1,
    ),
    "a vector": (
        lambda rng: [
            plain("Flatten", "flat", "in0"),
            with_relu(without_bias(inner_product(rng, "hidden", "flat", 432, 64))),
            without_bias(inner_product(rng, "out", "hidden", 64, 64)),
        ],
        ["hidden"],
        1,
    ),
}


@pytest.mark.parametrize("case", FOLDABLE)
def test_int8_gains_and_float_stays(tmp_path: Path, case: str) -> None:
    build, blobs, sign = FOLDABLE[case]
    rng = np.random.default_rng(1)
    x = image(rng)
    model, table = calibrated(build(rng), tmp_path, x)
    before = (model.param_text(), model.bin_bytes(), table.text())
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert (model.param_text(), model.bin_bytes(), table.text()) == before
    assert names == blobs
    outputs = model.outputs
    floats = run_model(model, tmp_path, {"in0": x}, outputs)
    shifted = run_model(folded, tmp_path, {"in0": x})
    assert_stored(shifted, run_model(model, tmp_path, {"in0": x}), rewritten.storage)
    assert list(rewritten.storage) == blobs
    for blob in outputs:
        np.testing.assert_allclose(
            shifted[blob], floats[blob], rtol=1e-5, atol=1e-5 * np.abs(floats[blob]).max(), err_msg=blob
        )
    stored = shifted["relu" if "relu" in blobs else blobs[0]]
    zeros = stored == (stored.max() if sign < 0 else stored.min())
    assert np.count_nonzero(zeros) > 1, "zeros are the largest numbers of a blob that is turned, else the smallest"
    assert sign * stored[zeros][0] < 0
    decibels = []
    for one, scales in ((model, table), (folded, adjusted)):
        found = run_model(quantize(one, scales), tmp_path, {"in0": x}, outputs)
        decibels.append(sqnr(*(np.concatenate([blobs[blob].ravel() for blob in outputs]) for blobs in (floats, found))))
    assert decibels[1] > decibels[0] + 3, decibels
    assert_reads_back(folded, tmp_path)


def assert_reads_back(model: Model, folder: Path) -> None:
    model.save(folder / "m.param", folder / "m.bin")
    again = load_model(folder / "m.param", folder / "m.bin")
    assert (again.param_text(), again.bin_bytes()) == (model.param_text(), model.bin_bytes())


NOT_FOLDABLE: dict[str, Build] = {
    "leaky": lambda rng: [first(rng, text=" 9=2 -23310=1,0.1"), convolution(rng, "out", "first", 16, 8)],
    "no activation": lambda rng: [first(rng, text=""), convolution(rng, "out", "first", 16, 8)],
    "sigmoid": lambda rng: [first(rng, text=" 9=4"), convolution(rng, "out", "first", 16, 8)],
    "clip below zero": lambda rng: [first(rng, text=" 9=3 -23310=2,-1.0,6.0"), convolution(rng, "out", "first", 16, 8)],
    "clip above zero": lambda rng: [first(rng, text=" 9=3 -23310=2,1.0,6.0"), convolution(rng, "out", "first", 16, 8)],
    "sum that is not rectified": lambda rng: [
        first(rng),
        convolution(rng, "a", "first", 16, 16),
        plain("BinaryOp", "sum", "a", "first", text=" 0=0"),
        convolution(rng, "out", "sum", 16, 8),
    ],
    "difference": lambda rng: [
        first(rng),
        convolution(rng, "a", "first", 16, 16),
        plain("BinaryOp", "sum", "a", "first", text=" 0=1"),
        plain("ReLU", "relu", "sum"),
        convolution(rng, "out", "relu", 16, 8),
    ],
    "sum that is read unrectified too": lambda rng: [
        first(rng),
        convolution(rng, "a", "first", 16, 16),
        plain("BinaryOp", "sum", "a", "first", text=" 0=0"),
        plain("ReLU", "relu", "sum"),
        convolution(rng, "b", "relu", 16, 8),
        convolution(rng, "c", "sum", 16, 8),
    ],
    "sum with nothing to shift": lambda rng: [
        first(rng),
        plain("ReLU", "relu0", "in0"),
        convolution(rng, "second", "relu0", 3, 16, 3, text=" 9=1"),
        plain("BinaryOp", "sum", "second", "first", text=" 0=0"),
        plain("ReLU", "relu", "sum"),
        *(convolution(rng, f"{blob}_out", blob, 16, 8) for blob in ("first", "second", "relu")),
    ],
    "sum with a number": lambda rng: [
        first(rng, text=""),
        plain("BinaryOp", "sum", "first", text=" 0=0 1=1 2=0.5"),
        plain("ReLU", "relu", "sum"),
        convolution(rng, "out", "relu", 16, 8, 3, text=" 4=1"),
    ],
    "linear output that is read twice": lambda rng: [
        first(rng, text=""),
        plain("ReLU", "relu", "first"),
        convolution(rng, "out", "relu", 16, 8),
        convolution(rng, "b", "first", 16, 8),
    ],
    "Clip below zero": lambda rng: [
        first(rng, text=""),
        plain("Clip", "relu", "first", text=" 0=-0.1 1=4.0"),
        convolution(rng, "out", "relu", 16, 8),
    ],
    "sum of all": lambda rng: [
        first(rng),
        plain("Reduction", "sum", "first", text=" 0=0 1=0 -23303=2,1,2 4=0 5=1"),
        inner_product(rng, "out", "sum", 16, 8),
    ],
    "mean times a number": lambda rng: [
        first(rng),
        plain("Reduction", "mean", "first", text=" 0=3 1=0 2=0.5 -23303=2,1,2 4=0 5=1"),
        inner_product(rng, "out", "mean", 16, 8),
    ],
    "leaky ReLU layer": lambda rng: [
        first(rng, text=""),
        plain("ReLU", "relu", "first", text=" 0=0.1"),
        convolution(rng, "out", "relu", 16, 8),
    ],
    "read by an addition": lambda rng: [
        first(rng),
        convolution(rng, "out", "first", 16, 16),
        plain("BinaryOp", "sum", "out", "first", text=" 0=0"),
    ],
    "an output too": lambda rng: [
        first(rng),
        convolution(rng, "a", "first", 16, 8),
        Layer("Noop", "last", ["first"], []),
    ],
    "padding with a number": lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 4=1 18=1.0")],
    "may not be int8": lambda rng: [first(rng), convolution(rng, "out", "first", 16, 8, text=" 31=8")],
    "maximum before padding": lambda rng: [
        first(rng),
        plain("Pooling", "pool", "first", text=" 1=2 2=2"),
        convolution(rng, "out", "pool", 16, 8, 3, text=" 4=1"),
    ],
    "average with a border": lambda rng: [
        first(rng),
        plain("Pooling", "pool", "first", text=" 0=1 1=2 2=2 3=1 5=1 6=1"),
        convolution(rng, "out", "pool", 16, 8),
    ],
    "average with a border at the far ends": lambda rng: [
        first(rng),
        plain("Pooling", "pool", "first", text=" 0=1 1=3 2=2 6=1"),
        convolution(rng, "out", "pool", 16, 8),
    ],
    "average of the same size": lambda rng: [
        first(rng),
        plain("Pooling", "pool", "first", text=" 0=1 1=3 2=1 5=2"),
        convolution(rng, "out", "pool", 16, 8),
    ],
    "concat with what may be negative": lambda rng: [
        first(rng),
        convolution(rng, "b", "in0", 3, 16, 3),
        plain("Concat", "both", "first", "b"),
        convolution(rng, "out", "both", 32, 8),
    ],
    "concat with the input": lambda rng: [
        convolution(rng, "first", "in0", 3, 16, text=" 9=1"),
        plain("Concat", "both", "first", "in0"),
        convolution(rng, "out", "both", 19, 8),
    ],
    "dropout that scales": lambda rng: [
        first(rng),
        plain("Dropout", "half", "first", text=" 0=0.5"),
        convolution(rng, "out", "half", 16, 8),
    ],
    "border": lambda rng: [
        first(rng),
        plain("Padding", "border", "first", text=" 0=1 1=1 2=1 3=1"),
        convolution(rng, "out", "border", 16, 8, 3),
    ],
}


@pytest.mark.parametrize("case", NOT_FOLDABLE)
def test_what_cannot_be_folded_is_left_alone(tmp_path: Path, case: str) -> None:
    rng = np.random.default_rng(2)
    model, table = calibrated(NOT_FOLDABLE[case](rng), tmp_path, image(rng))
    if case == "an output too":
        del model.layers[-1]  # a copy of the Split is now an output of the model
    assert_left_alone(model, table)


def assert_left_alone(model: Model, table: Table) -> None:
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == []
    assert (folded.param_text(), folded.bin_bytes(), adjusted.text()) == (
        model.param_text(),
        model.bin_bytes(),
        table.text(),
    )


def thirds(count: int) -> Weight:
    """Weights whose sum is another one when they are stored as float16."""
    return Weight.tagged_float32("weight_data", np.full(count, 1 / 3))


@pytest.mark.parametrize("row", ["b", "b_param_0"])
@pytest.mark.parametrize("pad", [0, 1])
def test_a_reader_that_stays_in_float_reads_it_shifted(tmp_path: Path, row: str, pad: int) -> None:
    rng = np.random.default_rng(3)
    x = image(rng)
    layers = [first(rng), *(convolution(rng, name, "first", 16, 8, 3, text=f" 4={pad}") for name in "ab")]
    model, table = calibrated(layers, tmp_path, x)
    del table[row]
    model.layer("b").weights["weight_data"] = thirds(16 * 8 * 9)
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == ["first", "first_0", "first_1"]
    assert row not in adjusted
    expected, without, with_ = (
        run_model(one, tmp_path, {"in0": x}) for one in (model, quantize(model, table), quantize(folded, adjusted))
    )
    assert sqnr(expected["a"], with_["a"]) > sqnr(expected["a"], without["a"]) + 3
    assert (
        sqnr(without["b"], with_["b"]) > 80
    )  # 61 to 74 dB with a shift that fits the weights before they become float16


def test_readers_in_float_alone_need_no_zero_point(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model, table = calibrated([first(rng), convolution(rng, "out", "first", 16, 8)], tmp_path, image(rng))
    del table["out"]
    assert_left_alone(model, table)


def test_a_producer_in_float_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = image(rng)
    model, table = calibrated([first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 4=1")], tmp_path, x)
    del table["first"]
    del table["first_param_0"]
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == ["first"]
    expected, without, with_ = (
        run_model(one, tmp_path, {"in0": x})["out"]
        for one in (model, quantize(model, table), quantize(folded, adjusted))
    )
    assert sqnr(expected, with_) > sqnr(expected, without) + 4


def test_only_those_that_may_read_shifted_blobs_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    layers = [first(rng), convolution(rng, "a", "first", 16, 8, text=" 9=1"), convolution(rng, "b", "a", 8, 8)]
    model, table = calibrated(layers, tmp_path, image(rng))
    assert list(fold_zero_points(model, table).changed) == ["first", "a"]
    assert list(fold_zero_points(model, table, ["first", "b"]).changed) == ["a"]
    assert list(fold_zero_points(model, table, []).changed) == []


def test_siblings_with_different_scales_prevent_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    layers = [first(rng), convolution(rng, "a", "first", 16, 8), convolution(rng, "b", "first", 16, 8)]
    model, table = calibrated(layers, tmp_path, image(rng))
    table["b"] = 1.01 * table["a"]
    assert_left_alone(model, table)


@pytest.mark.parametrize(("ratio", "folds"), [(1.9, True), (2.1, False)])
def test_no_reader_gets_coarser_steps(tmp_path: Path, ratio: float, folds: bool) -> None:
    build, blobs, _ = FOLDABLE["shuffle and slice"]
    rng = np.random.default_rng(3)
    model, table = calibrated(build(rng), tmp_path, image(rng))
    table["a"] = ratio * table["b"]
    rewritten = fold_zero_points(model, table)
    adjusted, names = rewritten.table, list(rewritten.changed)
    assert names == (blobs if folds else [])
    if folds:
        # The larger of the thresholds counts for both, and twice as many steps are below it.
        assert adjusted["a"] == adjusted["b"] == pytest.approx(2 * table["b"])


@pytest.mark.parametrize("shared", ["first", "sum"])
def test_a_blob_that_is_read_twice_without_a_split_is_not_shifted_for_one(tmp_path: Path, shared: str) -> None:
    rng = np.random.default_rng(3)
    layers = [
        first(rng, text=""),
        convolution(rng, "b", "in0", 3, 16, 3, text=" 9=1"),
        plain("BinaryOp", "sum", "first", "b", text=" 0=0"),
        plain("ReLU", "relu", "sum"),
        *(convolution(rng, f"{blob}_out", blob, 16, 8) for blob in ("b", "relu")),
    ]
    model, table = calibrated(layers, tmp_path, image(rng))
    assert "relu" in fold_zero_points(model, table).changed
    model.layers.append(plain("Sigmoid", "last", shared))
    assert_left_alone(model, table)


@pytest.mark.parametrize(("dynamic", "relu"), [("first", False), ("out", False), ("first", True)])
def test_weights_from_a_blob_prevent_it(dynamic: str, relu: bool) -> None:
    rng = np.random.default_rng(3)
    layers = [first(rng, text="" if relu else " 9=1"), convolution(rng, "out", "relu" if relu else "first", 16, 8)]
    layers[1:1] = [plain("ReLU", "relu", "first")] if relu else []
    for layer in layers:
        if layer.name == dynamic:
            layer.bottoms.append("weights")
            layer.params.set(19, 1)
            layer.weights = {}
    model = model_of(Layer("Input", "weights", [], ["weights"]), *layers)
    table = Table()
    for name, outputs in (("first", 16), ("out", 8)):
        if name != dynamic:
            table[f"{name}_param_0"] = np.full(outputs, 100)
            table[name] = 10
    assert_left_alone(model, table)


def test_float_outputs_differ_by_the_rounding_of_weights(tmp_path: Path) -> None:
    """So that the sums of shifted int8 numbers and of the int8 weights fit each other exactly."""
    rng = np.random.default_rng(4)
    x = image(rng)
    model = model_of(first(rng), convolution(rng, "out", "first", 16, 8, 3, text=" 4=1"))
    floats = run_model(model, tmp_path, {"in0": x})
    table = absmax_table(model, floats)
    rewritten = fold_zero_points(model, table)
    folded = rewritten.model
    weights = model.layer("out").weights["weight_data"].float32().reshape(8, -1)
    scales = table["out_param_0"]
    errors = (quantize_rows(weights, scales) / scales[:, None] - weights).sum(axis=1)
    expected = floats["out"] + (63.5 / table["out"] * errors)[:, None, None]
    assert np.abs(expected - floats["out"]).max() > 0.01
    np.testing.assert_allclose(run_model(folded, tmp_path, {"in0": x})["out"], expected, rtol=1e-4, atol=1e-4)


def test_what_a_folded_chain_looks_like() -> None:
    weight = Weight.tagged_float16("weight_data", [1.0, -0.5])
    layers = [
        Layer("Convolution", "a", ["in0"], ["a"], Params(" 0=2 1=1 6=2 9=3 -23310=2,0.0,6.0"), {"weight_data": weight}),
        convolution(np.random.default_rng(5), "b", "a", 2, 1, 3, text=" 4=1"),
    ]
    table = Table()
    table["a_param_0"], table["a"], table["b_param_0"], table["b"] = [127, 254], 1, 127 / 4, 127 / 4
    rewritten = fold_zero_points(model_of(*layers, shape=(1, 4, 4)), table)
    folded, adjusted = rewritten.model, rewritten.table
    a, b = folded.layer("a"), folded.layer("b")
    assert a.params.text().split() == ["0=2", "1=1", "6=2", "9=3", "-23310=2,-4.0,2.0", "5=1"]
    assert a.weights["weight_data"].format == "float16"
    assert a.weights["weight_data"].data.tolist() == [-1.0, 0.5]
    assert a.weights["bias_data"].data.tolist() == [2.0, 2.0]
    assert b.params.get_float(18, 0) == 2
    assert adjusted["b"] == 127 / 2
    assert adjusted["a"] == 1


def test_sums_that_could_overflow_with_a_zero_point_are_not_for_winograd(tmp_path: Path) -> None:
    """What no input in [0, T] can reach in ncnn's int8 winograd, one in [-T/2, T/2] can."""
    rng = np.random.default_rng(6)
    channels = 64
    identity = convolution(rng, "first", "in0", channels, channels, text=" 9=1")
    identity.weights = {
        "weight_data": Weight.tagged_float32("weight_data", np.eye(channels)),
        "bias_data": Weight.raw("bias_data", np.zeros(channels)),
    }
    reader = convolution(rng, "out", "first", channels, 16, 3)
    weights = rng.uniform(-1, 1, (16, channels, 3, 3)).astype(np.float32)
    reader.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    model = model_of(identity, reader, shape=(channels, 8, 8))
    # Where the weights of output 0 are positive, the largest number, elsewhere 0: the input at which its sum is
    # largest.
    x = np.zeros((channels, 8, 8), np.float32)
    x[:, 3:6, 3:6] = weights[0] > 0
    expected = run_model(model, tmp_path, {"in0": x})
    table = absmax_table(model, expected)
    rewritten = fold_zero_points(model, table)
    folded, adjusted = rewritten.model, rewritten.table
    overflowing = folded.copy()
    assert forbid_where_sums_overflow(model.copy(), table) == []
    assert forbid_where_sums_overflow(folded, adjusted) == ["out"]
    assert sqnr(expected["out"], run_model(quantize(model, table), tmp_path, {"in0": x})["out"]) > 40
    assert sqnr(expected["out"], run_model(quantize(folded, adjusted), tmp_path, {"in0": x})["out"]) > 40
    if platform.machine() in ("x86_64", "AMD64"):  # other CPUs may multiply without winograd
        assert sqnr(expected["out"], run_model(quantize(overflowing, adjusted), tmp_path, {"in0": x})["out"]) < 10


def test_rows_of_zeros(tmp_path: Path) -> None:
    """Their scales do not matter: ncnn2table writes inf."""
    rng = np.random.default_rng(7)
    x = image(rng)
    model, table = calibrated([first(rng), convolution(rng, "out", "first", 16, 8)], tmp_path, x)
    weights = model.layer("out").weights["weight_data"].float32().copy()
    weights[: 3 * 16] = 0
    model.layer("out").weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    table["out_param_0"] = [np.inf, np.nan, 0, *table["out_param_0"][3:]]
    expected = run_model(model, tmp_path, {"in0": x})["out"]
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert names == ["first"]
    assert sqnr(expected, run_model(quantize(folded, adjusted), tmp_path, {"in0": x})["out"]) > 40


def test_unfit_arguments(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    model, table = calibrated([first(rng), convolution(rng, "out", "first", 16, 8)], tmp_path, image(rng))
    with pytest.raises(ModelError, match="int8 already"):
        fold_zero_points(quantize(model, table), table)
    unsound = model.copy()
    unsound.layer("out").weights["bias_data"] = Weight.raw("bias_data", np.full(8, np.nan))
    with pytest.raises(ModelError, match="not finite"):
        fold_zero_points(unsound, table)
    del unsound.layer("out").weights["bias_data"]
    with pytest.raises(ModelError, match="its parameters ask for"):
        fold_zero_points(unsound, table)
    table["other"] = 1
    with pytest.raises(TableError, match="row other belongs to no layer"):
        fold_zero_points(model, table)


def test_a_real_model_gains(shared: Path, tmp_path: Path) -> None:
    name = "squeezenet_v1.1"
    inputs = json.loads((shared / "models/models.json").read_text())[name]["inputs"]["data"]
    size, mean, norm = (tuple(inputs[key]) for key in ("size", "mean", "norm"))
    resize = Resize("short-side", 256)
    model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
    options = InputOptions(None, size, mean, norm, inputs["pixel"], resize)
    statistics = collect(model, shared / "data/imagenet/calib", options=options, samples=8)
    table = calibrate(model, statistics, method="minmax", weight_bits="proven").table
    rewritten = fold_zero_points(model, table)
    folded, adjusted, names = rewritten.model, rewritten.table, list(rewritten.changed)
    assert len(names) > 40
    preprocessing = Preprocessing(size, mean, norm, inputs["pixel"], resize)
    images = [
        np.array(load_image(path, preprocessing))
        for path in sorted((shared / "data/imagenet/eval").iterdir())[:400:100]
    ]
    outputs = []
    for one in (model, quantize(model, table), quantize(folded, adjusted)):
        one.save(tmp_path / "m.param", tmp_path / "m.bin")
        outputs.append(
            [run_ncnn(tmp_path / "m.param", tmp_path / "m.bin", {"data": x}, ["pool10"])["pool10"] for x in images]
        )
    expected, without, with_ = map(np.stack, outputs)
    assert sqnr(expected, with_) > sqnr(expected, without) + 3, (sqnr(expected, without), sqnr(expected, with_))
