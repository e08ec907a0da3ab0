"""`pyncnnq demo`: the first minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import pyncnnq
from pyncnnq.demo import DEMO

Cli = Callable[..., CompletedProcess[str]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_calibrates_in_seconds_and_says_where_the_table_is(cli: Cli, tmp_path: Path) -> None:
    start = time.monotonic()
    done = cli("demo", "here", cwd=tmp_path)
    assert time.monotonic() - start < 20
    assert done.returncode == 0, done.stderr
    table = pyncnnq.Table.read(tmp_path / "here/model.table")
    layers = [layer for layer in pyncnnq.load_model(DEMO.param, DEMO.bin).layers if layer.type != "Split" and layer.weights]
    assert len(list(table.rows())) == 2 * len(layers)
    assert "The calibration table is here/model.table." in done.stdout
    assert "Next: " in done.stdout


def test_the_command_that_it_shows_gives_the_same_table(cli: Cli, tmp_path: Path) -> None:
    done = cli("demo", "here", cwd=tmp_path)
    program, *arguments = done.stdout.splitlines()[0].split()
    assert program == "pyncnnq"
    table = tmp_path / "here/model.table"
    expected = table.read_bytes()
    table.unlink()
    assert cli(*arguments, cwd=tmp_path).returncode == 0
    assert table.read_bytes() == expected


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
