"""The report: one file that says what the figures say, in a browser too."""

from __future__ import annotations

import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import pyncnnq
from pyncnnq import Analysis, Evaluation, InputOptions
from pyncnnq.demo import DEMO
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.front import Front, Point
from pyncnnq.report import svg
from pyncnnq.report.page import page

Cli = Callable[..., CompletedProcess[str]]
OPTIONS = InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
WORDS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]
SETTINGS = {"int8 model": "int8.param", "float model": "model.param", "data": "images <&>"}

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's int8 model."""
    folder = tmp_path_factory.mktemp("int8")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    table = pyncnnq.calibrate(model, pyncnnq.collect(model, DEMO.images, options=OPTIONS)).table
    pyncnnq.quantize(model, table).save(folder / "int8.param", folder / "int8.bin")
    return folder / "int8.param", folder / "int8.bin"


@pytest.fixture(scope="module")
def facts(files: tuple[Path, Path]) -> tuple[Evaluation, Analysis]:
    model, int8 = pyncnnq.load_model(DEMO.param, DEMO.bin), pyncnnq.load_model(*files)
    return (
        pyncnnq.evaluate(model, int8, DEMO.images, options=OPTIONS, samples=16),
        pyncnnq.analyze(model, int8, DEMO.images, options=OPTIONS, samples=8),
    )


@pytest.fixture(scope="session")
def browser() -> str:
    """Chromium; a user's machine need not have it."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium here")
        pytest.skip("no Chromium here")
    return found


def chromium(browser: str, profile: Path, page: Path, *options: str) -> str:
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        *options,
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class _Parser(html.parser.HTMLParser):
    """The text of each cell of the table of layers, and all addresses that anything refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.depth: list[str] = []
        self._in_layers = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action") and value]
        if tag == "table":
            self._in_layers = values.get("id") == "layers"
        if self._in_layers and tag == "tr":
            self.rows.append([])
        if self._in_layers and tag == "td":
            self.rows[-1].append("")
        if tag not in ("meta", "img", "br", "path", "line", "circle", "polyline"):
            self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "line", "circle", "polyline"):
            assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._in_layers and self.rows and self.rows[-1] and self.depth[-1] == "td":
            self.rows[-1][-1] += data


def test_the_table_of_layers_says_what_was_found(facts: tuple[Evaluation, Analysis]) -> None:
    text = page(*facts, SETTINGS)
    parsed = _Parser(text)
    assert not parsed.depth, "tags that are not closed"
    rows = [row for row in parsed.rows if row]
    assert [row[0] for row in rows] == [layer.name for layer in facts[1].layers]
    for row, layer in zip(rows, facts[1].layers, strict=True):
        assert row[1] == layer.type
        assert row[3:6] == [f"{100 * layer.share:.1f} %", f"{layer.local_sqnr:.1f}", f"{layer.sqnr:.1f}"]
    assert f"{facts[0].outputs[0].sqnr:.1f} dB" in text
    assert "images &lt;&amp;&gt;" in text


def test_models_between_speed_and_accuracy(facts: tuple[Evaluation, Analysis]) -> None:
    fast, exact = (
        Point(
            in_float=names, predicted_ms=time, ms=ms, bytes=size, candidate=Candidate("auto", (), {"out": ratio}, 0.0)
        )
        for names, time, ms, size, ratio in [
            (("a",), 3.125, 3.5, 1_250_000, 21.04),
            (("a", "b"), 4.0, None, 2_000_000, math.inf),
        ]
    )
    text = page(*facts, SETTINGS, front=Front(points=(fast, exact), default=fast, written=exact))
    assert not _Parser(text).depth, "tags that are not closed"
    table = text[text.index('<table id="front">') :].partition("</table>")[0]
    assert [re.findall("<td>(.*?)</td>", row) for row in table.splitlines() if "<td>" in row] == [
        ["1", "1", "3.12", "3.50", "21.0 dB", "1.25", "the default"],
        ["2", "2", "4.00", "-", "no error", "2.00", "this model"],
    ]
    assert 'id="front"' not in page(*facts, SETTINGS)


def test_it_needs_nothing_else(facts: tuple[Evaluation, Analysis]) -> None:
    text = page(*facts, SETTINGS)
    addresses = _Parser(text).addresses
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert not re.search(r"@import|url\(|https?:", text)


def test_the_command_writes_it(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("\n".join(DEMO.classes))
    arguments = ("evaluate", DEMO.param, DEMO.bin, *files, DEMO.images, *WORDS, "--samples", 8, "--labels", names)
    done = cli(*arguments, "--report", tmp_path / "report.html", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    text = (tmp_path / "report.html").read_text()
    for layer in told["analysis"]["layers"]:
        assert layer["name"] in text
    for sample in told["samples"]:
        assert Path(sample["path"]).name in text
        (ranking,) = sample["record"].values()
        assert f">{DEMO.classes[ranking['places'][0][0]]}</td>" in text
    again = cli(*arguments, "--report", DEMO.images / "missing" / "report.html")
    assert again.returncode == 2
    assert "no such folder" in again.stderr


def test_without_jinja_it_says_what_to_install(files: tuple[Path, Path], tmp_path: Path) -> None:
    code = "import sys; sys.modules['jinja2'] = None; from pyncnnq.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "evaluate",
        DEMO.param,
        DEMO.bin,
        *files,
        DEMO.images,
        *WORDS,
        "--report",
        tmp_path / "report.html",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: --report: needs Jinja2, which is not installed: pip install 'pyncnnq[report]'"


def test_an_outline_rises_and_falls_with_the_counts() -> None:
    assert svg.outline([0, 0, 7, 0], 40, 10) == "M0 10H20V0H30V10H40V10Z"


def long_analysis(analysis: Analysis, layers: int) -> Analysis:
    some = [replace(analysis.layers[place % len(analysis.layers)], name=f"layer_{place}") for place in range(layers)]
    return replace(
        analysis,
        layers=some,
        blobs=[replace(analysis.blobs[place % len(analysis.blobs)], name=f"blob_{place}") for place in range(layers)],
    )


PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const head = [...document.querySelectorAll("#layers th")].find(one => one.textContent.trim() === "alone");
  const rows = () => [...document.querySelectorAll("#layers tbody tr")];
  const column = () => rows().map(row => row.cells[head.cellIndex].textContent);
  const told = {loaded: performance.getEntriesByType("navigation")[0].loadEventEnd,
    background: getComputedStyle(document.body).backgroundColor,
    circles: document.querySelectorAll("#along circle").length};
  head.querySelector("button").click(); told.up = column(); told.sort = head.getAttribute("aria-sort");
  head.querySelector("button").click(); told.down = column();
  document.body.textContent = "TOLD" + JSON.stringify(told) + "DLOT";
}))</script>"""


def probe(browser: str, folder: Path, text: str, *options: str) -> dict[str, object]:
    """What the page looks like to the browser."""
    (folder / "report.html").write_text(text.replace("</body>", PROBE + "</body>"))
    found = re.search(
        "TOLD(.*)DLOT", chromium(browser, folder / "profile", folder / "report.html", "--dump-dom", *options)
    )
    assert found
    told: dict[str, object] = json.loads(found[1])
    return told


def test_of_270_layers_it_is_small_and_opens_in_a_second(
    browser: str, facts: tuple[Evaluation, Analysis], tmp_path: Path
) -> None:
    text = page(facts[0], long_analysis(facts[1], 270), SETTINGS)
    assert len(text.encode()) < 3e6
    told = min((probe(browser, tmp_path, text) for _ in range(3)), key=lambda one: float(str(one["loaded"])))
    assert told["circles"] == 270
    assert float(str(told["loaded"])) < 1000 * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def test_a_heading_sorts_by_numbers(browser: str, facts: tuple[Evaluation, Analysis], tmp_path: Path) -> None:
    told = probe(browser, tmp_path, page(*facts, SETTINGS))
    values = sorted(layer.local_sqnr for layer in facts[1].layers)
    assert told["up"] == [f"{value:.1f}" for value in values]
    assert told["down"] == [f"{value:.1f}" for value in reversed(values)]
    assert told["sort"] == "ascending"


def test_on_a_phone_the_page_is_no_wider_than_the_screen(
    browser: str, facts: tuple[Evaluation, Analysis], tmp_path: Path
) -> None:
    # Headless Chromium opens no window narrower than 500 pixels: a frame is as narrow as it is told.
    (tmp_path / "inner.html").write_text(page(*facts, SETTINGS))
    outer = """<body style="margin:0"><iframe src="inner.html" width="360" height="800" style="border:0"></iframe>
<script>
addEventListener("load", () => { const inner = document.querySelector("iframe").contentDocument.documentElement;
  document.title = "WIDTH" + inner.scrollWidth + "HTDIW"; })</script>"""
    (tmp_path / "outer.html").write_text(outer)
    dom = chromium(
        browser, tmp_path / "profile", tmp_path / "outer.html", "--dump-dom", "--allow-file-access-from-files"
    )
    found = re.search(r"WIDTH(\d+)HTDIW", dom)
    assert found
    assert int(found[1]) <= 360


def test_it_follows_the_systems_colours(browser: str, facts: tuple[Evaluation, Analysis], tmp_path: Path) -> None:
    text = page(*facts, SETTINGS)
    light = probe(browser, tmp_path, text)["background"]
    dark = probe(browser, tmp_path, text, "--blink-settings=preferredColorScheme=0")["background"]
    assert light != dark
    assert brightness(str(light)) > 200 > 60 > brightness(str(dark))


def brightness(colour: str) -> float:
    channels = [int(number) for number in re.findall(r"\d+", colour)[:3]]
    return sum(channels) / 3


def test_it_prints(browser: str, facts: tuple[Evaluation, Analysis], tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(*facts, SETTINGS))
    start = time.monotonic()
    chromium(browser, tmp_path / "profile", tmp_path / "report.html", f"--print-to-pdf={tmp_path / 'report.pdf'}")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert time.monotonic() - start < 60
