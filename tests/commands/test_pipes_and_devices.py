"""What is no file, given as one: a clear line at once.  To read it could be to wait for ever, or to fill all memory."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from conftest import PATIENCE
from places import OPTIONS

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError

EVALUATE = "evaluate net.param net.bin int8.param int8.bin images --preset none --workers 1"
INPUTS = (
    "inspect THING net.bin",
    "inspect net.param THING",
    "dequantize THING int8.bin",
    "calibrate net.param THING images --preset none --workers 1",
    "quantize THING net.bin net.table",
    EVALUATE.replace("int8.bin", "THING"),
    f"{EVALUATE} --labels THING",
    f"{EVALUATE} --labels THING.csv",
    f"{EVALUATE} --metric THING.py:score",
    EVALUATE.replace("images", "THING.png"),
    "convert THING -o new",
    "deploy THING images --preset none --workers 1 -o new",
    "import-qdq THING -o new",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    for file, name in ((DEMO.param, "net.param"), (DEMO.bin, "net.bin")):
        shutil.copy(file, folder / name)
    (folder / "images").mkdir()
    for image in sorted(DEMO.images.iterdir())[:2]:
        shutil.copy(image, folder / "images")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    table = pyncnnq.calibrate(model, folder / "images", options=OPTIONS, workers=1).table
    table.write(folder / "net.table")
    pyncnnq.quantize(model, table).save(folder / "int8.param", folder / "int8.bin")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # an address is at most some 100 bytes long
        listener.bind("socket")
        os.chdir(here)
    for suffix in ("", ".csv", ".py", ".png"):
        os.mkfifo(folder / f"pipe{suffix}")
        (folder / f"device{suffix}").symlink_to("/dev/zero")
        (folder / f"folder{suffix}").mkdir()
        if suffix:
            os.link(folder / "socket", folder / f"socket{suffix}")
    return folder


@pytest.mark.parametrize("thing", ["pipe", "device", "folder", "socket"])
@pytest.mark.parametrize("words", INPUTS)
def test_what_is_no_file_is_no_input(place: Path, words: str, thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    if thing == "folder" and ("THING.png" in words or "THING images" in words or "--labels" in words):
        thing = "device"  # folders of images and labels may have any name, and net.bin need not be named
    started = time.monotonic()
    with pytest.raises(PyncnnqError) as caught:
        commands.main(words.replace("THING", thing).split(), standalone_mode=False)
    assert time.monotonic() - started < 5 * PATIENCE
    assert thing in str(caught.value)
    assert any(kind in str(caught.value) for kind in (f"is a {thing}", "is no file", "is not a file"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("thing", ["pipe", "device", "folder", "socket"])
def test_what_is_no_file_is_no_manifest(place: Path, thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for name in ("int8.param", "int8.bin"):
        shutil.copy(name, f"{thing}.{name.rpartition('.')[2]}")
    Path(thing).rename(f"{thing}.json")
    started = time.monotonic()
    words = EVALUATE.replace("int8.", f"{thing}.").replace("evaluate", "analyze")
    with pytest.raises(PyncnnqError, match=rf"^{thing}\.json: is a {thing}[^\n]*; name a file$"):
        commands.main(words.split(), standalone_mode=False)
    Path(f"{thing}.json").rename(thing)
    assert time.monotonic() - started < 5 * PATIENCE


@pytest.mark.parametrize("thing", ["pipe", "device", "folder", "socket"])
@pytest.mark.parametrize(
    "words", ["calibrate net.param net.bin images --preset none --workers 1 -o THING", f"{EVALUATE} --report THING"]
)
def test_what_is_no_file_is_no_output(place: Path, words: str, thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(PyncnnqError, match=f"{thing}: is a (device or a pipe|folder)"):
        commands.main(words.replace("THING", thing).split(), standalone_mode=False)


def test_pipes_that_somebody_writes_into_are_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a shell's <(command) are."""
    monkeypatch.chdir(place)
    texts = {"net.table": (place / "net.table").read_bytes(), "net.param": (place / "net.param").read_bytes()}
    for name, text in texts.items():
        os.mkfifo(place / f"given_{name}")
        threading.Thread(target=(place / f"given_{name}").write_bytes, args=[text]).start()
    commands.main(
        ["quantize", "given_net.param", "net.bin", "given_net.table", "-o", "piped", "-q"], standalone_mode=False
    )
    for suffix in (".param", ".bin"):
        assert (place / f"piped{suffix}").read_bytes() == (place / f"int8{suffix}").read_bytes()
