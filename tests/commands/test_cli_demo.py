"""`pyncnnq demo`: the first minute."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import pyncnnq
from pyncnnq.demo import DEMO

Cli = Callable[..., CompletedProcess[str]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_where_the_results_are(cli: Cli, tmp_path: Path) -> None:
    done = cli("demo", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pyncnnq.Table.read(tmp_path / "here/model.table")
    layers = [
        layer for layer in pyncnnq.load_model(DEMO.param, DEMO.bin).layers if layer.type != "Split" and layer.weights
    ]
    assert len(list(table.rows())) == 2 * len(layers)
    assert "The calibration table is here/model.table." in done.stdout
    assert "The int8 model is here/model-int8.param and here/model-int8.bin" in done.stdout
    assert "Next: " in done.stdout


def test_the_commands_that_it_shows_give_the_same(cli: Cli, tmp_path: Path) -> None:
    folder = "some where"
    done = cli("demo", folder, cwd=tmp_path)
    commands = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("pyncnnq ")]
    assert [words[1] for words in commands] == ["calibrate", "quantize"]
    results = {tmp_path / folder / name for name in ("model.table", "model-int8.param", "model-int8.bin")}
    expected = files(tmp_path)
    for path in results:
        path.unlink()
    for _, *arguments in commands:
        assert cli(*arguments, cwd=tmp_path).returncode == 0
    assert files(tmp_path) == expected


def test_the_default_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("demo", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["pyncnnq-demo"]


def test_a_second_run_gives_the_same(cli: Cli, tmp_path: Path) -> None:
    assert cli("demo", "here", cwd=tmp_path).returncode == 0
    before = files(tmp_path)
    assert cli("demo", "here", cwd=tmp_path).returncode == 0
    assert files(tmp_path) == before


def test_an_empty_folder_will_do(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert cli("demo", "here", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["model.param", "model.table", "images/mine.jpg", "notes.txt"])
def test_a_users_files_are_not_touched(cli: Cli, tmp_path: Path, name: str) -> None:
    """His own model.param would be overwritten, his own images calibrated on."""
    mine = tmp_path / "here" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    before = files(tmp_path)
    done = cli("demo", "here", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: here: holds other files")
    assert files(tmp_path) == before


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_file_in_the_way(cli: Cli, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("mine")
    done = cli("demo", folder, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: file")
    assert files(tmp_path) == {"file": b"mine"}
