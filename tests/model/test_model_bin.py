"""The `.bin` file: every weighted layer type, against the reads of the stock ncnn wheel; round trips and faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.model import Expected, Layer, Model, Params, Weight, load_model
from pyncnnq.model.ops import BUILT_IN, LAYER_TYPES, Op
from pyncnnq.model.weights import BFLOAT16_TAG, CODEBOOK_TAG, SCALED_FLOAT32_TAG

# Layer type, number of inputs, parameters.  Int8 weights where the parameters ask for them.
VARIANTS = """
    BatchNorm 1: 0=4
    Bias 1: 0=4
    Convolution 1: 0=4 1=3 6=108
    Convolution 1: 0=4 1=3 5=1 6=108
    Convolution 1: 0=5 1=3 5=1 6=45
    Convolution 1: 0=4 1=3 5=1 6=108 8=1
    Convolution 1: 0=4 1=3 6=108 8=2
    Convolution 1: 0=4 1=3 5=1 6=108 8=100
    Convolution 1: 0=4 1=3 5=1 6=108 8=101
    Convolution 1: 0=4 1=3 5=1 6=108 8=102 9=1
    Convolution 3: 0=4 1=3 5=1 6=108 19=1
    Convolution1D 1: 0=4 1=3 5=1 6=36 8=2
    Convolution1D 3: 0=4 1=3 5=1 6=36 19=1
    Convolution3D 1: 0=4 1=3 5=1 6=108 19=1
    ConvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4
    ConvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4 8=1
    ConvolutionDepthWise 1: 0=8 1=3 5=1 6=144 7=4 8=1
    ConvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4 8=2
    ConvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4 8=101
    ConvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4 8=102
    ConvolutionDepthWise 3: 0=4 1=3 5=1 6=36 7=4 8=2 19=1
    ConvolutionDepthWise1D 1: 0=4 1=3 5=1 6=12 7=4
    ConvolutionDepthWise1D 3: 0=4 1=3 5=1 6=12 7=4 19=1
    ConvolutionDepthWise3D 1: 0=4 1=3 5=1 6=108 7=4
    Deconvolution 1: 0=4 1=3 5=1 6=36
    Deconvolution 3: 0=4 1=3 5=1 6=36 28=1
    Deconvolution1D 1: 0=4 1=3 5=1 6=36
    Deconvolution1D 3: 0=4 1=3 5=1 6=36 28=1
    Deconvolution3D 1: 0=4 1=3 5=1 6=108
    DeconvolutionDepthWise 1: 0=4 1=3 5=1 6=36 7=4
    DeconvolutionDepthWise 3: 0=4 1=3 5=1 6=36 7=4 28=1
    DeconvolutionDepthWise1D 1: 0=4 1=3 5=1 6=36 7=4
    DeconvolutionDepthWise1D 3: 0=4 1=3 5=1 6=36 7=4 28=1
    DeconvolutionDepthWise3D 1: 0=4 1=3 5=1 6=108 7=4
    DeformableConv2D 2: 0=4 1=3 5=1 6=36
    Dequantize 1:
    Dequantize 1: 0=4 1=3
    Embed 1: 0=5 1=3 3=15
    Embed 1: 0=5 1=3 2=1 3=15 18=2
    GRU 1: 0=4 1=36
    GRU 1: 0=4 1=36 2=1
    GRU 1: 0=4 1=72 2=2 8=2
    Gemm 1: 4=1 5=1 6=1 7=3 8=4 9=5 10=3
    Gemm 1: 2=1 4=1 5=1 6=1 7=3 8=4 9=5 10=3 18=2
    Gemm 1: 4=1 5=1 6=1 7=3 8=4 9=5 10=0
    Gemm 1: 4=1 5=1 6=1 7=3 8=4 9=5 10=1
    Gemm 1: 4=1 5=1 6=1 7=3 8=4 9=5 10=2
    Gemm 1: 3=1 5=1 6=1 7=3 8=4 9=5 10=4 18=2
    Gemm 1: 3=1 5=1 6=1 7=3 8=4 9=5 10=-1
    Gemm 2: 4=1 7=3 9=5 18=1
    Gemm 2: 6=1 7=3 8=4 10=3 18=2
    Gemm 2: 18=2
    Gemm 1: 3=1 5=1 6=1 8=4 9=5 10=4 18=400
    Gemm 1: 3=1 5=1 6=1 8=4 9=64 10=4 18=400
    Gemm 1: 3=1 5=1 6=1 8=4 9=35 10=4 18=410
    Gemm 1: 3=1 5=1 6=1 8=3 9=65 10=-1 18=611
    Gemm 2: 3=1 5=1 8=3 9=130 18=802
    GroupNorm 1: 0=2 1=4
    GroupNorm 1: 0=2 1=4 3=0
    InnerProduct 1: 0=4 2=36
    InnerProduct 1: 0=4 1=1 2=36 8=2
    InnerProduct 1: 0=4 1=1 2=36 8=102
    InstanceNorm 1: 0=4
    InstanceNorm 1: 0=4 2=0
    LSTM 1: 0=4 1=48
    LSTM 1: 0=4 1=96 2=2 8=2
    LSTM 1: 0=4 1=120 2=2 3=5
    LSTM 1: 0=4 1=60 2=1 3=5 8=2
    LayerNorm 1: 0=4
    LayerNorm 1: 0=4 2=0
    MemoryData 0:
    MemoryData 0: 0=3
    MemoryData 0: 0=3 1=2
    MemoryData 0: 0=3 1=2 2=5
    MemoryData 0: 0=3 1=2 2=5 11=7
    MemoryData 0: 0=3 1=2 2=5 21=0
    MemoryData 0: 0=3 1=2 2=5 21=3
    MemoryData 0: 0=3 1=2 2=5 21=4
    MemoryData 0: 0=3 1=2 2=5 21=6
    MemoryData 0: 0=3 1=2 2=5 21=8
    MultiHeadAttention 1: 0=4 1=2 2=16
    MultiHeadAttention 3: 0=4 1=2 2=20 3=6 4=7
    MultiHeadAttention 3: 0=4 1=2 2=20 3=6 4=7 18=2
    MultiHeadAttention 3: 0=4 1=2 2=20 3=6 4=7 18=602
    MultiHeadAttention 3: 0=4 1=2 2=20 3=36 4=70 18=411
    Normalize 1: 3=4
    PReLU 1: 0=4
    Padding 1: 6=4
    Padding 1: 0=1
    Quantize 1:
    Quantize 1: 0=4
    RMSNorm 1: 0=4
    RMSNorm 1: 0=4 2=0
    RNN 1: 0=4 1=12
    RNN 1: 0=4 1=24 2=2 8=2
    Requantize 1:
    Requantize 1: 0=4 1=3 2=4
    SDPA 3: 18=2
    MatMul 2: 0=1
    Scale 1: 0=4
    Scale 1: 0=4 1=1
    Scale 2: 0=-233 1=1
"""


def make_layer(layer_type: str, bottoms: Sequence[str], params: str, *, tag: str = "float32") -> Layer:
    """A layer with random weights of the right sizes; `tag` is the format of its tagged arrays."""
    layer = Layer(layer_type, "layer", list(bottoms), ["top"], Params(params))
    rng = np.random.default_rng(7)
    for expected in layer.expected_weights():
        layer.weights[expected.name] = make_weight(rng, layer, expected, tag)
    return layer


def make_weight(rng: np.random.Generator, layer: Layer, expected: Expected, tag: str) -> Weight:
    name, size, storage = expected
    values = rng.uniform(0.1, 1.0, size)
    if storage == "packed":
        return Weight.packed(name, rng.integers(0, 256, size))
    if storage == "raw":
        return Weight.raw(name, values)
    if is_quantized(layer) and name not in ("bias_c_data", "weight_hr_data", "C_data"):
        return Weight.tagged_int8(name, rng.integers(-127, 128, size))
    if tag == "float16":
        return Weight.tagged_float16(name, values)
    if tag == "bfloat16":
        bits = values.astype("<f4").view("<u4") >> 16
        return Weight(name, bits.astype("<u2"), "tagged", BFLOAT16_TAG)
    if tag == "codebook":
        codebook = rng.uniform(0.1, 1.0, 256).astype("<f4")
        return Weight(name, rng.integers(0, 256, size).astype("u1"), "tagged", CODEBOOK_TAG, codebook)
    if tag == "scaled":
        return Weight(name, values.astype("<f4"), "tagged", SCALED_FLOAT32_TAG)
    return Weight.tagged_float32(name, values)


def is_quantized(layer: Layer) -> bool:
    key = 18 if layer.type in ("Embed", "Gemm", "MultiHeadAttention") else 8
    has_int8 = (
        "Convolution",
        "ConvolutionDepthWise",
        "InnerProduct",
        "RNN",
        "LSTM",
        "GRU",
        "Embed",
        "Gemm",
        "MultiHeadAttention",
    )
    return layer.type in has_int8 and 0 < layer.params.get_int(key, 0) < 400


def make_model(*layers: Layer) -> Model:
    bottoms = dict.fromkeys(bottom for layer in layers for bottom in layer.bottoms)
    return Model([*(Layer("Input", bottom, [], [bottom]) for bottom in bottoms), *layers])


def read_sizes(model: Model) -> list[int]:
    """The reads by which ncnn's ModelBin takes in the model's arrays, from their definition, not from the writer."""
    sizes = []
    for layer in model.layers:
        for weight in layer.weights.values():
            count = weight.data.size
            width = {"float32": 4, "float16": 2, "bfloat16": 2}.get(weight.format, 1)
            sizes += [4] if weight.storage == "tagged" else []
            sizes += [1024] if weight.format == "codebook" else []
            sizes.append((count * width + 3) // 4 * 4)
    return sizes


def ncnn_reads(pairs: Sequence[tuple[Path, Path]]) -> list[Any]:
    words = [str(path) for pair in pairs for path in pair]
    script = Path(__file__).parents[1] / "ncnn_reads.py"
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"ncnn died with {done.returncode} after {done.stdout.count(chr(10))} models: {done.stderr[-400:]}"
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def variants() -> list[tuple[str, list[str], str]]:
    found = []
    for line in VARIANTS.strip().splitlines():
        head, params = line.strip().split(":")
        layer_type, bottoms = head.split()
        found.append((layer_type, [f"in{index}" for index in range(int(bottoms))], params))
    return found


def test_the_variants_cover_every_weighted_type() -> None:
    weighted = {name for name, op_type in BUILT_IN.items() if op_type.weights is not Op.weights}
    assert weighted <= {layer_type for layer_type, _, _ in variants()}
    assert len(weighted) == 34


@pytest.mark.parametrize("tag", ["float32", "float16", "bfloat16", "codebook", "scaled"])
def test_ncnn_reads_exactly_what_we_write(tag: str, tmp_path: Path) -> None:
    pairs, models = [], []
    for number, (layer_type, bottoms, params) in enumerate(variants()):
        model = make_model(make_layer(layer_type, bottoms, params, tag=tag))
        pairs.append((tmp_path / f"{number}.param", tmp_path / f"{number}.bin"))
        model.save(*pairs[-1])
        models.append(model)
    for model, pair, found in zip(models, pairs, ncnn_reads(pairs), strict=True):
        assert found == [0, 0, read_sizes(model)], pair[0].read_text()
        assert sum(found[2]) == pair[1].stat().st_size
        again = load_model(*pair)
        for ours, theirs in zip(model.layers, again.layers, strict=True):
            assert list(ours.weights) == list(theirs.weights)
            for name, weight in ours.weights.items():
                np.testing.assert_array_equal(weight.data, theirs.weights[name].data)
                assert weight.format == theirs.weights[name].format


@st.composite
def random_layers(draw: st.DrawFn) -> Layer:
    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    kind = draw(st.sampled_from(["conv", "depthwise", "linear", "rnn", "gemm", "blocks", "mha", "embed", "requantize"]))
    term = draw(st.sampled_from([0, 1, 2, 101, 102]))
    bias = number(0, 1)
    if kind == "conv":
        outputs, inputs, w, h = number(1, 20), number(1, 20), number(1, 4), number(1, 4)
        params = f"0={outputs} 1={w} 11={h} 5={bias} 6={outputs * inputs * w * h} 8={term}"
        return make_layer("Convolution", ["a"], params)
    if kind == "depthwise":
        group, per_group, inputs = number(1, 9), number(1, 3), number(1, 3)
        params = f"0={group * per_group} 1=3 5={bias} 6={group * per_group * inputs * 9} 7={group} 8={term}"
        return make_layer("ConvolutionDepthWise", ["a"], params)
    if kind == "linear":
        outputs, inputs = number(1, 20), number(1, 20)
        return make_layer("InnerProduct", ["a"], f"0={outputs} 1={bias} 2={outputs * inputs} 8={term}")
    if kind == "rnn":
        gates = draw(st.sampled_from([1, 3, 4]))
        outputs, inputs, direction = number(1, 9), number(1, 9), number(0, 2)
        hidden = number(1, 9) if gates == 4 else outputs
        size = hidden * gates * inputs * (2 if direction == 2 else 1)
        key_3 = f" 3={hidden}" if gates == 4 else ""
        layer_type = {1: "RNN", 3: "GRU", 4: "LSTM"}[gates]
        return make_layer(layer_type, ["a"], f"0={outputs} 1={size} 2={direction}{key_3} 8={2 * number(0, 1)}")
    if kind == "gemm":
        a, b, c = number(0, 1), number(0, 1), number(0, 1)
        sizes = f"7={number(1, 9)} 8={number(1, 9)} 9={number(1, 9)} 10={number(-1, 4)}"
        params = f"2={number(0, 1)} 3={number(0, 1)} 4={a} 5={b} 6={c} {sizes} 18={2 * number(0, 1)}"
        return make_layer("Gemm", ["a", "b", "c"][: max(1, 3 - a - b - c)], params)
    if kind == "blocks":
        block = 100 * draw(st.sampled_from([4, 6, 8])) + 10 * number(0, 1) + number(0, 2)
        return make_layer("Gemm", ["a", "b"], f"3=1 5=1 8={number(1, 9)} 9={number(1, 300)} 18={block}")
    if kind == "mha":
        heads, size = number(1, 3), number(1, 6)
        embed = heads * size
        rest = f"2={embed * number(1, 9)} 3={number(1, 40)} 4={number(1, 40)}"
        return make_layer(
            "MultiHeadAttention", ["a", "b", "c"], f"0={embed} 1={heads} {rest} 18={draw(st.sampled_from([0, 2, 411]))}"
        )
    if kind == "embed":
        outputs, words = number(1, 9), number(1, 9)
        return make_layer("Embed", ["a"], f"0={outputs} 1={words} 2={bias} 3={outputs * words} 18={term}")
    return make_layer("Requantize", ["a"], f"0={number(1, 9)} 1={number(1, 9)} 2={number(0, 9)}")


@settings(max_examples=12, deadline=None)
@given(layers=st.lists(random_layers(), min_size=8, max_size=20))
def test_ncnn_reads_random_models_like_us(layers: list[Layer], tmp_path_factory: pytest.TempPathFactory) -> None:
    for number, layer in enumerate(layers):
        layer.name = layer.tops[0] = f"layer{number}"
    model = make_model(*layers)
    folder = tmp_path_factory.mktemp("random")
    pair = (folder / "m.param", folder / "m.bin")
    model.save(*pair)
    assert ncnn_reads([pair]) == [[0, 0, read_sizes(model)]], model.param_text()
    again = load_model(*pair)
    assert again.bin_bytes() == pair[1].read_bytes()


def test_every_layer_type_of_the_wheel_is_known() -> None:
    indices = {ncnn.layer_to_index(name) for name in BUILT_IN}
    assert indices == set(range(len(BUILT_IN))), "a type is listed that the wheel does not have, or one is missing"
    assert ncnn.create_layer(len(indices)) is None, "the wheel has more layer types than are listed"
    assert "MyLayer" not in LAYER_TYPES


def test_weightless_types_read_nothing(tmp_path: Path) -> None:
    pairs = []
    weightless = {name for name, op_type in BUILT_IN.items() if op_type.weights is Op.weights}
    for layer_type in sorted(weightless - {"Input"}):
        for bottoms in (1, 2, 3):
            layer = Layer(layer_type, "layer", ["a", "b", "c"][:bottoms], ["top"])
            if bottoms < layer.op.least_bottoms:
                continue
            pair = (tmp_path / f"{layer_type}{bottoms}.param", tmp_path / f"{layer_type}{bottoms}.bin")
            make_model(layer).save(*pair)
            pairs.append(pair)
    loaded = set()
    for (param, _), (code, _, sizes) in zip(pairs, ncnn_reads(pairs), strict=True):
        assert sizes == [], param
        if code == 0:
            loaded.add(param.stem[:-1])
    assert len(loaded) > 50, "too few load without parameters for this to mean anything"


def shared_pairs(shared: Path) -> list[tuple[Path, Path]]:
    params = [*sorted(shared.glob("models/*.param")), *sorted(shared.glob("golden/*/*.param"))]
    assert len(params) >= 38
    return [(param, param.with_suffix(".bin")) for param in params]


def test_real_and_int8_models_round_trip(shared: Path, tmp_path: Path) -> None:
    for param, binary in shared_pairs(shared):
        model = load_model(param, binary)
        target = (tmp_path / "m.param", tmp_path / "m.bin")
        model.save(*target)
        assert target[0].read_bytes() == param.read_bytes(), param
        assert target[1].read_bytes() == binary.read_bytes(), param


def test_ncnn_reads_the_shared_models_like_us(shared: Path) -> None:
    pairs = [pair for pair in shared_pairs(shared) if pair[0].parent.parent.name == "golden"]
    for pair, found in zip(pairs, ncnn_reads(pairs), strict=True):
        assert found == [0, 0, read_sizes(load_model(*pair))], pair


def test_values_of_every_format() -> None:
    values = np.array([1.0, -2.5, 0.375], "<f4")
    np.testing.assert_array_equal(Weight.tagged_float32("w", values).float32(), values)
    np.testing.assert_array_equal(Weight.raw("w", values).float32(), values)
    np.testing.assert_array_equal(Weight.tagged_float16("w", values).float32(), values)
    np.testing.assert_array_equal(Weight.tagged_int8("w", [-127, 0, 5]).float32(), [-127, 0, 5])
    bits = np.array([0x3F80, 0xC020, 0x3EC0], "<u2")  # the same three numbers, cut to bfloat16
    np.testing.assert_array_equal(Weight("w", bits, "tagged", BFLOAT16_TAG).float32(), values)
    codebook = np.arange(256, dtype="<f4") / 4
    indices = np.array([255, 0, 7], "u1")
    np.testing.assert_array_equal(Weight("w", indices, "tagged", CODEBOOK_TAG, codebook).float32(), [63.75, 0.0, 1.75])
    with pytest.raises(ValueError, match="packed"):
        Weight.packed("w", [1, 2]).float32()


def test_float16_rounds_as_ncnn_and_overflows_to_infinity() -> None:
    weight = Weight.tagged_float16("w", [65504.0, 70000.0, -70000.0, 1e-9])
    np.testing.assert_array_equal(weight.data, np.array([65504, np.inf, -np.inf, 0], np.float16))


@pytest.mark.parametrize("storage", ["tagged", "packed"])
@pytest.mark.parametrize("garbage", [b"\0\0\0", b"\1\2\3", b"\xff\xff\xff"])
def test_padding_bytes_survive(garbage: bytes, storage: str, tmp_path: Path) -> None:
    layer = Layer("MemoryData", "m", [], ["top"], Params("0=5 21=3"))
    data = b"\1\2\3\4\5" + garbage
    if storage == "tagged":
        layer.params.set(21, 0)
        data = (0x000D4B38).to_bytes(4, "little") + data
    pair = (tmp_path / "m.param", tmp_path / "m.bin")
    pair[0].write_text(Model([layer]).param_text())
    pair[1].write_bytes(data)
    model = load_model(*pair)
    assert model.layer("m").weights["data"].data.tolist() == [1, 2, 3, 4, 5]
    assert model.bin_bytes() == data


def test_weights_are_views_that_cannot_be_changed(tmp_path: Path) -> None:
    pair = save_small(tmp_path)
    weight = load_model(*pair).layer("fc").weights["weight_data"]
    assert weight.data.base is not None
    with pytest.raises(ValueError, match="read-only"):
        weight.data[0] = 1


def save_small(folder: Path) -> tuple[Path, Path]:
    """in -> conv (18 float16 weights, 2 biases) -> fc (6 float32 weights)"""
    conv = make_layer("Convolution", ["in"], " 0=2 1=3 5=1 6=18", tag="float16")
    conv.name, conv.tops = "conv", ["mid"]
    linear = make_layer("InnerProduct", ["mid"], " 0=3 2=6")
    linear.name = "fc"
    pair = (folder / "m.param", folder / "m.bin")
    Model([Layer("Input", "in", [], ["in"]), conv, linear]).save(*pair)
    assert pair[1].stat().st_size == (4 + 36) + 8 + (4 + 24)
    return pair


@pytest.mark.parametrize("kept", range(0, 76, 3))
def test_truncated_bin(kept: int, tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    binary.write_bytes(binary.read_bytes()[:kept])
    name, line, array = (
        ("conv", 4, "weight_data") if kept < 40 else ("conv", 4, "bias_data") if kept < 48 else ("fc", 5, "weight_data")
    )
    with pytest.raises(ModelError) as caught:
        load_model(param, binary)
    message = str(caught.value)
    assert f"layer {name!r}" in message
    assert f"line {line}" in message
    assert array in message
    assert str(binary) in message
    assert str(param) in message
    assert "\n" not in message
    if kept >= 4 and kept < 40:
        assert f"at byte 0, weight_data needs 40 bytes, {kept} are left" in message


def test_bin_with_bytes_left_over(tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    binary.write_bytes(binary.read_bytes() + b"\0" * 12)
    with pytest.raises(ModelError, match="12 bytes are left after the last layer"):
        load_model(param, binary)


def test_a_bin_of_another_model(shared: Path) -> None:
    with pytest.raises(ModelError, match="belongs to"):
        load_model(shared / "models/squeezenet_v1.1.param", shared / "models/nanodet_m.bin")


def test_an_unknown_tag_that_does_not_fit_is_named(tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    data = bytearray(binary.read_bytes())
    data[0:4] = (0xDEADBEEF).to_bytes(4, "little")
    binary.write_bytes(data)
    with pytest.raises(ModelError, match=r"'conv'.*weight_data.*0xdeadbeef"):
        load_model(param, binary)


def test_custom_layers(tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    original = param.read_text()
    weightless = original.replace("5 4\n", "6 5\n").replace("3 3\n", "4 4\n") + "MyLayer mine 1 1 top out 0=7\n"
    param.write_text(weightless)
    assert load_model(param, binary).layer("mine").weights == {}
    binary.write_bytes(binary.read_bytes() + b"\1" * 8)
    with pytest.raises(ModelError, match=r"ncnn does not have these layer types: MyLayer \(1 layer\)"):
        load_model(param, binary)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("Convolution c 1 1 in out 0=2 1=3 6=-18", "impossible size of -18"),
        ("Convolution c 1 1 in out 0=2 1=3", "impossible size of 0"),
        ("Convolution c 1 1 in out 0=-2 1=3 5=1 6=18", "bias_data an impossible size of -2"),
        ("ConvolutionDepthWise c 1 1 in out 0=2 1=3 6=18 7=2 8=3", "8=3"),
        ("LSTM c 1 1 in out 0=0 1=48", "do not divide"),
        ("LSTM c 1 1 in out 0=4 1=50", "do not divide"),
        ("MultiHeadAttention c 1 1 in out 0=0 2=16", "not positive"),
        ("Gemm c 1 1 in out 3=1 5=1 8=4 9=5 18=500", "18=500"),
        ("Gemm c 1 1 in out 3=0 5=1 8=4 9=5 18=400", "block quantization needs"),
        ("Gemm c 2 1 in in out 6=1 7=4 8=4 9=5 10=5", "10=5"),
        ("MemoryData c 0 1 out 0=3 21=2", "21=2"),
        ("MemoryData c 0 1 out 0=3 2=5", "impossible size of 0"),
        ("Gemm c 1 1 in out 5=1 8=65536 9=65536", "impossible size of 4294967296"),
    ],
)
def test_parameters_that_ncnn_cannot_load(line: str, match: str, tmp_path: Path) -> None:
    pair = (tmp_path / "m.param", tmp_path / "m.bin")
    pair[0].write_text(f"7767517\n2 2\nInput in 0 1 in\n{line}\n")
    pair[1].write_bytes(b"")
    with pytest.raises(ModelError, match=f"layer 'c' .*line 4.*{match}"):
        load_model(*pair)


def test_infinite_and_nan_weights_are_readable_and_found(tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    load_model(param, binary).check_finite()
    data = bytearray(binary.read_bytes())
    data[44:48] = np.float32("nan").tobytes()
    binary.write_bytes(data)
    model = load_model(param, binary)
    with pytest.raises(ModelError, match=r"'conv'.*bias_data has 1 of 2 elements.*\[1\] = nan"):
        model.check_finite()
    data[44:48] = bytes(4)
    data[4:6] = np.float16("-inf").tobytes()
    binary.write_bytes(data)
    with pytest.raises(ModelError, match=r"'conv'.*weight_data has 1 of .*\[0\] = -inf"):
        load_model(param, binary).check_finite()


def test_a_mask_of_infinities_is_sound() -> None:
    mask = Weight.raw("data", np.array([0, -np.inf], np.float32))
    Model([Layer("MemoryData", "mask", [], ["mask"], Params(" 0=2"), {"data": mask})]).check_finite()


def test_saving_checks_weights_against_parameters(tmp_path: Path) -> None:
    model = load_model(*save_small(tmp_path))
    target = (tmp_path / "new.param", tmp_path / "new.bin")
    model.layer("fc").params.set(8, 2)
    with pytest.raises(ModelError, match=r"'fc'.*weight_data_int8_scales\[3\] raw"):
        model.save(*target)
    assert not target[0].exists()
    assert not target[1].exists()
    weights = model.layer("fc").weights
    weights["weight_data"] = Weight.tagged_int8("weight_data", np.zeros(6))
    weights["weight_data_int8_scales"] = Weight.raw("weight_data_int8_scales", [1, 2, 3])
    weights["bottom_blob_int8_scales"] = Weight.raw("bottom_blob_int8_scales", [4])
    model.save(*target)
    assert ncnn_reads([target])[0][:2] == [0, 0]
    assert load_model(*target).layer("fc").weights["weight_data_int8_scales"].data.tolist() == [1, 2, 3]


def test_saving_into_a_missing_folder_leaves_nothing(tmp_path: Path) -> None:
    model = load_model(*save_small(tmp_path))
    with pytest.raises(PyncnnqError, match="no such folder"):
        model.save(tmp_path / "new.param", tmp_path / "missing" / "new.bin")
    assert not (tmp_path / "new.param").exists()


def test_a_copy_is_independent(tmp_path: Path) -> None:
    model = load_model(*save_small(tmp_path))
    before = (model.param_text(), model.bin_bytes())
    other = model.copy()
    other.layer("fc").params.set(1, 1)
    other.layer("fc").weights["bias_data"] = Weight.raw("bias_data", [1, 2, 3])
    other.layer("conv").tops[0] = "renamed"
    other.layers.pop(0)
    assert (model.param_text(), model.bin_bytes()) == before
    assert other.layers[0].weights["weight_data"].data is model.layers[1].weights["weight_data"].data


def test_weight_data_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="flat float32"):
        Weight("w", np.zeros(3), "raw")
    with pytest.raises(ValueError, match="flat int8"):
        Weight("w", np.zeros((1, 3), "i1"), "tagged", 0x000D4B38)


def test_missing_files(tmp_path: Path) -> None:
    param, binary = save_small(tmp_path)
    with pytest.raises(ModelError, match=r"gone\.bin: no such file"):
        load_model(param, tmp_path / "gone.bin")
    with pytest.raises(ModelError, match=r"gone\.param: no such file"):
        load_model(tmp_path / "gone.param", binary)
    with pytest.raises(ModelError, match="is a folder"):
        load_model(param, tmp_path)
