"""Layers that ncnn does not have, through every command that runs a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from custom_source import SOURCE, write_source
from small_models import convolution, model_of, plain

from pyncnnq.model import Model

Cli = Callable[..., CompletedProcess[str]]

CUSTOM = ("--custom-layers", "layers.py")


def network(*, custom: bool) -> Model:
    """Convolutions around a multiplication, which both kinds compute to the bit."""
    rng = np.random.default_rng(7)
    double = (
        plain("MyDouble", "double", "first", text=" 0=1.7")
        if custom
        else plain("BinaryOp", "double", "first", text=" 0=2 1=1 2=1.7")
    )
    return model_of(convolution(rng, "first", "in0", 3, 8, 3), double, convolution(rng, "second", "double", 8, 8, 3))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with both networks, the Python file and samples."""
    for name, custom in (("custom", True), ("stock", False)):
        network(custom=custom).save(tmp_path / f"{name}.param", tmp_path / f"{name}.bin")
    write_source(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(6):
        values = np.random.default_rng(number).uniform(-1, 1, (3, 12, 12)).astype(np.float32)
        np.save(tmp_path / "data" / f"{number}.npy", values)
    return tmp_path


def run(cli: Cli, place: Path, *words: object) -> CompletedProcess[str]:
    done = cli(*words, cwd=place)
    assert done.returncode == 0, done.stderr
    return done


def test_a_custom_layer_gives_what_a_stock_layer_gives(cli: Cli, place: Path) -> None:
    for name, words in (("custom", CUSTOM), ("stock", ())):
        run(cli, place, "calibrate", f"{name}.param", f"{name}.bin", "data", "-o", f"{name}.table", *words)
        files = f"{name}.param", f"{name}.bin", f"{name}.table"
        run(cli, place, "quantize", *files, "-o", f"{name}8", *words)
    assert (place / "custom.table").read_bytes() == (place / "stock.table").read_bytes()
    assert (place / "custom8.bin").read_bytes() == (place / "stock8.bin").read_bytes()
    lines = [(place / f"{name}8.param").read_text().splitlines() for name in ("custom", "stock")]
    assert [one for one, other in zip(*lines, strict=True) if one != other] == [lines[0][4]]
    assert lines[0][4].split()[:2] == ["MyDouble", "double"]
    figures = []
    for name, words in (("custom", CUSTOM), ("stock", ())):
        files = f"{name}.param", f"{name}.bin", f"{name}8.param", f"{name}8.bin", "data"
        figures.append(json.loads(run(cli, place, "evaluate", *files, "--json", *words).stdout))
        facts = json.loads(run(cli, place, "analyze", *files, "--json", *words).stdout)
        figures[-1] |= {"analyzed": [layer["local_sqnr"] for layer in facts["layers"]]}
    assert figures[0]["outputs"] == figures[1]["outputs"]
    assert figures[0]["analyzed"] == figures[1]["analyzed"]
    files = "custom.param", "custom.bin", "custom8.param", "custom8.bin", "data"
    told = run(cli, place, "evaluate", *files, "--quiet", *CUSTOM).stderr
    assert told == (
        "warning: layers that Python computes: MyDouble (1 layer); times include them, multiplications do not\n"
    )


def test_the_best_model_is_the_same_for_any_number_of_workers(cli: Cli, place: Path) -> None:
    for workers in (1, 2):
        words = "-o", f"best{workers}", "--workers", workers, *CUSTOM
        run(cli, place, "quantize", "custom.param", "custom.bin", "data", *words)
    for suffix in ("param", "bin"):
        assert (place / f"best1.{suffix}").read_bytes() == (place / f"best2.{suffix}").read_bytes()


@pytest.mark.parametrize("command", ["calibrate", "quantize"])
def test_what_ncnn_lacks_is_said_in_one_line(cli: Cli, place: Path, command: str) -> None:
    before = sorted(place.iterdir())
    done = cli(command, "custom.param", "custom.bin", "data", "-o", "out", cwd=place)
    assert (done.returncode, done.stderr) == (
        2,
        "error: custom.param: layer types that stock ncnn does not have: MyDouble (1 layer); give their Python "
        "implementation with --custom-layers\n",
    )
    (place / "layers.py").write_text(SOURCE.replace("values = np.array(bottom) *", "values = 1 // 0 *"))
    done = cli(command, "custom.param", "custom.bin", "data", "-o", "out", *CUSTOM, cwd=place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "layer 'double' (MyDouble): layers.py, line 16: ZeroDivisionError: integer division" in done.stderr
    (place / "layers.py").write_text("import ncnn\nclass MyDouble(ncnn.Layer) pass")
    done = cli(command, "custom.param", "custom.bin", "data", "-o", "out", *CUSTOM, cwd=place)
    assert done.returncode == 2
    assert done.stderr == "error: --custom-layers: layers.py, line 2: SyntaxError: invalid syntax\n"
    assert sorted(place.iterdir()) == before


def test_a_layer_that_prints_disturbs_nothing(cli: Cli, place: Path) -> None:
    (place / "layers.py").write_text("print('loaded')\n" + SOURCE.replace("values =", "print('run'); values ="))
    done = run(cli, place, "calibrate", "custom.param", "custom.bin", "data", "--json", *CUSTOM)
    assert json.loads(done.stdout)["samples"] == 6


def test_inspect_counts_custom_layers(cli: Cli, place: Path) -> None:
    done = run(cli, place, "inspect", "custom.param", "custom.bin")
    assert "layer types that stock ncnn does not have: MyDouble (1 layer)\n" in done.stdout
    assert "stock ncnn" not in run(cli, place, "inspect", "stock.param", "stock.bin").stdout
    run(cli, place, "quantize", "custom.param", "custom.bin", "data", "-o", "best", *CUSTOM)
    run(cli, place, "dequantize", "best.param", "best.bin", "-o", "back", *CUSTOM)


def test_the_file_is_not_written_over(cli: Cli, place: Path) -> None:
    words = "custom.param", "custom.bin", "data", "--custom-layers", "layers.py", "-o", "layers.py"
    assert cli("calibrate", *words, cwd=place).returncode == 2
    assert (place / "layers.py").read_text() == SOURCE
