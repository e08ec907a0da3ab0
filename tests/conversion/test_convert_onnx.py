"""ONNX models whose floats are not float32, or whose lengths are open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import classifier, node, run_onnx, weights, write_onnx
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.conversion.pnnx import ConversionError
from pyncnnq.conversion.shapes import describe_open
from pyncnnq.demo import DEMO

Cli = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("pnnx")


def narrowed(folder: Path, kind: int, *, inside: bool, size: int = 32) -> Path:
    """The classifier with weights of another type; inputs and outputs too, or float32 ones between Casts."""
    model = onnx.load(classifier(folder / "float32.onnx", height=size, width=size))
    graph = model.graph
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    if inside:
        nodes = [node("Cast", "image", "x", to=kind), *graph.node, node("Cast", "out", "logits", to=TensorProto.FLOAT)]
        nodes[1].input[0], nodes[-2].output[0], nodes[-2].name = "x", "out", "gemm"
        copies = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    else:
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.elem_type = kind
    onnx.save(model, folder / "narrow.onnx")
    return folder / "narrow.onnx"


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE"])
def test_other_floats_become_float32(tmp_path: Path, kind: str, inside: bool) -> None:
    source = narrowed(tmp_path, getattr(TensorProto, kind), inside=inside)
    before = source.read_bytes()
    converted = pyncnnq.convert(source, tmp_path / "net", workers=1)
    assert source.read_bytes() == before
    (warning,) = converted.warnings
    assert f"{kind.lower().replace('double', 'float64')} numbers are taken as float32" in warning
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    found = run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": image[0]}, ["out0"])["out0"]
    if kind == "FLOAT16":
        given = image if inside else image.astype(np.float16)
        assert sqnr(run_onnx(source, image=given)[0].astype(np.float32), found) > 60  # of numbers with 11 bits
    else:  # onnxruntime's convolution knows neither
        least = 35 if kind == "BFLOAT16" else 100  # weights of 8 bits
        assert sqnr(run_onnx(tmp_path / "float32.onnx", image=image)[0], found) > least


def test_float16_is_deployed(cli: Cli, tmp_path: Path) -> None:
    source = narrowed(tmp_path, TensorProto.FLOAT16, inside=False)
    done = cli(
        "deploy", source, DEMO.images, "-o", tmp_path / "out", "--preset", "zero-one", "--recipe", "table", "--json",
        "--workers", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert any("float16" in warning for warning in facts["warnings"])


def sequence(path: Path) -> Path:
    """Adds the positions, as many as the sequence is long: sizes that are computed while running."""
    nodes = [
        node("Shape", "tokens", "s"),
        node("Gather", "s one", "n", axis=0),
        node("Range", "zero n one", "r"),
        node("Gather", "table r", "p", axis=0),
        node("Add", "tokens p", "a"),
        node("MatMul", "a w", "out"),
    ]
    constants = weights(table=(1024, 10), w=(10, 5)) | {"zero": np.array(0, np.int64), "one": np.array(1, np.int64)}
    return write_onnx(path, nodes, {"tokens": ("batch", "seq", 10)}, {"out": ("batch", "seq", 5)}, constants)


def test_open_lengths_are_named_with_the_shape_to_type(cli: Cli, tmp_path: Path) -> None:
    source = sequence(tmp_path / "a.onnx")
    done = cli("convert", source, "-o", tmp_path / "net")
    assert done.returncode == 2
    assert "input 'tokens' leaves the length of axis 0 (batch), 1 (seq) open" in done.stderr
    assert "--shape tokens=1,128,10" in done.stderr
    assert "arange" in done.stderr
    done = cli("convert", source, "-o", tmp_path / "net", "--shape", "tokens=1,24,10")
    assert done.returncode == 0, done.stderr


def test_lengths_that_are_fixed_are_not_said_to_be_open(tmp_path: Path) -> None:
    nodes = [node("Conv", "image w", "a"), node("Det", "a", "out")]
    source = write_onnx(tmp_path / "a.onnx", nodes, {"image": (1, 3, 12, 12)}, {"out": (1, 8)}, weights(w=(8, 3, 3, 3)))
    with pytest.raises(ConversionError, match=r"Det.*cut the model") as raised:
        pyncnnq.convert(source, tmp_path / "net")
    assert "leaves the length" not in str(raised.value)


@pytest.mark.parametrize(
    ("axes", "example"),
    [
        (["batch", 3, "height", "width"], "1,3,224,224"),
        (["", "", "", ""], "1,3,224,224"),
        ([1, 3, "h", 640], "1,3,640,640"),
        (["N", "sequence", 80], "1,128,80"),
        (["seq_len", 1, 80], "128,1,80"),
        (["batch", 9], "1,9"),
    ],
)
def test_the_example_is_likely(axes: list[int | str], example: str) -> None:
    assert f'`shape=["a={example}"]`' in describe_open([("b", [1, 2]), ("a", axes)])
    assert "'b'" not in describe_open([("b", [1, 2]), ("a", axes)])


def test_nothing_open_needs_no_advice() -> None:
    assert describe_open([("a", [1, 3, 4])]) == ""
