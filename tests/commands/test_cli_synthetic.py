"""`--synthetic N` in place of DATA: int8 models that hold up on photographs, and say what they come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError
from pyncnnq.inputs import Preprocessing
from pyncnnq.inputs.loading import load_image

Cli = Callable[..., CompletedProcess[str]]

OPTIONS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]
COLLAPSE = 6
"""How many dB a model from synthetic images may be worse than one from real ones: beyond that it counts as broken."""


@pytest.fixture(scope="module")
def made(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the table of `calibrate`, the int8 models by it and by `quantize`, and what they printed."""
    folder = tmp_path_factory.mktemp("made")
    table = folder / "net.table"
    model = (DEMO.param, DEMO.bin)
    for name, arguments in {
        "calibrate": ["calibrate", *model, "--synthetic", 32, *OPTIONS, "-o", table, "--quiet"],
        "table": ["quantize", *model, table, "-o", folder / "table"],
        "best": ["quantize", *model, "--synthetic", 32, *OPTIONS, "-o", folder / "best", "--json"],
    }.items():
        done = cli(*arguments)
        assert done.returncode == 0, done.stderr
        (folder / f"{name}.out").write_text(done.stdout)
        (folder / f"{name}.err").write_text(done.stderr)
    return folder


def outputs(param: Path, bin_path: Path) -> NDArray[np.float32]:
    """The logits of the demo's images."""
    preprocessing = Preprocessing((64, 64), DEMO.mean, DEMO.norm, DEMO.pixel)
    images = [np.array(load_image(path, preprocessing)) for path in sorted(DEMO.images.iterdir())]
    return np.stack([run_ncnn(param, bin_path, {"in0": image}, ["out0"])["out0"] for image in images])


def test_models_hold_up_on_real_images(made: Path, tmp_path: Path) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    table = pyncnnq.calibrate(model, DEMO.images, options=options).table
    pyncnnq.quantize(model, table).save(tmp_path / "real.param", tmp_path / "real.bin")
    exact = outputs(DEMO.param, DEMO.bin)
    from_images = sqnr(exact, outputs(tmp_path / "real.param", tmp_path / "real.bin"))
    for name in ("table", "best"):
        found = outputs(made / f"{name}.param", made / f"{name}.bin")
        assert sqnr(exact, found) > from_images - COLLAPSE
        assert (exact.argmax(axis=1) == found.argmax(axis=1)).mean() > 0.97


def test_it_warns_and_records_it(made: Path) -> None:
    assert "warning: the data is synthetic" in (made / "calibrate.err").read_text()
    assert any(line.startswith("# the data is synthetic") for line in (made / "net.table").read_text().splitlines()), (
        "the table does not say so"
    )
    printed = json.loads((made / "best.out").read_text())
    told = json.loads((made / "best.json").read_text())["calibration"]
    assert printed["made_from"] == told
    assert told["warnings"][0].startswith("the data is synthetic")
    assert told["synthetic"] is True
    assert told["calibration_samples"] + told["held_out_samples"] == 32


def test_the_same_bytes_for_any_number_of_workers_and_from_python(cli: Cli, made: Path, tmp_path: Path) -> None:
    table = tmp_path / "one.table"
    done = cli("calibrate", DEMO.param, DEMO.bin, "--synthetic", 32, *OPTIONS, "-o", table, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == (made / "net.table").read_bytes()
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    result = pyncnnq.calibrate(pyncnnq.load_model(DEMO.param, DEMO.bin), pyncnnq.Synthetic(32), options=options)
    assert result.table.text().encode() == (made / "net.table").read_bytes()


def test_evaluate_and_analyze_take_it_and_warn(cli: Cli, made: Path, tmp_path: Path) -> None:
    models = (DEMO.param, DEMO.bin, made / "table.param", made / "table.bin")
    page = tmp_path / "page.html"
    done = cli("evaluate", *models, "--synthetic", 8, *OPTIONS, "--report", page)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning") == done.stderr.lower().count("warn") == 1
    assert "warning: the data is synthetic" in done.stderr
    assert "8 synthetic images" in page.read_text()
    told = json.loads(cli("analyze", *models, "--synthetic", 8, *OPTIONS, "--json").stdout)
    assert told["warnings"][0].startswith("the data is synthetic")
    assert told["samples"][0] == 8


def test_synthetic_images_are_of_no_class(cli: Cli, made: Path) -> None:
    models = (DEMO.param, DEMO.bin, made / "table.param", made / "table.bin")
    done = cli("evaluate", *models, "--synthetic", 8, *OPTIONS, "--labels", "folders")
    assert done.returncode == 2
    assert "error: --labels: synthetic images are of no class" in done.stderr


def test_fewer_of_them(cli: Cli, tmp_path: Path) -> None:
    table = tmp_path / "net.table"
    arguments = ("calibrate", DEMO.param, DEMO.bin, *OPTIONS, "-o", table, "--json")
    assert json.loads(cli(*arguments, "--synthetic", 9, "--samples", 4).stdout)["samples"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["calibrate", DEMO.param, DEMO.bin, DEMO.images, "--synthetic", 8, *OPTIONS],
            f"error: --synthetic: makes images in place of DATA, but DATA is given too: {DEMO.images}",
        ),
        (["calibrate", DEMO.param, DEMO.bin, "--synthetic", 8], "mean, norm, pixel not given"),
        (
            ["calibrate", DEMO.param, DEMO.bin, "--synthetic", 0, *OPTIONS],
            "error: --synthetic: expected 1 to 10,000 images, not 0",
        ),
        (["quantize", DEMO.param, DEMO.bin, "net.table", "--synthetic", 8], "--synthetic: is for calibration data"),
        (["quantize", DEMO.param, DEMO.bin, "--synthetic", 3, *OPTIONS], "3 samples are too few"),
        (["quantize", DEMO.param, DEMO.bin], "Missing argument 'TABLE|DATA...'"),
    ],
    ids=["data", "preprocessing", "none", "table", "few", "nothing"],
)
def test_errors(cli: Cli, tmp_path: Path, arguments: list[object], message: str) -> None:
    (tmp_path / "net.table").write_text("conv 1\n")
    done = cli(*arguments, "-o", tmp_path / "new", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.table"]


def test_a_model_that_takes_arrays(cli: Cli, shared: Path, tmp_path: Path) -> None:
    model = [shared / f"more/minilm_l6.{suffix}" for suffix in ("param", "bin")]
    done = cli("quantize", *model, "--synthetic", 8, "--preset", "none", "--size", "64,384", "-o", tmp_path / "net")
    assert done.returncode == 2
    assert "only images can be made up" in done.stderr


def test_python_takes_it_alone() -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    with pytest.raises(InputError, match="synthetic images stand for all inputs"):
        pyncnnq.calibrate(model, DEMO.images, pyncnnq.Synthetic(8), options=options)
