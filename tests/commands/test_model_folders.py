"""A folder, or one file, in the place of the two files of a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import pyncnnq
from pyncnnq.commands.model_files import take_model
from pyncnnq.demo import DEMO
from pyncnnq.errors import ModelError

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    names = (
        "net/model.ncnn.param net/model.ncnn.bin net/metadata.yaml net/other.param net/.hidden.param net/.hidden.bin "
        "both/a.param both/a.bin both/a-int8.param both/a-int8.bin lone/b-int8.param lone/b-int8.bin "
        "several/a.param several/a.bin several/b.param several/b.bin imgs/1.jpg none/model.onnx none/x.param "
        "w.dat list.txt"
    )
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "model", "rest"),
    [
        ("net imgs", "net/model.ncnn.param net/model.ncnn.bin", "imgs"),
        ("net/ imgs more", "net/model.ncnn.param net/model.ncnn.bin", "imgs more"),
        ("both imgs", "both/a.param both/a.bin", "imgs"),
        ("lone imgs", "lone/b-int8.param lone/b-int8.bin", "imgs"),
        ("both/a.param imgs", "both/a.param both/a.bin", "imgs"),
        ("both/a.param", "both/a.param both/a.bin", ""),
        ("both/a.param list.txt", "both/a.param both/a.bin", "list.txt"),
        ("both/a.param 1.JPG", "both/a.param both/a.bin", "1.JPG"),
        ("both/a.param mean=[1]", "both/a.param both/a.bin", "mean=[1]"),
        ("both/a.param both/a-int8.param imgs", "both/a.param both/a.bin", "both/a-int8.param imgs"),
        ("both/a.param several/a.bin imgs", "both/a.param several/a.bin", "imgs"),
        ("both/a.param w.dat imgs", "both/a.param w.dat", "imgs"),
        ("both/a.param /dev/stdin imgs", "both/a.param /dev/stdin", "imgs"),
        ("net/other.param imgs", "net/other.param imgs", ""),
        ("missing.param x", "missing.param x", ""),
        ("missing.param", "missing.param", ""),
        ("", "", ""),
    ],
)
def test_what_stands_for_a_model(place: Path, arguments: str, model: str, rest: str) -> None:  # noqa: ARG001
    files, left = take_model(arguments.split())
    assert (" ".join(map(str, files)), " ".join(left)) == (model, rest)


@pytest.mark.parametrize(
    ("folder", "model"), [("both", "both/a-int8"), ("lone", "lone/b-int8"), ("net", "net/model.ncnn")]
)
def test_an_int8_model_of_a_folder(place: Path, folder: str, model: str) -> None:  # noqa: ARG001
    files, _ = take_model([folder], int8=True)
    assert files == [Path(f"{model}.param"), Path(f"{model}.bin")]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("several", "several: holds 2 models, a.param, b.param: name the two files of one of them"),
        ("none", "none: is a folder without a model of ncnn, NAME.param and NAME.bin, but model.onnx; name its files"),
        ("imgs", "imgs: is a folder without a model of ncnn, NAME.param and NAME.bin; name its files"),
        ("x/net.onnx", "x/net.onnx: is an ONNX model, and not one of ncnn: pyncnnq deploy net.onnx IMAGES -o FOLDER"),
        ("net.PT", "net.PT: is a file of PyTorch, and not one of ncnn: if it is TorchScript, pyncnnq deploy net.PT"),
        ("net.pth", "pyncnnq convert net.pth"),
        ("net.torchscript", "pyncnnq convert net.torchscript"),
        ("net.tflite", "tf2onnx makes ONNX of it"),
        ("net.caffemodel", "caffe2ncnn"),
        ("net.prototxt", "caffe2ncnn"),
        ("net.pdmodel", "paddle2onnx"),
        ("net.weights", "darknet2ncnn"),
        ("net.safetensors", "weights without a network"),
    ],
)
def test_what_does_not(place: Path, argument: str, problem: str) -> None:  # noqa: ARG001
    with pytest.raises(ModelError) as caught:
        take_model([argument, "imgs"])
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_many_models(place: Path) -> None:
    for number in range(30):
        for ending in ("param", "bin"):
            (place / f"several/m{number}.{ending}").touch()
    with pytest.raises(ModelError, match=r"holds 32 models, (\w+\.param, ){10}\.\.\.: name"):
        take_model(["several"])


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("calibrate", "Error: Missing argument 'PARAM'."),
        ("calibrate model.param", "Error: Missing argument 'BIN'."),
        ("evaluate both/a.param both/a.bin both/a-int8.param", "error: "),
        ("evaluate both", "Error: Missing argument 'INT8_PARAM'."),
        ("quantize both", "Error: Missing argument 'TABLE|DATA...'."),
        ("inspect both more words", "Error: Got unexpected extra arguments (more words)"),
        ("quantize net.onnx imgs", "error: net.onnx: is an ONNX model"),
        ("analyze both net.tflite imgs", "error: net.tflite: is a model of TensorFlow"),
        ("dequantize several", "error: several: holds 2 models"),
    ],
)
def test_wrong_arguments(cli: Cli, place: Path, command: str, line: str) -> None:
    done = cli(*command.split(), cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(line)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float model, its preprocessing, its table and its int8 model."""
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copy(DEMO.param, folder / "model.param")
    shutil.copy(DEMO.bin, folder / "model.bin")
    model = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel="RGB")
    table = pyncnnq.calibrate(model, DEMO.images, options=options, samples=4, workers=1).table
    table.write(folder / "model.table")
    pyncnnq.quantize(model, table).save(folder / "model-int8.param", folder / "model-int8.bin")
    (folder / "model.toml").write_text(
        f'[[input]]\nmean = {list(DEMO.mean)}\nnorm = {list(DEMO.norm)}\npixel = "RGB"\n'
    )
    return folder


QUICK = ("--samples", "4", "--workers", "1")


def test_each_command_takes_folders(cli: Cli, deployed: Path, tmp_path: Path) -> None:
    """And says the same as with the files of the models."""
    pair, int8 = (["model.param", "model.bin"], ["model-int8.param", "model-int8.bin"])
    for short, whole in (
        (["inspect", "."], ["inspect", *pair]),
        (["inspect", "model.param"], ["inspect", *pair]),
        (["evaluate", ".", ".", DEMO.images, *QUICK], ["evaluate", *pair, *int8, DEMO.images, *QUICK]),
        (["analyze", "model.param", ".", DEMO.images, *QUICK], ["analyze", *pair, *int8, DEMO.images, *QUICK]),
        (
            ["quantize", ".", "model.table", "-o", tmp_path / "q"],
            ["quantize", *pair, "model.table", "-o", tmp_path / "q"],
        ),
    ):
        first, second = (cli(*words, "--json", cwd=deployed) for words in (short, whole))
        assert (first.returncode, second.returncode) == (0, 0), first.stderr
        told, expected = json.loads(first.stdout), json.loads(second.stdout)
        for facts in (told, expected):
            facts.pop("speed", None)
            facts.get("memory", {}).pop("peak", None)
        assert told == expected


def test_outputs_stand_beside_the_files_of_the_model(cli: Cli, deployed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(deployed, copy)
    for name in ("model.table", "model-int8.param", "model-int8.bin", "model-int8.json"):
        (copy / name).unlink()
    assert cli("calibrate", "copy", DEMO.images, *QUICK, cwd=tmp_path).returncode == 0
    assert (copy / "model.table").read_bytes() == (deployed / "model.table").read_bytes()
    assert cli("quantize", "copy/", "copy/model.table", cwd=tmp_path).returncode == 0
    for name in ("model-int8.param", "model-int8.bin"):
        assert (copy / name).read_bytes() == (deployed / name).read_bytes()
    done = cli("calibrate", "copy", "copy/images", "-o", "copy/model.param", cwd=tmp_path)
    assert "would overwrite the input copy/model.param" in done.stderr
    assert cli("dequantize", "copy", cwd=tmp_path).returncode == 0
    assert (copy / "model-int8-float.param").exists()
