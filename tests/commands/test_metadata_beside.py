"""Commands without options, on models with metadata beside them; and the metadata that commands write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cv2
import numpy as np
import pytest
from onnx_models import classifier
from qdq_models import Network
from small_models import convolution, model_of, plain

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import read_config
from pyncnnq.inputs.metadata import find_metadata
from pyncnnq.model import Model

Cli = Callable[..., CompletedProcess[str]]

QUICK = ("--samples", "6", "--workers", "1")
TYPED = ("--mean", "128,128,128", "--norm", "0.015625,0.015625,0.015625", "--pixel", "RGB")
SAID = "RGB, size 64,64, mean 128,128,128, norm 0.015625,0.015625,0.015625, resize stretch"


def run(*words: object) -> None:
    """Run a command in this process."""
    commands.main(list(map(str, words)), standalone_mode=False)


def facts(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """Run a command with --json, and return what it prints."""
    capsys.readouterr()
    run(*words, "--json")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(DEMO.param, tmp_path / "net.param")
    shutil.copy(DEMO.bin, tmp_path / "net.bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demos_folder_needs_no_options(cli: Cli, tmp_path: Path) -> None:
    assert cli("demo", "d", cwd=tmp_path).returncode == 0
    expected = (tmp_path / "d/model.table").read_bytes()
    (tmp_path / "d/model.table").unlink()
    done = cli("calibrate", "d/model.param", "d/model.bin", "d/images", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"preprocessing from model.toml: {SAID}"
    assert (tmp_path / "d/model.table").read_bytes() == expected
    typed = cli("calibrate", "d", "d/images", *TYPED, "-o", "typed.table", cwd=tmp_path)
    assert typed.returncode == 0
    assert (tmp_path / "typed.table").read_bytes() == expected


def test_what_was_used_stands_everywhere(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the JSON of all commands, in the table and in the manifest."""
    run("calibrate", "net.param", DEMO.images, *TYPED, *QUICK, "--save-config", "-q")
    expected = {
        "name": "in0",
        "kind": "image",
        "pixel": "RGB",
        "size": [64, 64],
        "mean": [128.0] * 3,
        "norm": [0.015625] * 3,
        "resize": "stretch",
        "from": "net.toml",
    }
    assert facts(capsys, "calibrate", "net.param", DEMO.images, *QUICK)["inputs"] == [expected]
    assert pyncnnq.Table.read(place / "net.table").comments() == [f"# input in0: {SAID}"]
    made = facts(capsys, "quantize", "net.param", DEMO.images, *QUICK, "--recipe", "table", "--adjusted", "adjusted")
    assert made["inputs"] == [expected]
    manifest = json.loads((place / "net-int8.json").read_text())
    assert manifest["calibration"]["inputs"] == [expected]
    assert f"# input in0: {SAID}" in (place / "adjusted.table").read_text().splitlines()
    pair = ("net.param", "net.bin", "net-int8.param", "net-int8.bin")
    assert facts(capsys, "evaluate", *pair, DEMO.images, *QUICK)["inputs"] == [expected]
    analysis = facts(capsys, "analyze", *pair, DEMO.images, *QUICK, "--mean", "1,2,3")
    assert analysis["inputs"] == [{**expected, "mean": [1.0, 2.0, 3.0], "from": "net.toml and options"}]


def test_the_comment_changes_nothing(place: Path) -> None:
    """The same int8 model as without it."""
    run("calibrate", "net.param", DEMO.images, *TYPED, *QUICK, "-q")
    lines = (place / "net.table").read_text().splitlines(keepends=True)
    assert sum(line.startswith("#") for line in lines) == 1
    run("quantize", "net.param", "net.table", "-o", "with")
    (place / "net.table").write_text("".join(line for line in lines if not line.startswith("#")))
    run("quantize", "net.param", "net.table", "-o", "without")
    assert (place / "with.bin").read_bytes() == (place / "without.bin").read_bytes()


def test_python_reads_it_too(place: Path) -> None:
    run("calibrate", "net.param", DEMO.images, *TYPED, *QUICK, "--save-config", "-q")
    model = pyncnnq.load_model(place / "net.param", place / "net.bin")
    result = pyncnnq.calibrate(model, DEMO.images, samples=6, workers=1)
    assert result.table.text() == (place / "net.table").read_text()
    assert result.inputs[0]["from"] == "net.toml"


def test_notes_are_warnings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of quiet commands; in JSON they stand with the input."""
    (place / "config.json").write_text(json.dumps({"architecture": "a", "input_size": [3, 64, 64]}))
    note = "config.json: resizes by bicubic; here it is bilinear"
    run("calibrate", "net.param", DEMO.images, *QUICK, "-q")
    output = capsys.readouterr()
    assert (output.out, output.err.splitlines()) == ("", [f"warning: {note}"])
    told = facts(capsys, "calibrate", "net.param", DEMO.images, *QUICK)
    assert told["inputs"][0]["notes"] == [note]
    (place / "config.json").write_text("{")
    run("calibrate", "net.param", DEMO.images, *QUICK, *TYPED, "-q")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: config.json: is not JSON")


def test_a_file_of_the_user_is_never_replaced(place: Path) -> None:
    mine = '# mine\n[[input]]\npreset = "none"\n'
    (place / "net.toml").write_text(mine)
    for words in (["calibrate"], ["quantize", "--recipe", "table"]):
        with pytest.raises(PyncnnqError, match=r"net\.toml: is there already and is no preprocessing of a model"):
            run(*words, "net.param", "net.bin", DEMO.images, *TYPED, *QUICK, "--save-config")
    assert (place / "net.toml").read_text() == mine
    assert not (place / "net.table").exists()


def test_own_files_are_replaced(place: Path) -> None:
    run("calibrate", "net.param", DEMO.images, "--preset", "none", *QUICK, "--save-config", "-q")
    assert read_config(place / "net.toml").inputs[0].mean == (0, 0, 0)
    run("quantize", "net.param", DEMO.images, *TYPED, *QUICK, "--recipe", "table", "--save-config", "-q")
    assert read_config(place / "net.toml").inputs[0].mean == (128, 128, 128)
    with pytest.raises(PyncnnqError, match=r"net\.toml: would overwrite the input net\.toml"):
        run("calibrate", "net.param", DEMO.images, "--config", "net.toml", *QUICK, "--save-config")


def test_there_must_be_something_to_write(place: Path) -> None:
    run("calibrate", "net.param", DEMO.images, *TYPED, *QUICK, "-q")
    with pytest.raises(PyncnnqError, match="save_config: is for calibration data"):
        run("quantize", "net.param", "net.table", "--save-config")
    model_of(plain("ReLU", "relu", "in0")).save(place / "relu.param", place / "relu.bin")
    with pytest.raises(PyncnnqError, match="save_config: no data was needed"):
        run("calibrate", "relu.param", "relu.bin", "--save-config")
    assert not (place / "relu.toml").exists()
    assert not (place / "relu.table").exists()


@pytest.mark.parametrize("name", ["metadata.yaml", "config.json", "net.toml"])
def test_no_output_takes_the_place_of_metadata(place: Path, name: str) -> None:
    (place / name).write_text("task: detect\n" if name.endswith("yaml") else "" if name.endswith("toml") else "{}")
    (place / name).write_text((place / name).read_text() or "# mine\n[[input]]\n")
    before = (place / name).read_bytes()
    with pytest.raises(PyncnnqError, match="is there already and is no calibration table"):
        run("calibrate", "net.param", "net.bin", DEMO.images, *TYPED, *QUICK, "-o", name)
    assert (place / name).read_bytes() == before


def yolo() -> Model:
    """Boxes and class scores of two strides side by side, as in a YOLO's export; the size is open in its Input line."""
    rng = np.random.default_rng(0)
    layers = [convolution(rng, "conv_0", "in0", 3, 8, 3, text=" 3=2 4=1 9=1")]
    layers += [convolution(rng, "conv_1", "conv_0", 8, 16, 3, text=" 3=2 4=1 9=1")]
    layers += [convolution(rng, "conv_2", "conv_1", 16, 16, 3, text=" 3=2 4=1 9=1")]
    for number, blob in enumerate(("conv_1", "conv_2")):
        box = convolution(rng, f"box_{number}", blob, 16, 4)
        scores = convolution(rng, f"class_{number}", blob, 16, 6)
        layers += [box, scores, plain("Sigmoid", f"score_{number}", f"class_{number}")]
        layers += [plain("Concat", f"head_{number}", f"box_{number}", f"score_{number}")]
        layers += [plain("Reshape", f"flat_{number}", f"head_{number}", text=" 0=-1 1=10")]
    layers += [plain("Concat", "out0", "flat_0", "flat_1", text=" 0=1")]
    return model_of(*layers, shape=())


METADATA = """description: Ultralytics YOLO11n model trained on coco8.yaml
author: Ultralytics
date: '2025-12-11T20:19:45.464021'
version: 8.3.236
license: AGPL-3.0 License (https://ultralytics.com/license)
docs: https://docs.ultralytics.com
stride: 8
task: detect
batch: 1
imgsz:
- 64
- 96
names:
  0: person
  1: bicycle
  2: car
  3: motorcycle
  4: airplane
  5: bus
args:
  batch: 1
  half: false
channels: 3
end2end: false
"""


def test_a_folder_of_ultralytics(cli: Cli, tmp_path: Path) -> None:
    """As typed, with nothing but the folder and images: the table of `--preset yolo` and the size of the file."""
    pytest.importorskip("yaml")
    folder = tmp_path / "yolo11n_ncnn_model"
    (tmp_path / "imgs").mkdir()
    folder.mkdir()
    yolo().save(folder / "model.ncnn.param", folder / "model.ncnn.bin")
    (folder / "model_ncnn.py").write_text("import ncnn\n")
    rng = np.random.default_rng(0)
    for number in range(6):
        image = rng.integers(0, 256, (int(rng.integers(20, 90)), int(rng.integers(20, 90)), 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"imgs/{number}.png"), image)
    words = ["calibrate", "yolo11n_ncnn_model/", "imgs/", "--workers", "1"]
    typed = cli(*words, "--preset", "yolo", "--size", "96,64", "-o", "typed.table", cwd=tmp_path)
    assert typed.returncode == 0, typed.stderr
    (folder / "metadata.yaml").write_text(METADATA)
    done = cli(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first == (
        "preprocessing from metadata.yaml: RGB, size 96,64, mean 0,0,0, norm 0.00392157,0.00392157,0.00392157, "
        "resize letterbox"
    )
    assert (folder / "model.ncnn.table").read_bytes() == (tmp_path / "typed.table").read_bytes()
    assert cli("quantize", "yolo11n_ncnn_model", "yolo11n_ncnn_model/model.ncnn.table", cwd=tmp_path).returncode == 0
    found = json.loads(
        cli("evaluate", *["yolo11n_ncnn_model"] * 2, "imgs", "--workers", "1", "--json", cwd=tmp_path).stdout
    )
    assert found["inputs"][0]["from"] == "metadata.yaml"


PREPROCESSOR = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 32, "width": 32}}
OF_PREPROCESSOR = "RGB, size 32,32, mean 127.5,127.5,127.5, norm 0.0156863,0.0156863,0.0156863, resize stretch"


@pytest.mark.usefixtures("pnnx")
def test_convert_hands_on_what_is_known(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of metadata beside the original, without data too; of options; and nothing where nothing is known."""
    (place / "hub").mkdir()
    classifier(place / "hub/model.onnx")
    assert facts(capsys, "convert", "hub/model.onnx", "-o", "plain")["preprocessing"] is None
    assert not (place / "plain.toml").exists()
    told = facts(capsys, "convert", "hub/model.onnx", "--preset", "tf", "-o", "typed")
    assert told["preprocessing"] == "typed.toml"
    assert read_config(place / "typed.toml").inputs[0].mean == (127.5,) * 3
    (place / "hub/preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    for name, words in (("alone", []), ("checked", [DEMO.images, *QUICK])):
        run("convert", "hub/model.onnx", *words, "-o", name, "-q")
        run("calibrate", f"{name}.param", DEMO.images, *QUICK)
        assert f"preprocessing from {name}.toml: {OF_PREPROCESSOR}" in capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("pnnx")
def test_convert_leaves_a_file_of_the_user(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classifier(place / "model.onnx")
    mine = '[[input]]\npreset = "tf"\n'
    (place / "model.toml").write_text(mine)
    run("convert", "model.onnx", DEMO.images, *QUICK)
    assert "warning: the preprocessing was not written: model.toml: is there already" in capsys.readouterr().err
    assert (place / "model.toml").read_text() == mine
    assert (place / "model.param").exists()


@pytest.mark.usefixtures("pnnx")
def test_import_qdq_hands_on_what_is_known(place: Path) -> None:
    (place / "hub").mkdir()
    network = Network(1, 3, 16, 16)
    weight = network.weight(network.integers(4, 3, 3, 3), 0.01)
    network.save(place / "hub/model.onnx", network.conv(network.pair("x", 0.02, 0, np.int8), 3, 4, 3, weight=weight))
    run("import-qdq", "hub/model.onnx", "-o", "plain", "-q")
    assert not (place / "plain.toml").exists()
    channels = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 16, "width": 16}}
    (place / "hub/preprocessor_config.json").write_text(json.dumps(channels))
    run("import-qdq", "hub/model.onnx", "-o", "known", "-q")
    (row,) = find_metadata(place / "known-int8.param").inputs
    assert (row.mean, row.pixel) == ((127.5,) * 3, "RGB")


@pytest.mark.usefixtures("pnnx")
def test_a_deployed_folder_needs_no_options(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classifier(place / "model.onnx")
    run("deploy", "model.onnx", DEMO.images, "--preset", "zero-one", *QUICK, "--recipe", "table", "-o", "out", "-q")
    expected = (place / "out/model.table").read_bytes()
    capsys.readouterr()
    run("calibrate", "out", DEMO.images, *QUICK, "-o", "again.table")
    assert capsys.readouterr().out.startswith("preprocessing from model.toml: RGB, size 32,32, mean 0,0,0")
    assert b"# input in0: RGB, size 32,32" in expected
    assert b"# input in0: RGB, size 32,32" in (place / "again.table").read_bytes()
    assert facts(capsys, "evaluate", "out", "out", DEMO.images, *QUICK)["inputs"][0]["from"] == "model.toml"
