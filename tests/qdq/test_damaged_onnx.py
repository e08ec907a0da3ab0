"""Damaged ONNX files: an error of one line that names the file, and the node or the tensor where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qdq_models import Network

from pyncnnq.conversion.original import format_of, prepare_onnx
from pyncnnq.errors import ModelError
from pyncnnq.qdq.reading import read_qdq

Change = Callable[[onnx.ModelProto], object]


def sound(path: Path) -> onnx.ModelProto:
    """QuantizeLinear, DequantizeLinear, and a Conv with int8 weights: constants are c0 to c5."""
    network = Network(1, 2, 4, 4)
    x = network.pair("x", 0.1, 3)
    weight = network.add("Transpose", network.weight(network.integers(2, 2, 1, 1), np.full(2, 0.01)), perm=[0, 1, 3, 2])
    network.save(path, network.add("Clip", network.conv(x, 2, 2, weight=weight), network.constant(0.0)))
    return onnx.load(path)


def node(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(one for one in model.graph.node if one.op_type == kind)


def weights(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(one for one in model.graph.initializer if len(one.dims) == 4)


def steps(model: onnx.ModelProto, *values: float) -> None:
    step = node(model, "QuantizeLinear").input[1]
    tensor = next(one for one in model.graph.initializer if one.name == step)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(values, np.float32).reshape((values[1:] and -1) or ()), step))


def strings(tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, [2, 2, 1, 1], [b"a"] * 4))


def elsewhere(tensor: onnx.TensorProto, **entries: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def circle(model: onnx.ModelProto) -> None:
    node(model, "QuantizeLinear").input[0] = node(model, "Conv").output[0]


def recursive(model: onnx.ModelProto) -> None:
    function = model.functions.add(domain="own", name="f")
    function.node.add(op_type="f", domain="own")
    model.opset_import.add(domain="own", version=1)
    model.graph.node.add(op_type="f", domain="own", output=["y"])


DAMAGE: dict[str, tuple[Change, str]] = {
    "no inputs": (lambda m: m.graph.node[0].ClearField("input"), r"\(QuantizeLinear\): has 0 inputs; expected 2 to 3"),
    "an empty input": (lambda m: node(m, "Conv").input.__setitem__(1, ""), r"\(Conv\): has no W among its inputs"),
    "no outputs": (lambda m: node(m, "Conv").ClearField("output"), r"no output"),
    "an unknown input": (lambda m: node(m, "Conv").input.__setitem__(0, "none"), r"\(Conv\): reads 'none'"),
    "a circle": (circle, r"computed from its own output"),
    "a name twice": (lambda m: m.graph.node.append(node(m, "Conv")), r"go by the name 'conv_"),
    "an attribute of another type": (
        lambda m: node(m, "Transpose").attribute[0].CopyFrom(helper.make_attribute("perm", 1)),
        r"attribute 'perm': is of type INT; expected INTS",
    ),
    "an attribute of no type": (
        lambda m: node(m, "Transpose").attribute[0].ClearField("type"),
        r"'perm': it is of the",
    ),
    "axes beyond": (
        lambda m: node(m, "Transpose").attribute[0].CopyFrom(helper.make_attribute("perm", [0, 1, 2, 9])),
        r"has the axes \[0, 1, 2, 9\] of a constant of shape \[2, 2, 1, 1\]",
    ),
    "too few bytes": (
        lambda m: setattr(weights(m), "raw_data", b"123"),
        r"\[2, 2, 1, 1\] are 4 bytes, but there are 3",
    ),
    "a negative length": (lambda m: weights(m).dims.__setitem__(0, -2), r"its dimensions are \[-2, 2, 1, 1\]"),
    "a huge length": (lambda m: weights(m).dims.__setitem__(0, 2**62), r"but there are 4"),
    "an unknown type": (lambda m: setattr(weights(m), "data_type", 99), r"unknown type 99"),
    "strings": (lambda m: strings(weights(m)), r"\(DequantizeLinear\): has weights of type"),
    "a segment": (lambda m: weights(m).segment.MergeFrom(TensorProto.Segment(begin=0, end=1)), r"one segment"),
    "a scale that is no number": (lambda m: steps(m, float("nan")), r"no list of positive numbers"),
    "an infinite scale": (lambda m: steps(m, float("inf")), r"no list of positive numbers"),
    "a scale of zero": (lambda m: steps(m, 0), r"has the scale 0"),
    "a huge scale": (lambda m: steps(m, 3e38), r"has the scale 3e\+38"),
    "a negative scale": (lambda m: steps(m, -1), r"no list of positive numbers"),
    "two scales": (lambda m: steps(m, 0.1, 0.2), r"2 scales"),
    "no opset": (lambda m: m.ClearField("opset_import"), r"version of its opset"),
    "no nodes": (lambda m: m.graph.ClearField("node"), r"no nodes"),
    "an input of no type": (lambda m: m.graph.input[0].ClearField("type"), r"input 'x' is no tensor"),
    "a function that calls itself": (recursive, r"function 'f' calls itself"),
    "weights in a device": (lambda m: elsewhere(weights(m), location="/dev/zero"), r"no name of a file beside"),
    "weights in another folder": (lambda m: elsewhere(weights(m), location="../a"), r"no name of a file beside"),
    "weights nowhere": (lambda m: elsewhere(weights(m)), r"no name of a file beside"),
    "weights in a missing file": (lambda m: elsewhere(weights(m), location="none"), r"No such file"),
    "weights in a folder": (lambda m: elsewhere(weights(m), location="."), r"is no file"),
    "weights beyond the file": (
        lambda m: elsewhere(weights(m), location="a.onnx", offset=str(2**40), length="4"),
        r"is it complete",
    ),
    "weights at no number": (lambda m: elsewhere(weights(m), location="a.onnx", offset="many"), r"is no number"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, damage: str) -> None:
    change, words = DAMAGE[damage]
    path = tmp_path / "a.onnx"
    model = sound(path)
    read_qdq(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=words) as raised:
        read_qdq(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_refused_before_pnnx_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    model = sound(path)
    weights(model).raw_data = b"123"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="are 4 bytes"):
        prepare_onnx(path, tmp_path)


def test_nodes_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    model = sound(path)
    expected = read_qdq(path).model.graph
    turned = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(turned)
    path.write_bytes(model.SerializeToString())
    found = read_qdq(path).model.graph
    assert [one.op_type for one in found.node] == [one.op_type for one in expected.node]


@pytest.mark.parametrize("length", [0, 1, 7, 60, 200])
def test_a_file_that_is_cut_off(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.onnx"
    sound(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError):
        read_qdq(path)


FOREIGN: dict[str, tuple[bytes, str]] = {
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html><html><body>404", "web page"),
    "param": (b"7767517\n1 1\nInput x 0 1 x\n", "ncnn model"),
    "gzip": (b"\x1f\x8b\x08\0", "archive"),
    "ZIP": (b"PK\x03\x04", "ZIP archive"),
    "pickle": (b"\x80\x02}q\0.", "pickle"),
    "zeros": (bytes(99), "zeros"),
    "text": (b"a model\n", "text"),
    "empty": (b"", "empty"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    content, words = FOREIGN[kind]
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    for reader in (format_of, read_qdq):
        with pytest.raises(ModelError, match=words):
            reader(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    os.mkfifo(path)
    for reader in (format_of, read_qdq):
        with pytest.raises(ModelError, match="pipe"):
            reader(path)
