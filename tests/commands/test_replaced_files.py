"""Outputs take the places of files of their kinds alone: what is something else is the user's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from places import OPTIONS, contents

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.demo import DEMO
from pyncnnq.deployment.folder import Folder
from pyncnnq.errors import PyncnnqError

TABLE = "quantize net.param net.bin net.table"
CALIBRATE = "calibrate net.param net.bin images --preset none --workers 1"
EVALUATE = "evaluate net.param net.bin net-int8.param net-int8.bin images --preset none --workers 1"
FACTS = json.dumps({"source": "net.onnx", "conversion": {}, "float": ["net.param", "net.bin"]}, indent=2)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file, name in ((DEMO.param, "net.param"), (DEMO.bin, "net.bin")):
        shutil.copy(file, tmp_path / name)
    (tmp_path / "images").mkdir()
    for image in sorted(DEMO.images.iterdir())[:2]:
        shutil.copy(image, tmp_path / "images")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    pyncnnq.calibrate(model, tmp_path / "images", options=OPTIONS, workers=1).table.write(tmp_path / "net.table")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: str) -> None:
    commands.main([*words.split(), "-q"], standalone_mode=False)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mine.json", '{"names": ["cat", "dog"]}', f"{TABLE} -o mine"),
        ("mine.json", "no JSON at all", f"{TABLE} -o mine"),
        ("mine.json", FACTS, f"{TABLE} -o mine"),
        ("mine.bin", "weights of another program", f"{TABLE} -o mine"),
        ("net-int8.json", "[1, 2]", TABLE),
        ("mine.txt", "images/a.png\nimages/b 1.png\n", f"{CALIBRATE} -o mine.txt"),
        ("mine.py", "import sys\n", f"{CALIBRATE} -o mine.py"),
        ("mine.csv", "file,class\na.png,1\n", f"{CALIBRATE} -o mine.csv"),
        ("mine.jpg", "\xff\xd8\xff", f"{TABLE} -o net-int8 && {EVALUATE} --report mine.jpg"),
        ("README.md", "# Notes\n", f"{TABLE} -o net-int8 && {EVALUATE} --report README.md"),
    ],
)
def test_what_is_no_output_of_ours_is_kept(place: Path, name: str, text: str, words: str) -> None:
    (place / name).write_text(text)
    *before, last = words.split(" && ")
    for command in before:
        run(command)
    files = contents(place)
    with pytest.raises(PyncnnqError, match=f"^{name}: (is there already|has the name of an image)"):
        run(last)
    assert contents(place) == files


def test_outputs_of_ours_are_replaced(place: Path) -> None:
    for name in ("scales", "page"):
        (place / name).touch()  # as mktemp does
    (place / "page.html").write_text("made by another program")
    for _ in range(2):
        run(f"{CALIBRATE} -o scales")
        run(f"{TABLE} -o net-int8")
        run(f"{EVALUATE} --report page")
        run(f"{EVALUATE} --report page.html")
    assert (place / "page").read_text().startswith("<!doctype html>")
    (place / "net-int8.json").write_text((place / "net-int8.json").read_text()[:200])  # damaged, but a manifest
    run(f"{TABLE} -o net-int8")


@pytest.mark.parametrize("name", ["new.jpg", "images/new.PNG", "new.npy"])
def test_no_output_is_called_like_a_sample(place: Path, name: str) -> None:
    with pytest.raises(PyncnnqError, match="would be taken for a sample"):
        run(f"{CALIBRATE} -o {name}")
    assert not (place / name).exists()


def test_python_users_keep_their_json_too(place: Path) -> None:
    (place / "mine.json").write_text("{}")
    model = pyncnnq.load_model(place / "net.param", place / "net.bin")
    int8 = pyncnnq.quantize(model, pyncnnq.Table.read(place / "net.table"))
    with pytest.raises(PyncnnqError, match=r"mine\.json: is there already and is no manifest"):
        int8.save(place / "mine.param", place / "mine.bin")
    assert not (place / "mine.param").exists()


@pytest.mark.parametrize("name", ["net.json", "net-int8.json", "report.html", "net.cpp", "net_run.py", "net-int8.bin"])
def test_a_deployment_keeps_what_is_not_its_own(tmp_path: Path, name: str) -> None:
    folder = Folder.of(tmp_path, "net")
    folder.check([])
    (tmp_path / name).write_text('{"written": "by hand"}')
    with pytest.raises(PyncnnqError, match=f"{name}: is there already"):
        folder.check([])
