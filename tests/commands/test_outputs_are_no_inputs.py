"""No command writes over what it reads, nor two files into one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Cli
from onnx_models import node, write_onnx
from places import contents, make_place

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.errors import PyncnnqError

CALIBRATE = "calibrate net.param weights.bin --preset none --workers 1 -o OUT"
TABLE = "quantize net.param weights.bin scales.json -o OUT"
QUANTIZE = "quantize net.param weights.bin --preset none --workers 1 --recipe table"
CONVERT = "convert weighted.onnx -o OUT"
EVALUATE = "evaluate net.param weights.bin int8.param int8.bin --preset none --workers 1 --report OUT"
DEPLOY = "deploy --preset none --workers 1 -o OUT"

# A command and the file that it would write over.
CASES = [
    *[(f"{CALIBRATE} images", name) for name in ("net.param", "weights.bin", "images/2.png")],
    *[(f"{CALIBRATE} {name}", name) for name in ("listed.bin", "photo.jpg", "array.npy")],
    *[(f"{CALIBRATE} listed.bin", name) for name in ("images/1.png", "sample.bin")],
    *[(f"{CALIBRATE} --config config.json", name) for name in ("config.json", "photo.jpg")],
    *[(TABLE, name) for name in ("net.param", "weights.bin", "scales.json")],
    *[
        (f"{QUANTIZE} {words}", name)
        for words, name in (
            ("images -o OUT", "net.param"),
            ("images -o OUT", "weights.bin"),
            ("images listed.bin -o OUT", "listed.bin"),
            ("images listed.bin -o OUT", "sample.bin"),
            ("images many.json -o OUT", "many.json"),
            ("images --config config.json -o OUT", "config.json"),
            ("images -o new --adjusted OUT", "net.param"),
            ("images listed.bin -o new --adjusted OUT", "sample.bin"),
            ("images --config config.bin -o new --adjusted OUT", "config.bin"),
        )
    ],
    *[(CONVERT, name) for name in ("weighted.bin",)],
    ("convert model.bin -o OUT", "model.bin"),
    (f"{CONVERT} listed.bin", "listed.bin"),
    (f"{CONVERT} --config config.bin", "config.bin"),
    *[
        (f"{EVALUATE} {words}", name)
        for words, name in (
            *[("images", name) for name in ("net.param", "weights.bin", "int8.param", "int8.bin", "int8.json")],
            ("images", "images/0.png"),
            ("listed.bin", "listed.bin"),
            ("listed.bin", "sample.bin"),
            ("array.npy", "array.npy"),
            ("images --labels labels.json", "labels.json"),
            ("images --metric metric.py:score", "metric.py"),
            ("images --metric metric:score", "metric.py"),
            ("--config config.json", "config.json"),
            ("--config config.json", "photo.jpg"),
        )
    ],
    ("dequantize int8.param int8.bin -o OUT", "int8.param"),
    ("dequantize int8.param weights.bin -o OUT", "weights.bin"),
    ("import-qdq weighted.onnx -o OUT", "weighted.bin"),
    ("import-qdq model.table -o OUT", "model.table"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("prepared") / "place")


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(prepared, tmp_path / "place"))
    monkeypatch.chdir(folder)
    return folder


def refused(words: str, **names: str) -> str:
    """Run a command, and return what it refuses to do."""
    arguments = [names.get(word, word) for word in words.split()]
    with pytest.raises(PyncnnqError) as caught:
        commands.main(arguments, standalone_mode=False)
    return str(caught.value)


def output(words: str, file: Path) -> str:
    """Return what to give as the output so that the command writes this file."""
    return str(file if words.startswith(("calibrate", "evaluate")) else file.with_suffix(""))


@pytest.mark.parametrize(("words", "name"), CASES)
def test_no_output_is_an_input(place: Path, words: str, name: str) -> None:
    before = contents(place)
    link = place.parent / f"link{Path(name).suffix}"
    link.symlink_to(place / name)
    (place.parent / "door").symlink_to(place)
    for file in (Path(name), link, Path("../door", name)):
        message = refused(words, OUT=output(words, file))
        assert f"{file}: would overwrite the input" in message
        assert message.endswith("; name another output")
        assert name in message
    assert contents(place) == before


@pytest.mark.parametrize("way", ["new", "../door/new", "../place/new.bin", "link"])
def test_no_output_is_another_one(place: Path, way: str) -> None:
    """Though none of them is there yet."""
    (place.parent / "door").symlink_to(place)
    (place / "link.param").symlink_to("new.param")
    before = contents(place)
    message = refused(f"{QUANTIZE} images -o new --adjusted OUT", OUT=way)
    assert "would overwrite the output new.param; name another one" in message
    assert contents(place) == before


def test_a_deployment_takes_the_place_of_nothing_that_it_reads(place: Path) -> None:
    write_onnx(place / "plain.onnx", [node("Relu", "x", "y")], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}, {})
    shutil.copy(place / "labels.json", place / "plain.json")
    shutil.copy(place / "config.json", place / "plain-int8.json")
    shutil.copy(place / "photo.jpg", place / "plain.cpp")
    shutil.copy(place / "photo.jpg", place / "report.html")
    (place / "plain.table").write_text("plain.cpp\n" * 4)
    (place.parent / "door").symlink_to(place)
    before = contents(place)
    for name, words in {
        "weighted.bin": "weighted.onnx images",
        "plain.json": "plain.onnx images --labels plain.json",
        "plain-int8.json": "plain.onnx images --config plain-int8.json",
        "plain.table": "plain.onnx plain.table",
        "plain.cpp": "plain.onnx plain.table",
        "report.html": "plain.onnx report.html",
    }.items():
        if name == "plain.cpp":  # the list itself comes first
            shutil.move(place / "plain.table", place.parent / "list")
            words = "plain.onnx ../list"
        for folder in (".", "../door"):
            assert f"{name}: would overwrite the input" in refused(f"{DEPLOY} {words}", OUT=folder)
        if name == "plain.cpp":
            shutil.move(place.parent / "list", place / "plain.table")
    assert contents(place) == before


def test_python_users_inputs_are_kept_too(place: Path) -> None:
    before = contents(place)
    for call in (
        lambda: pyncnnq.convert("weighted.onnx", "weighted"),
        lambda: pyncnnq.convert("weighted.onnx", "listed", "listed.bin"),
        lambda: pyncnnq.deploy("weighted.onnx", ".", "images"),
    ):
        with pytest.raises(PyncnnqError, match="would overwrite the input"):
            call()
    assert contents(place) == before


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (f"{QUANTIZE} images --config config.json -o config", "config.json"),
        (f"{TABLE.replace('OUT', 'scales')}", "scales.json"),
        (f"{EVALUATE.replace('OUT', 'images/3.png')} images", "images/3.png"),
        (f"{QUANTIZE} images -o new --adjusted new", "new.param"),
    ],
)
def test_the_exit_code_is_2_and_the_message_one_line(cli: Cli, place: Path, words: str, name: str) -> None:
    before = contents(place)
    done = cli(*words.split(), cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {name}: would overwrite the ")
    assert done.stderr.count("\n") == 1
    assert contents(place) == before
