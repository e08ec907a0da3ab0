"""Random small graphs, quantized by us and run by stock ncnn, against the NumPy int8 reference."""

from __future__ import annotations

import tempfile
from pathlib import Path

import int8_reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import Model, dequantize, load_model, quantize
from pyncnnq.model import Layer

ACTIVATIONS = ("", " 9=1", " 9=2 -23310=1,0.1", " 9=3 -23310=2,0.0,6.0", " 9=4", " 9=6 -23310=2,0.16666667,0.5")
SIZE = 12


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Model, Array]:
    """A model of a few layers over 3-D blobs, now and then with a residual, a blob read twice, or a vector at the
    end."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.sampled_from([1, 3, 8]))
    shape = (channels, SIZE, SIZE)
    shapes = {"in0": shape}
    layers: list[Layer] = []

    def add(layer: Layer, shape: tuple[int, ...]) -> None:
        layers.append(layer)
        shapes[layer.name] = shape

    for index in range(draw(st.integers(1, 6))):
        bottom = draw(st.sampled_from(list(shapes)[-3:]))
        c, h, w = shapes[bottom]
        name = f"layer{index}"
        kind = draw(st.sampled_from(["conv", "conv", "conv", "depthwise", "group", "relu", "add"]))
        same = [other for other in shapes if shapes[other] == shapes[bottom] and other != bottom]
        if kind == "relu":
            add(plain("ReLU", name, bottom), (c, h, w))
        elif kind == "add" and same:
            add(plain("BinaryOp", name, bottom, draw(st.sampled_from(same)), text=" 0=0"), (c, h, w))
        else:
            kernel = draw(st.sampled_from([1, 3, 5]))
            stride, dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
            pads = (
                [draw(st.integers(0, 2)) for _ in range(4)] if draw(st.booleans()) else [dilation * (kernel // 2)] * 4
            )
            left, right, top, bottom_pad = pads
            extent = dilation * (kernel - 1) + 1
            height, width = ((n + pad - extent) // stride + 1 for n, pad in ((h, top + bottom_pad), (w, left + right)))
            if min(height, width) < 1 or min(h + top + bottom_pad, w + left + right) < extent:
                continue
            outputs, group = draw(st.sampled_from([1, 3, 4, 8, 12, 16, 20])), 0
            if kind == "depthwise":
                outputs = group = c
            elif kind == "group" and c % 2 == 0:
                # Not with a multiple of 8 outputs in a group: see
                # test_grouped_convolutions_that_ncnn_gets_wrong_are_warned_of.
                outputs, group = draw(st.sampled_from([4, 8, 12, 20])), 2
            text = f" 2={dilation} 3={stride} 4={left} 15={right} 14={top} 16={bottom_pad}"
            text += draw(st.sampled_from(ACTIVATIONS))
            add(convolution(rng, name, bottom, c, outputs, kernel, group=group, text=text), (outputs, height, width))
    if draw(st.booleans()):
        last = list(shapes)[-1]
        c = shapes[last][0]
        add(plain("Pooling", "pool", last, text=" 0=1 4=1"), (c,))
        add(convolution(rng, "squeeze", "pool", c, 4, text=" 9=1"), (4,))
        add(convolution(rng, "excite", "squeeze", 4, c, text=" 9=4"), (c,))
        add(plain("BinaryOp", "scaled", last, "excite", text=" 0=2"), shapes[last])
        add(inner_product(rng, "head", "excite", c, 5), (5,))
    return model_of(*layers, shape=shape), rng.normal(0, 1, shape).astype(np.float32)


def tolerance(layer: Layer, expected: Array) -> float:
    """What floats may differ by.

    Int8 layers: a few float32 roundings; in packed depthwise code more, as ncnn divides by the scales with _mm_rcp_ps
    there, whose relative error is up to 1.5 * 2**-12.  Float layers: ncnn's winograd and sgemm, and its approximations
    of exp.
    """
    relative = 4e-6 if layer.params.get_int(8, 0) else 1e-4
    if layer.type == "ConvolutionDepthWise":
        relative = 1.5 * 2**-12
    bias = np.abs(layer.weights["bias_data"].data).max() if "bias_data" in layer.weights else 0
    return float(relative * (np.abs(expected).max(initial=0) + 2 * bias) + 1e-6)


def check_every_layer(quantized: Model, blobs: dict[str, Array]) -> None:
    """Each layer of what ncnn computed, from the input that ncnn itself gave it, against the reference.

    Sums of int8 products are exact; the channels are too few for an int8 winograd accumulator to reach 2**31 / 576.  An
    int8 output may be one step off where the float before it is within `tolerance` of a tie: of values up to 127, a
    relative error of 1.5 * 2**-12 moves 0.05 over a tie, one of 4e-6 hardly any.
    """
    chained: set[str] = set()
    for layer in quantized.layers[1:]:
        is_int8 = layer.bottoms[0] in chained
        expected = int8_reference.step(layer, [blobs[bottom] for bottom in layer.bottoms], is_int8=is_int8)
        writes_int8 = layer.params.get_int(8, 0) > 100 or (layer.type == "Split" and is_int8)
        for top in layer.tops:
            found = blobs[top]
            assert found.shape == expected.shape, f"{layer}: {found.shape} instead of {expected.shape}"
            off = np.abs(found - expected)
            if writes_int8:
                chained.add(top)
                assert off.max() <= 1, f"{layer} is off by {off.max()} int8 steps"
                allowed = (0.06 if layer.type == "ConvolutionDepthWise" else 0.005) * off.size + 1
                assert np.count_nonzero(off) <= allowed, f"{layer}: {np.count_nonzero(off)} of {off.size} off by one"
            else:
                assert off.max() <= tolerance(layer, expected), f"{layer} is off by {off.max()}"


@settings(max_examples=120, deadline=None)
@given(graphs())
def test_ncnn_computes_what_the_reference_does(graph: tuple[Model, Array]) -> None:
    model, x = graph
    with tempfile.TemporaryDirectory() as folder:
        floats = run_model(model, Path(folder), {"in0": x})
        quantized = quantize(model, absmax_table(model, floats))
        blobs = run_model(quantized, Path(folder), {"in0": x})
        reread = load_model(Path(folder) / "model.param", Path(folder) / "model.bin")
    check_every_layer(reread, blobs)
    assert all(layer.int8 for layer in quantized.summary.layers)


@settings(max_examples=25, deadline=None)
@given(graphs(), st.data())
def test_excluded_layers_are_float_and_the_others_int8(graph: tuple[Model, Array], data: st.DataObject) -> None:
    model, x = graph
    names = [layer.name for layer in model.layers if layer.weights]
    if not names:
        return
    excluded = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    with tempfile.TemporaryDirectory() as folder:
        floats = run_model(model, Path(folder), {"in0": x})
        quantized = quantize(model, absmax_table(model, floats), exclude=excluded, float32=True)
        blobs = run_model(quantized, Path(folder), {"in0": x})
    for layer in quantized.layers:
        if layer.weights:
            assert layer.weights["weight_data"].format == ("float32" if layer.name in excluded else "int8")
    check_every_layer(quantized, blobs)


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_dequantized_weights_are_the_int8_numbers_by_their_scales(graph: tuple[Model, Array]) -> None:
    model, x = graph
    with tempfile.TemporaryDirectory() as folder:
        floats = run_model(model, Path(folder), {"in0": x})
        back = dequantize(quantize(model, absmax_table(model, floats)))
        blobs = run_model(back, Path(folder), {"in0": x})
    for before, after in zip(model.layers, back.layers, strict=True):
        assert after.params.get_int(8, 0) == 0
        if before.weights:
            original, found = before.weights["weight_data"].float32(), after.weights["weight_data"].float32()
            assert np.abs(found - original).max() <= 0.5001 * np.abs(original).max() / 127
            assert list(after.weights) == list(before.weights)
    for blob, array in floats.items():
        assert blobs[blob].shape == array.shape, "a Convolution written as InnerProduct has the same output in float"


def siblings(rng: np.random.Generator) -> Model:
    first = convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1 9=1")
    return model_of(
        first, convolution(rng, "a", "first", 8, 4), convolution(rng, "b", "first", 8, 8, 3, group=8, text=" 4=1")
    )


def test_siblings_with_one_scale_are_chained(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model, x = siblings(rng), rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    quantized = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})))
    assert quantized.layer("first").params.get_int(8, 0) == 102
    assert [(one.name, one.chained_to) for one in quantized.summary.chained] == [("first", ("a", "b"))]
    check_every_layer(quantized, run_model(quantized, tmp_path, {"in0": x}))


@pytest.mark.parametrize("sibling", ["a", "b"])
def test_siblings_with_different_scales_are_right_and_not_chained(tmp_path: Path, sibling: str) -> None:
    """ncnn2int8 chains them by the first one's scale: the other then reads numbers that are three times too large."""
    rng = np.random.default_rng(1)
    model, x = siblings(rng), rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    table = absmax_table(model, floats)
    table[sibling] = table[sibling] / 3
    quantized = quantize(model, table)
    assert quantized.layer("first").params.get_int(8, 0) == 2
    (first,) = (one for one in quantized.summary.layers if one.unchained)
    assert (first.name, first.unchained, first.chained_to) == ("first", ("a", "b"), ())
    assert "input scales of a, b differ" in first.outcome
    blobs = run_model(quantized, tmp_path, {"in0": x})
    check_every_layer(quantized, blobs)
    assert min(sqnr(floats[name], blobs[name]) for name in ("a", "b")) > 20


def test_a_blob_that_is_read_in_float_too_is_not_chained(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    first = convolution(rng, "first", "in0", 3, 8)
    model = model_of(first, convolution(rng, "a", "first", 8, 4), plain("ReLU", "b", "first"))
    x = rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    quantized = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})))
    assert quantized.layer("first").params.get_int(8, 0) == 2
    check_every_layer(quantized, run_model(quantized, tmp_path, {"in0": x}))


def test_a_blob_that_is_an_output_too_is_not_chained(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model = model_of(
        convolution(rng, "first", "in0", 3, 8),
        convolution(rng, "a", "first", 8, 4),
        convolution(rng, "b", "first", 8, 4),
    )
    x = rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    table = absmax_table(model, run_model(model, tmp_path, {"in0": x}))
    del model.layers[-1]  # the second copy of the Split is now an output of the model
    del table["b"]
    del table["b_param_0"]
    quantized = quantize(model, table)
    assert "first_1" in quantized.outputs
    assert quantized.layer("first").params.get_int(8, 0) == 2
    check_every_layer(quantized, run_model(quantized, tmp_path, {"in0": x}))


def test_no_chain_into_an_excluded_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    model = model_of(
        *(convolution(rng, name, bottom, c, 8) for name, bottom, c in (("a", "in0", 3), ("b", "a", 8), ("c", "b", 8)))
    )
    x = rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    quantized = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})), exclude=["b"])
    assert [layer.params.get_int(8, 0) for layer in quantized.layers[1:]] == [2, 0, 2]
    check_every_layer(quantized, run_model(quantized, tmp_path, {"in0": x}))


def test_squeeze_and_excite_is_written_as_inner_products(tmp_path: Path) -> None:
    """As Convolution, ncnn's int8 gives another shape: (8, 1, 4) instead of (8,)."""
    rng = np.random.default_rng(5)
    layers = [
        convolution(rng, "conv", "in0", 3, 16, 3, text=" 4=1 9=1"),
        plain("Pooling", "pool", "conv", text=" 0=1 4=1"),
        convolution(rng, "squeeze", "pool", 16, 8, text=" 9=1 31=64 18=1.0 3=2"),
        convolution(rng, "excite", "squeeze", 8, 16, text=" 9=2 -23310=1,0.1"),
    ]
    model = model_of(*layers)
    x = rng.normal(0, 1, (3, 12, 12)).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    quantized = quantize(model, absmax_table(model, floats))
    assert [one.name for one in quantized.summary.rewritten] == ["squeeze", "excite"]
    assert quantized.layer("squeeze").params.text().split() == ["0=8", "1=1", "2=128", "9=1", "31=64", "8=2"]
    assert quantized.layer("excite").params.get_array(10) == pytest.approx([0.1])
    blobs = run_model(quantized, tmp_path, {"in0": x})
    check_every_layer(quantized, blobs)
    assert sqnr(floats["excite"], blobs["excite"]) > 25


def test_a_convolution_of_a_vector_that_stays_in_float_stays_a_convolution(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    model = model_of(plain("Flatten", "flat", "in0"), convolution(rng, "conv", "flat", 16, 8), shape=(4, 2, 2))
    x = rng.normal(0, 1, (4, 2, 2)).astype(np.float32)
    table = absmax_table(model, run_model(model, tmp_path, {"in0": x}))
    assert quantize(model, table, exclude=["conv"]).layer("conv").type == "Convolution"
    assert quantize(model, table).layer("conv").type == "InnerProduct"


@pytest.mark.parametrize(
    "layers",
    [
        [plain("Pooling", "vector", "in0", text=" 0=1 4=1"), plain("Squeeze", "top", "vector", text=" -23303=2,1,2")],
        [plain("Pooling", "vector", "in0", text=" 0=1 4=1"), plain("Tile", "top", "vector", text=" 0=0 1=1")],
        [
            plain("Interp", "twice", "in0", text=" 0=1 1=2.0 2=2.0"),
            plain("Reduction", "top", "twice", text=" 0=3 1=0 -23303=2,1,2 5=1"),
        ],
    ],
)
def test_a_vector_is_known_behind_layers_that_keep_or_make_it(tmp_path: Path, layers: list[Layer]) -> None:
    rng = np.random.default_rng(7)
    model = model_of(*layers, convolution(rng, "conv", "top", 16, 8), shape=(16, 6, 6))
    x = rng.normal(0, 1, (16, 6, 6)).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    quantized = quantize(model, absmax_table(model, floats))
    assert quantized.layer("conv").type == "InnerProduct"
    assert sqnr(floats["conv"], run_model(quantized, tmp_path, {"in0": x})["conv"]) > 25


def test_a_convolution_of_what_may_be_a_vector_is_warned_of(tmp_path: Path) -> None:
    """Nothing in the file tells that the input will be one: ncnn's int8 convolution of it has another shape."""
    rng = np.random.default_rng(8)
    model = Model([Layer("Input", "in0", [], ["in0"]), convolution(rng, "conv", "in0", 16, 8)])
    x = rng.normal(0, 1, 16).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    table = absmax_table(model, floats)
    quantized = quantize(model, table)
    assert quantized.layer("conv").type == "Convolution"
    assert len(quantized.summary.warnings) == 1
    assert "'conv'" in quantized.summary.warnings[0]
    assert "0=W 1=H 2=C" in quantized.summary.warnings[0]
    assert run_model(quantized, tmp_path, {"in0": x})["conv"].shape != floats["conv"].shape, (
        "else the warning is no longer needed"
    )
    assert quantize(model, table, exclude=["conv"]).summary.warnings == (
        "nothing was quantized: all layers stay in float, for the reasons given with each",
    )
    model.layer("in0").params.set(0, 16)
    assert quantize(model, table).layer("conv").type == "InnerProduct"


@pytest.mark.parametrize("group", [0, 8])
def test_a_border_of_other_than_zeros_is_quantized_too(tmp_path: Path, group: int) -> None:
    """ncnn pads after quantizing, with the number as it stands: 0.7 would count as 0.7 int8 steps."""
    rng = np.random.default_rng(7)
    model = model_of(convolution(rng, "conv", "in0", 8, 8, 3, group=group, text=" 4=1 18=0.7"), shape=(8, 6, 6))
    x = rng.normal(0, 1, (8, 6, 6)).astype(np.float32)
    floats = run_model(model, tmp_path, {"in0": x})
    table = absmax_table(model, floats)
    quantized = quantize(model, table)
    assert quantized.layer("conv").params.get_float(18, 0) == round(0.7 * float(table["conv"][0]))
    blobs = run_model(quantized, tmp_path, {"in0": x})
    check_every_layer(quantized, blobs)
    assert sqnr(floats["conv"], blobs["conv"]) > 30
    assert dequantize(quantized).layer("conv").params.get_float(18, 0) == pytest.approx(
        0.7, abs=0.5 / float(table["conv"][0])
    )


def test_a_border_of_negative_numbers_keeps_a_layer_in_float(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    layers = [
        convolution(rng, "a", "in0", 3, 8, 3, text=" 4=1 18=-1.0"),
        convolution(rng, "b", "a", 8, 8, 3, text=" 18=-1.0"),
    ]
    model = model_of(*layers)
    floats = run_model(model, tmp_path, {"in0": rng.normal(0, 1, (3, 12, 12)).astype(np.float32)})
    reasons = {one.name: one.reason for one in quantize(model, absmax_table(model, floats)).summary.layers}
    assert "negative" in reasons["a"]
    assert not reasons["b"], "it adds no border, so the value does not count"


def test_grouped_convolutions_that_ncnn_gets_wrong_are_warned_of(tmp_path: Path) -> None:
    """With 8, 16, ... outputs in a group and a float output, the x86 code of ncnn 1.0.20261020 returns uninitialised
    memory."""
    rng = np.random.default_rng(9)
    x = rng.normal(0, 1, (16, 12, 12)).astype(np.float32)
    for outputs, group, follower, warned in (
        (16, 2, "ReLU", True),
        (8, 2, "ReLU", False),
        (16, 16, "ReLU", False),
        (16, 2, "conv", False),
    ):
        layer = convolution(rng, "grouped", "in0", 16, outputs, 3, group=group, text=" 4=1")
        last = (
            plain("ReLU", "last", "grouped") if follower == "ReLU" else convolution(rng, "last", "grouped", outputs, 8)
        )
        model = model_of(layer, last, shape=(16, 12, 12))
        quantized = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})))
        assert bool(quantized.summary.warnings) == warned
        assert all("'grouped'" in warning and "x86" in warning for warning in quantized.summary.warnings)
        if not warned:
            check_every_layer(quantized, run_model(quantized, tmp_path, {"in0": x}))
