"""`pyncnnq collect`, `merge` and `calibrate --statistics` as a user runs them, on the demo's model and images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from pyncnnq.demo import DEMO

Cli = Callable[..., CompletedProcess[str]]

OPTIONS = ["--mean=128", "--norm=1/64", "--pixel=RGB", "--workers=1"]
MODEL = [str(DEMO.param), str(DEMO.bin)]


def data(folder: Path) -> str:
    """Return a list file of some images."""
    (folder / "list.txt").write_text("\n".join(map(str, sorted(DEMO.images.iterdir())[:4])))
    return str(folder / "list.txt")


def test_shards_to_a_table(cli: Cli, tmp_path: Path) -> None:
    images = data(tmp_path)
    for number in (1, 2):
        part = tmp_path / f"{number}.stats"
        done = cli("collect", *MODEL, images, *OPTIONS, f"--shard={number}/2", "-o", part)
        assert done.returncode == 0, done.stderr
        assert f"{part}: " in done.stdout
        assert "2 samples" in done.stdout
    merge = cli("merge", tmp_path / "2.stats", tmp_path / "1.stats", "-o", tmp_path / "all.stats", "--json")
    assert merge.returncode == 0, merge.stderr
    assert json.loads(merge.stdout)["samples"] == 4
    for name, given in (
        ("images", [images, *OPTIONS]),
        ("statistics", ["--statistics", tmp_path / "all.stats"]),
        ("resumed", [images, *OPTIONS, "--resume", tmp_path / "kept"]),
    ):
        done = cli("calibrate", *MODEL, *given, "-o", tmp_path / f"{name}.table")
        assert done.returncode == 0, done.stderr
    table = (tmp_path / "images.table").read_bytes()
    assert (tmp_path / "statistics.table").read_bytes() == table
    assert (tmp_path / "resumed.table").read_bytes() == table
    assert list((tmp_path / "kept").iterdir())


def test_what_is_refused(cli: Cli, tmp_path: Path) -> None:
    images = data(tmp_path)
    part = tmp_path / "part.stats"
    assert cli("collect", *MODEL, images, *OPTIONS, "--samples=1", "-o", part).returncode == 0
    content = part.read_bytes()
    (tmp_path / "notes.txt").write_text("mine")
    for words, arguments in (
        ("would count twice", ["merge", part, part, "-o", tmp_path / "all.stats"]),
        ("would overwrite the input", ["merge", part, "-o", part]),
        ("is no file of statistics, so it would be lost", ["merge", part, "-o", tmp_path / "notes.txt"]),
        ("--statistics: ", ["calibrate", *MODEL, images, "--statistics", part, "-o", tmp_path / "a.table"]),
        ("'3' is not I/N", ["collect", *MODEL, images, "--shard=3"]),
        ("no such file", ["merge", tmp_path / "none.stats", "-o", tmp_path / "all.stats"]),
    ):
        done = cli(*arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert part.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.txt", "notes.txt", "part.stats"]
