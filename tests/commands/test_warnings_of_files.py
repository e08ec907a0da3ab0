"""What is odd in a model's files is told once by every command that reads it, and stands in every JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from onnx_models import classifier
from places import OPTIONS

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.demo import DEMO

DATA = "images --preset none --workers 1"
COMMANDS = {
    "inspect net.param net.bin": ["net"],
    "dequantize int8.param int8.bin": ["int8"],
    "suggest net.param net.bin images --workers 1": ["net"],
    f"calibrate net.param net.bin {DATA}": ["net"],
    f"collect net.param net.bin {DATA}": ["net"],
    "profile net.param net.bin": ["net"],
    "quantize net.param net.bin net.table -o new": ["net"],
    f"quantize net.param net.bin {DATA} --recipe table -o new": ["net"],
    f"evaluate net.param net.bin int8.param int8.bin {DATA}": ["net", "int8"],
    f"evaluate net.param net.bin net.param net.bin {DATA}": ["net"],
    f"analyze net.param net.bin int8.param int8.bin {DATA}": ["net", "int8"],
}
"""Commands, and the models whose oddities each tells."""

OF_OTHER_FILES = {"convert", "deploy", "import-qdq", "demo", "merge"}
"""Commands whose models come from ONNX, TorchScript or this package, so that pyncnnq writes their files itself; and
what reads no model."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and its int8 model, both with a blob count that is too large."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "images").mkdir()
    for image in sorted(DEMO.images.iterdir())[:4]:
        shutil.copy(image, folder / "images")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    table = pyncnnq.calibrate(model, folder / "images", options=OPTIONS, workers=1).table
    table.write(folder / "net.table")
    model.save(folder / "net.param", folder / "net.bin")
    pyncnnq.quantize(model, table).save(folder / "int8.param", folder / "int8.bin")
    for name in ("net.param", "int8.param"):
        lines = (folder / name).read_text().splitlines()
        lines[1] = f"{lines[1].split()[0]} 777"
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "int8.json").unlink()  # the file is not as it was written
    return folder


def test_every_command_is_tried() -> None:
    assert {words.split()[0] for words in COMMANDS} | OF_OTHER_FILES == set(
        commands.list_commands(click.Context(commands))
    )


@pytest.mark.parametrize(("words", "models"), COMMANDS.items())
def test_told_once(
    place: Path, words: str, models: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    expected = [f"{name}.param: line 2 says 777 blobs, the file has " for name in models]
    commands.main(words.split(), standalone_mode=False)
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "777" in line]
    assert len(lines) == len(expected)
    assert all(line.startswith(f"warning: {begin}") for line, begin in zip(lines, expected, strict=True))
    assert "777" not in printed.out


@pytest.mark.parametrize(
    ("words", "models"), [case for case in COMMANDS.items() if not case[0].startswith("dequantize")]
)
def test_in_json(
    place: Path, words: str, models: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    commands.main([*words.split(), "--json"], standalone_mode=False)
    printed = capsys.readouterr()
    warnings = [line for line in json.loads(printed.out)["warnings"] if "777" in line]
    assert [line.partition(":")[0] for line in warnings] == [f"{name}.param" for name in models]
    assert "777" not in printed.err


@pytest.mark.usefixtures("pnnx")
@pytest.mark.parametrize("words", ["convert net.onnx -o new", f"deploy net.onnx {DATA} -o new --recipe table"])
def test_there_is_a_key_for_models_of_other_files_too(
    place: Path, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "images", tmp_path / "images")
    classifier(tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    commands.main([*words.split(), "--json"], standalone_mode=False)
    assert isinstance(json.loads(capsys.readouterr().out)["warnings"], list)
