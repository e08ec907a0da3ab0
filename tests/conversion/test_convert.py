"""`pyncnnq convert`: ONNX to a float ncnn model, checked against the ONNX Runtime."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest
from onnx_models import classifier, fixed_inside, lstm, node, quantized, run_onnx, two_inputs, with_operator, write_onnx
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.conversion import convert as conversion
from pyncnnq.conversion.convert import converting
from pyncnnq.conversion.pnnx import Output, find_pnnx, run_pnnx
from pyncnnq.conversion.shapes import GivenShape, Tensor, assign_shapes, read_tensors, write_tensors
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Weight

Cli = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("pnnx")

RNG = np.random.default_rng(1)


def random(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def test_a_real_network_agrees_with_the_onnx_runtime(cli: Cli, shared: Path, tmp_path: Path) -> None:
    """Against own runs of both on three photographs."""
    source, photographs = shared / "models" / "efficientnet_lite0.onnx", shared / "data" / "imagenet" / "calib"
    done = cli(
        "convert",
        source,
        photographs,
        "--preset",
        "efficientnet-lite",
        "-o",
        tmp_path / "net",
        "--workers",
        2,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (output,) = told["check"]["outputs"]
    assert told["check"]["samples"] == 8
    assert output["sqnr"] > 60
    preprocessing = Preprocessing((224, 224), (127.0,) * 3, (1 / 128,) * 3, "RGB", Resize("short-side", 256))
    expected, found = [], []
    for path in sorted(photographs.iterdir())[:3]:
        values = np.array(load_image(path, preprocessing))
        expected += run_onnx(source, **{onnx_input(source): values[None]})
        found.append(run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": values}, ["out0"])["out0"])
    assert sqnr(np.stack(expected), np.stack(found)) > 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.bin", "net.param", "net.toml"]


def onnx_input(source: Path) -> str:
    name: str = onnx.load(str(source)).graph.input[0].name
    return name


def test_inputs_and_outputs_keep_their_order(tmp_path: Path) -> None:
    """Outputs are numbered as the original has them, whichever is computed first."""
    source = two_inputs(tmp_path / "two.onnx")
    converted = pyncnnq.convert(source, tmp_path / "net", workers=1)
    image, depth = random(3, 24, 32), random(2, 24, 32)
    late, early = run_onnx(source, image=image[None], depth=depth[None])
    found = run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": image, "in1": depth}, ["out0", "out1"])
    assert sqnr(late, found["out0"]) > 100
    assert sqnr(early, found["out1"]) > 100
    assert converted.check is not None
    assert {one.name: one.original for one in converted.check.outputs} == {"out0": "late", "out1": "early"}
    assert converted.check.runtime == "onnxruntime"
    assert converted.check.made_up
    assert all(one.sqnr > 100 for one in converted.check.outputs)


def test_input_layers_state_the_sizes_that_are_fixed(tmp_path: Path) -> None:
    model = pyncnnq.convert(two_inputs(tmp_path / "two.onnx"), tmp_path / "net", workers=1).model
    assert [[layer.params.get_int(key, 0) for key in (0, 1, 2)] for layer in model.input_layers] == [
        [32, 24, 3],
        [32, 24, 2],
    ]
    model = pyncnnq.convert(lstm(tmp_path / "lstm.onnx"), tmp_path / "net", workers=1).model
    assert model.input_layers[0].params.keys() == [0, 1]
    assert [model.input_layers[0].params.get_int(key, 0) for key in (0, 1)] == [10, 12]
    model = pyncnnq.convert(
        classifier(tmp_path / "dynamic.onnx", height="h", width="w"), tmp_path / "net", workers=1
    ).model
    assert model.input_layers[0].params.keys() == []


def test_weights_are_not_rounded(tmp_path: Path) -> None:
    source = classifier(tmp_path / "net.onnx")
    model = pyncnnq.convert(source, tmp_path / "net", workers=1).model
    expected = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(str(source)).graph.initializer}
    found = [layer.weights["weight_data"] for layer in model.layers if layer.weights]
    assert [weight.format for weight in found] == ["float32"] * 3
    for weight, name in zip(found, ("w1", "w2", "w3"), strict=True):
        np.testing.assert_array_equal(weight.float32(), expected[name].ravel())


def test_lengths_that_pnnx_cannot_guess_are_given(tmp_path: Path) -> None:
    source = fixed_inside(tmp_path / "net.onnx")
    pyncnnq.convert(source, tmp_path / "net", shape=["1,3,20,20", "1,3,40,10"], workers=1)
    image = random(3, 25, 16)
    found = run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": image}, ["out0"])["out0"]
    assert sqnr(run_onnx(source, image=image[None])[0], found) > 100


@pytest.mark.parametrize("shapes", [[], ["1,3,40,48", "1,3,64,32"], ["image=1,3,40,48", "in0=1,3,64,32"]])
def test_height_and_width_that_are_not_fixed(tmp_path: Path, shapes: list[str]) -> None:
    source = classifier(tmp_path / "dynamic.onnx", height="h", width="w", batch="n")
    converted = pyncnnq.convert(source, tmp_path / "net", shape=shapes, workers=1)
    assert str(converted.original.inputs[0]) == "1,3,?,?"
    for height, width in ((24, 56), (61, 35)):
        image = random(3, height, width)
        found = run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": image}, ["out0"])["out0"]
        assert sqnr(run_onnx(source, image=image[None])[0], found) > 100


def test_a_sequence_whose_length_is_not_fixed(tmp_path: Path) -> None:
    source = lstm(tmp_path / "lstm.onnx", "t")
    pyncnnq.convert(source, tmp_path / "net", shape=["12,1,10", "7,1,10"], workers=1)
    for length in (12, 7, 20):
        x = random(length, 10)
        found = run_ncnn(tmp_path / "net.param", tmp_path / "net.bin", {"in0": x}, ["out0"])["out0"]
        assert sqnr(run_onnx(source, x=x[:, None])[0], np.squeeze(found)) > 100


def test_weights_in_another_file(tmp_path: Path) -> None:
    """pnnx alone would take whatever is in memory for them."""
    source = tmp_path / "outside.onnx"
    model = onnx.load(str(classifier(tmp_path / "inside.onnx")))
    onnx.save(model, str(source), save_as_external_data=True, location="outside.data", size_threshold=0)
    pyncnnq.convert(source, tmp_path / "outside")
    pyncnnq.convert(tmp_path / "inside.onnx", tmp_path / "inside")
    assert (tmp_path / "outside.bin").read_bytes() == (tmp_path / "inside.bin").read_bytes()
    (tmp_path / "outside.data").unlink()
    with pytest.raises(PyncnnqError, match=r"outside\.onnx: .*other files"):
        pyncnnq.convert(source, tmp_path / "again")


def test_a_model_that_computes_something_else_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    with converting(two_inputs(tmp_path / "two.onnx"), []) as converted:
        model = converted.model
        layer = model.graph().producer("out0")
        assert layer is not None
        wrong = layer.weights["weight_data"].float32() * np.linspace(0.9, 1.1, 40, dtype=np.float32)
        layer.weights["weight_data"] = Weight.tagged_float32("weight_data", wrong)
        assert model.param_path is not None
        assert model.bin_path is not None
        model.save(model.param_path, model.bin_path)
        with pytest.raises(PyncnnqError, match=r"two\.onnx: .*out0 \(late\) is 2\d\.\d dB from that of onnxruntime"):
            converted.check_on_random(1)


def test_without_the_original_runtime_it_says_that_nothing_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "has_runtime", lambda _: False)
    converted = pyncnnq.convert(classifier(tmp_path / "net.onnx"), tmp_path / "net", workers=1)
    assert converted.check is None
    assert "pip install onnxruntime" in converted.warnings[0]


def test_a_model_of_pnnx_with_a_blob_that_no_layer_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ncnn would wait for somebody to fill it."""

    def drop_a_layer(*arguments: object) -> Output:
        output = run_pnnx(*arguments)  # type: ignore[arg-type]
        magic, counts, first, dropped, *others = output.param.read_text().splitlines()
        assert " 1 1 in0 " in dropped
        layers, blobs = map(int, counts.split())
        output.param.write_text("\n".join([magic, f"{layers - 1} {blobs}", first, *others, ""]))
        return output

    monkeypatch.setattr(conversion, "run_pnnx", drop_a_layer)
    path = write_onnx(
        tmp_path / "a.onnx", [node("Sigmoid", "x", "h"), node("Relu", "h", "y")], {"x": [1, 3, 8, 8]},
        {"y": [1, 3, 8, 8]}, {},
    )  # fmt: skip
    with pytest.raises(PyncnnqError, match=r"a\.onnx: .* no sound ncnn model: its inputs are .*which no layer writes"):
        pyncnnq.convert(path, tmp_path / "net")


def test_without_pnnx_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = classifier(tmp_path / "net.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(PyncnnqError, match="pip install --no-deps pnnx"):
        pyncnnq.convert(source, tmp_path / "net", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_finding_pnnx_does_not_import_it(cli: Cli, tmp_path: Path) -> None:
    """Its package needs PyTorch."""
    done = cli("convert", classifier(tmp_path / "net.onnx"), "--quiet", PYTHONVERBOSE="", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert find_pnnx().is_file()
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "pyncnnq.conversion.pnnx" in imported
    assert not imported & {"pnnx", "torch", "onnxruntime"}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def cut_off(folder: Path) -> Path:
    data = classifier(folder / "whole.onnx").read_bytes()
    return write(folder / "cut.onnx", data[: len(data) // 2])


def state_dict(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "weights.pt", "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}q\x00.")
    return folder / "weights.pt"


# What is given and what the message says beside the file's name.
FAULTS: dict[str, tuple[Callable[[Path], list[object]], list[str]]] = {
    "text": (lambda folder: [write(folder / "a.onnx", b"not a model\n" * 9)], ["not an ONNX model"]),
    "empty": (lambda folder: [write(folder / "a.onnx", b"")], ["not an ONNX model"]),
    "cut off": (lambda folder: [cut_off(folder)], ["not an ONNX model", "cut off"]),
    "no file": (lambda folder: [folder / "a.onnx"], ["no such file"]),
    "a folder": (lambda folder: [folder], ["is a folder, not a file"]),
    "weights alone": (lambda folder: [state_dict(folder)], ["not TorchScript", "torch.jit.trace"]),
    "an operator that ncnn has not": (
        lambda folder: [with_operator(folder / "a.onnx", "Det")],
        ["Det", "cut the model"],
    ),
    "an operator of another domain": (
        lambda folder: [with_operator(folder / "a.onnx", "MyOp", "my.own")],
        ["my.own:MyOp"],
    ),
    "quantized already": (lambda folder: [quantized(folder / "a.onnx")], ["import_qdq"]),
    "lengths that pnnx cannot guess": (
        lambda folder: [fixed_inside(folder / "a.onnx")],
        ["Gemm", "1,3,128,128", "give --shape"],
    ),
    "newer opset": (lambda folder: [classifier(folder / "a.onnx", opset=99)], ["opset 99", "older opset"]),
    "batch": (lambda folder: [classifier(folder / "a.onnx", batch=2)], ["batch of 2"]),
    "another shape": (
        lambda folder: [classifier(folder / "a.onnx"), "--shape", "1,4,32,32"],
        ["1,3,32,32", "1,4,32,32"],
    ),
    "axes": (lambda folder: [classifier(folder / "a.onnx"), "--shape", "3,32,32"], ["4 axes", "batch axis"]),
    "no shape": (lambda folder: [classifier(folder / "a.onnx"), "--shape", "1,3,x"], ["--shape: '1,3,x'"]),
    "unknown input": (
        lambda folder: [classifier(folder / "a.onnx"), "--shape", "picture=1,3,32,32"],
        ["'picture'", "image"],
    ),
    "images that do not fit": (
        lambda folder: [classifier(folder / "a.onnx"), DEMO.images, "--preset", "none", "--size", "48,48"],
        ["1,3,48,48", "original"],
    ),
    "images without preprocessing": (lambda folder: [classifier(folder / "a.onnx"), DEMO.images], ["mean, norm", "--"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_line_and_nothing_is_written(cli: Cli, tmp_path: Path, fault: str) -> None:
    arguments, words = FAULTS[fault][0](tmp_path), FAULTS[fault][1]
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    done = cli("convert", *arguments, "-o", out / "net", "--workers", 1, TMPDIR=str(temporary))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(re.findall(r"^error: ", done.stderr, re.MULTILINE)) == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert str(temporary) not in done.stderr
    assert not list(out.iterdir())
    assert not list(temporary.iterdir())


def test_the_model_itself_is_not_overwritten(cli: Cli, tmp_path: Path) -> None:
    source = classifier(tmp_path / "net.param")
    before = source.read_bytes()
    done = cli("convert", source)
    assert done.returncode == 2
    assert "would overwrite the input" in done.stderr
    assert source.read_bytes() == before


def test_shapes_as_pnnx_writes_and_reads_them() -> None:
    tensors = [Tensor((1, 3, None, 224)), Tensor((1, 7), "i64")]
    assert read_tensors("(1,3,?,224)f32,(1,7)i64") == tensors
    assert write_tensors(tensors) == "[1,3,?,224]f32,[1,7]i64"
    assert read_tensors(write_tensors(tensors)) == tensors


def test_which_input_a_shape_is_of() -> None:
    inputs = [Tensor((1, 3, 8, 8)), Tensor((1, 9), "i64")]

    def assign(*texts: str) -> tuple[list[str], list[str]]:
        first, second = assign_shapes([GivenShape.parse(text) for text in texts], inputs, lambda: ["image", "ids"])
        assert all(one.kind == known.kind for row in (first, second) for one, known in zip(row, inputs, strict=False))
        return [str(one) for one in first], [str(one) for one in second]

    assert assign("1,3,4,4") == (["1,3,4,4", "1,9"], [])
    assert assign("1,3,4,4", "1,5") == (["1,3,4,4", "1,5"], [])
    assert assign("1,3,4,4", "1,5", "1,3,6,6", "1,5") == (["1,3,4,4", "1,5"], ["1,3,6,6", "1,5"])
    assert assign("ids=1,5", "in1=1,6") == (["1,3,8,8", "1,5"], ["1,3,8,8", "1,6"])
    with pytest.raises(InputError, match="3 shapes for input in1"):
        assign("ids=1,5", "in1=1,6", "ids=1,7")
