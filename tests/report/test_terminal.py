r"""What is printed: names and messages of others give a terminal no orders.

ESC ] 0 ; sets a terminal's title, ESC [ 2 J clears it, 0x9b is ESC [ in one character, U+202E turns the direction of
writing, and the end of a line lets a name look like a message of ours.
"""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from conftest import REPOSITORY, Cli
from hypothesis import given
from hypothesis import strategies as st

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.report.terminal import visible

MODEL = ("net.param", "net.bin")
EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\u2028c\r\nerror: d [red]e[/red] :car: \u2066f\x7f"
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\u2028c\r\nerror: d [red]e[/red] :car: \u2066f\x7f"


def is_order(character: str) -> bool:
    """By Unicode's own tables."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in (
        "LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"
    )  # fmt: skip


def test_evil_names_are_visible() -> None:
    assert visible(EVIL) == SHOWN
    assert visible("Grüße 日本語 👩‍🔬 C:\\x [b] caf\u00e9") == "Grüße 日本語 👩‍🔬 C:\\x [b] caf\u00e9"


@given(st.text())
def test_no_order_is_left(text: str) -> None:
    assert not any(map(is_order, visible(text)))
    assert visible(text) == "".join(visible(character) for character in text)


def on_a_terminal(words: list[str], folder: Path) -> str:
    """Run a command on a terminal of its own, and return all that comes there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyncnnq", *words], stdin=slave, stdout=slave, stderr=slave, cwd=folder, close_fds=True
    )
    os.close(slave)
    printed = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        printed += piece
    os.close(master)
    process.wait()
    return printed.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose layer and blobs have evil names without white space, an image and a table with others."""
    folder = tmp_path_factory.mktemp("place")
    word = re.sub(r"\s", "", EVIL.replace("/", ""))
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    blob = model.layers[1].tops[0]
    for layer in model.layers:
        layer.name = f"{word}{layer.name}"
        for names in (layer.bottoms, layer.tops):
            names[:] = [f"{word}{name}" if name in (blob, *model.outputs) else name for name in names]
    model.save(folder / "net.param", folder / "net.bin")
    (folder / "images").mkdir()
    for number, image in enumerate(sorted(DEMO.images.iterdir())[:2]):
        (folder / "images" / f"{number}{EVIL.replace('/', '')}.png").write_bytes(image.read_bytes())
    (folder / "images" / f"bad{EVIL.replace('/', '')}.png").write_bytes(b"no image")
    return folder


COLOURS = re.compile(r"\x1b\[(\d+(;\d+)*)?[mKAG]|\x1b\[\?25[hl]|\x1b\[\d*[ABCDG]|\x1b\[2K")
"""What rich prints of its own: styles, and moves within the lines of a bar."""


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", *MODEL],
        ["inspect", "net.param", EVIL],
        ["inspect", *MODEL, f"--{EVIL}"],
        ["inspect", *MODEL, EVIL],
        [EVIL],
        ["calibrate", *MODEL, "images", "--preset", "none", "--workers", "1", "-o", f"{EVIL.replace('/', '')}.t"],
        ["calibrate", *MODEL, "images", "--preset", EVIL],
        ["calibrate", *MODEL, f"images/{EVIL}", "--preset", "none"],
        ["calibrate", *MODEL, "images", "--method", EVIL],
        ["quantize", *MODEL, "x.table", "-o", EVIL],
        ["quantize", *MODEL, "images", "--recipe", EVIL],
        ["demo", f"none{EVIL}/none"],
    ],
)  # fmt: skip
def test_a_terminal_gets_no_orders(place: Path, words: list[str]) -> None:
    printed = COLOURS.sub("", on_a_terminal(words, place)).replace("\r\n", "\n").replace("\r", "\n")
    assert "Traceback" not in printed
    assert r"owned\x07\x1b[2J\x9b31m" in printed
    assert not [line for line in printed.split("\n") for character in line if is_order(character)]
    assert not re.search(r"^error: d", printed, re.MULTILINE)


def test_names_are_not_read_as_markup(cli: Cli, place: Path) -> None:
    done = cli("inspect", *MODEL, cwd=place)
    assert "[red]e[red]:car:" in done.stdout
    assert len(done.stdout.splitlines()) < 20


def test_json_is_lossless(cli: Cli, place: Path) -> None:
    done = cli("inspect", *MODEL, "--json", cwd=place)
    found = json.loads(done.stdout)
    assert list(found["outputs"]) == pyncnnq.load_model(place / "net.param", place / "net.bin").outputs
    assert done.stdout.isascii()
    assert not any(map(is_order, done.stdout.replace("\n", "")))


def test_a_report_shows_what_it_names(cli: Cli, place: Path) -> None:
    options = ["--preset", "none", "--workers", "1"]
    table = cli("calibrate", *MODEL, "images", *options, "-o", "x.table", cwd=place)
    assert table.returncode == 0
    assert cli("quantize", *MODEL, "x.table", "-o", "q", cwd=place).returncode == 0
    done = cli("evaluate", *MODEL, "q.param", "q.bin", "images", *options, "--report", "r.html", cwd=place)
    assert done.returncode == 0, done.stderr
    page = (place / "r.html").read_text()
    assert r"owned\x07\x1b[2J\x9b31m" in page
    assert not any(map(is_order, page.replace("\n", "").replace("\t", "")))


def test_all_that_is_printed_goes_one_way() -> None:
    """`click.echo` and `print` stand in `report.terminal`, and where JSON and progress are printed."""
    allowed = {"report/terminal.py", "report/progress.py", "commands/output.py", "cli.py"}
    found = set()
    for path in (REPOSITORY / "pyncnnq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho"):
                found.add(path.relative_to(REPOSITORY / "pyncnnq").as_posix())
    assert found == allowed
