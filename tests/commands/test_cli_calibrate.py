"""`pyncnnq calibrate` as a user runs it, on the demo's model and images: options, output, and everything that goes
wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import PATIENCE

import pyncnnq
from pyncnnq import _core
from pyncnnq import cli as command_line
from pyncnnq.demo import DEMO
from pyncnnq.interrupts import ENDING
from pyncnnq.model.weights import Weight
from pyncnnq.runtime.pool import WorkerPool, available_cores

Cli = Callable[..., CompletedProcess[str]]

OPTIONS = ["--mean=128,128,128", "--norm=0.015625,0.015625,0.015625", "--pixel=RGB"]
IMAGES = sorted(DEMO.images.iterdir())
FOUR = IMAGES[::12]


class Place:
    """A folder with the demo's model as `model.param` and `model.bin`, and four of its images in `images`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.param, self.bin, self.images = folder / "model.param", folder / "model.bin", folder / "images"
        self.table = folder / "model.table"
        shutil.copyfile(DEMO.param, self.param)
        shutil.copyfile(DEMO.bin, self.bin)
        self.images.mkdir()
        for image in FOUR:
            shutil.copyfile(image, self.images / image.name)

    @property
    def model(self) -> tuple[Path, Path]:
        return self.param, self.bin

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def edit(self, change: Callable[[pyncnnq.Model], None]) -> None:
        model = pyncnnq.load_model(*self.model)
        change(model)
        model.save(*self.model)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def assert_fault(done: CompletedProcess[str], place: Place, before: set[str], *words: str) -> None:
    """One clear line, exit code 2, nothing written."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("calibrate: ")]  # progress so far
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], lines[0]
    assert place.files() == before


def write_text(path: Path, text: str = "not an image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def drop_size(model: pyncnnq.Model) -> None:
    for key in (0, 1, 2):
        model.layers[0].params.remove(key)


def set_weights(value: float) -> Callable[[pyncnnq.Model], None]:
    def change(model: pyncnnq.Model) -> None:
        layer = next(layer for layer in model.layers if layer.type == "Convolution")
        values = layer.weights["weight_data"].float32().copy()
        values[:] = np.where(np.isnan(value), values, value)
        values[5] = value
        layer.weights["weight_data"] = Weight.tagged_float32("weight_data", values)

    return change


def first_convolution(place: Place) -> str:
    return next(layer.name for layer in pyncnnq.load_model(*place.model).layers if layer.type == "Convolution")


# What works.


def test_table_beside_the_model_by_default(cli: Cli, place: Place) -> None:
    before = place.files()
    done = cli("calibrate", *place.model, place.images, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert place.files() == before | {"model.table"}
    model = pyncnnq.load_model(*place.model)
    layers = [
        layer.name for layer in model.layers if layer.type in ("Convolution", "ConvolutionDepthWise", "InnerProduct")
    ]
    rows = [row.key for row in pyncnnq.Table.read(place.table).rows()]
    assert rows == [f"{name}_param_0" for name in layers] + layers
    *table, last = done.stdout.strip().splitlines()
    assert last == f"{place.table}: {2 * len(layers)} rows, 4 samples"
    for name in layers:
        assert any(line.split()[0] == name for line in table), name
    progress = done.stderr.splitlines()
    assert progress[-1].startswith("calibrate: 4/4, ")
    assert all(re.fullmatch(r"calibrate: [1-4]/4, \d+\.\d/s, \d+ s left", line) for line in progress), done.stderr


def test_python_gives_the_same_table(cli: Cli, place: Place) -> None:
    assert cli("calibrate", *place.model, place.images, *OPTIONS).returncode == 0
    model = pyncnnq.load_model(*place.model)
    options = pyncnnq.InputOptions(mean=(128,) * 3, norm=(0.015625,) * 3, pixel="RGB")
    text = place.table.read_text()
    assert text.splitlines()[-1].startswith("# input in0: RGB")
    assert pyncnnq.calibrate(model, place.images, options=options).table.text() == text
    assert pyncnnq.calibrate(model, pyncnnq.collect(model, place.images, options=options)).table.text() == text


def test_json(cli: Cli, place: Place) -> None:
    write_text(place.images / "notes.md")
    write_text(place.images / "broken.jpg")
    done = cli("calibrate", *place.model, place.images, *OPTIONS, "--json", "--method", "kl")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert set(summary) >= {"table", "samples", "skipped", "ignored_files", "layers", "warnings", "ncnn_messages"}
    assert summary["table"] == str(place.table)
    assert (summary["samples"], summary["ignored_files"]) == (4, {".md": 1})
    assert len(summary["skipped"]) == 1
    assert "broken.jpg" in summary["skipped"][0]
    table = pyncnnq.Table.read(place.table)
    for layer in summary["layers"]:
        assert {"name", "type", "absmax", "threshold", "scale", "weight_bits"} <= set(layer)
        assert table[layer["name"]] == np.float32(layer["scale"])
        assert layer["scale"] == pytest.approx(127 / layer["threshold"], rel=1e-6)
    assert {layer["weight_bits"] for layer in summary["layers"]} == {6, 8}


def test_the_default_is_auto_with_8_bits_where_they_are_proven_to_fit(cli: Cli, place: Place) -> None:
    tables = []
    for options in (
        [],
        ["--method=auto"],
        ["--method=auto", "--weight-bits=proven"],
        ["--method=mse", "--weight-bits=proven"],
    ):
        done = cli("calibrate", *place.model, place.images, *OPTIONS, "--json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert {layer["weight_bits"] for layer in json.loads(done.stdout)["layers"]} == {8}
        tables.append(place.table.read_bytes())
    assert tables[0] == tables[1] == tables[2] != tables[3]


def test_auto_with_the_bits_of_ncnn(cli: Cli, place: Place) -> None:
    done = cli("calibrate", *place.model, place.images, *OPTIONS, "--json", "--weight-bits=ncnn")
    assert {layer["weight_bits"] for layer in json.loads(done.stdout)["layers"]} == {6, 8}


def test_quiet_says_nothing(cli: Cli, place: Place) -> None:
    done = cli("calibrate", *place.model, place.images, *OPTIONS, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert place.table.exists()


def test_unreadable_images_are_named_counted_and_left_out(cli: Cli, place: Place) -> None:
    assert cli("calibrate", *place.model, place.images, *OPTIONS, "-q").returncode == 0
    expected = place.table.read_bytes()
    image = (place.images / FOUR[0].name).read_bytes()
    broken = ["a.jpg", "m.png", "z.png"]
    write_text(place.images / "a.jpg")
    (place.images / "m.png").write_bytes(b"")
    (place.images / "z.png").write_bytes(image[: len(image) // 2])
    done = cli("calibrate", *place.model, place.images, *OPTIONS)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == len(broken), done.stderr
    for name, line in zip(broken, warnings, strict=True):
        assert line.startswith(f"warning: skipped {place.images / name}: ")
    assert "4 samples, 3 unreadable" in done.stdout
    assert place.table.read_bytes() == expected


def test_ncnn2tables_words(cli: Cli, place: Place) -> None:
    """The photographs are larger than the network's input, so that the resizing counts."""
    for path in place.images.iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (101, 83)))
    mean, norm = "104,117,123.5", "0.016,0.017,0.018"
    options = [
        "--mean",
        mean,
        "--norm",
        norm,
        "--size",
        "64,64",
        "--pixel",
        "BGR",
        "--resize",
        "stretch",
        "--workers",
        "2",
        "--method",
        "kl",
    ]
    words = [f"mean=[{mean}]", f"norm=[{norm}]", "shape=[64,64,3]", "pixel=BGR", "thread=2", "method=kl", "type=0"]
    assert cli("calibrate", *place.model, place.images, *options, "-o", place.folder / "a.table").returncode == 0
    assert cli("calibrate", *place.model, place.images, *words, "-o", place.folder / "b.table").returncode == 0
    assert (place.folder / "a.table").read_bytes() == (place.folder / "b.table").read_bytes()
    other = [word.replace("BGR", "RGB") for word in words]
    assert cli("calibrate", *place.model, place.images, *other, "-o", place.folder / "c.table").returncode == 0
    assert (place.folder / "a.table").read_bytes() != (place.folder / "c.table").read_bytes()


def arrays(place: Place, *shape: int, count: int = 3) -> Path:
    folder = place.folder / "arrays"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        np.save(folder / f"{number}.npy", rng.standard_normal(shape or (3, 64, 64)).astype(np.float32))
    return folder


def test_ncnn2tables_words_for_arrays(cli: Cli, place: Place) -> None:
    data = arrays(place)
    assert cli("calibrate", *place.model, data, "--method=kl", "-o", place.folder / "a.table").returncode == 0
    words = ["shape=[64,64,3]", "type=1", "method=kl", "thread=1"]
    done = cli("calibrate", *place.model, data, *words, "-o", place.folder / "b.table")
    assert done.returncode == 0, done.stderr
    assert (place.folder / "a.table").read_bytes() == (place.folder / "b.table").read_bytes()


def test_a_progress_bar_on_a_terminal(place: Place) -> None:
    """A bar with count, rate and time left on stderr; nothing of it on stdout."""
    terminal, stderr = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "pyncnnq",
        "calibrate",
        *map(str, [*place.model, DEMO.images]),
        *OPTIONS,
        "-o",
        str(place.table),
    ]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
    os.close(stderr)
    output = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not piece:
            break
        output += piece
    os.close(terminal)
    stdout, _ = process.communicate(timeout=60 * PATIENCE)
    assert process.returncode == 0
    shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", output).decode()
    assert re.search(r"calibrate .*48/48 +\d+\.\d/s +0:00:00", shown), shown
    assert "━".encode() not in stdout.replace("─".encode(), b"")


def test_a_forced_target_is_used(target: str) -> None:
    code = "from pyncnnq import _core; print(_core.active_kernels().target)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYNCNNQ_TARGET": target},
        check=True,
    )
    assert done.stdout.strip() == target


def test_the_best_target_is_used_otherwise() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYNCNNQ_TARGET"}
    code = "from pyncnnq import _core; print(_core.active_kernels().target)"
    for more in ({}, {"PYNCNNQ_TARGET": ""}):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**environment, **more}, check=True
        )
        assert done.stdout.strip() == _core.supported_targets()[0]


# What goes wrong: the model.


def truncate(place: Place) -> None:
    place.bin.write_bytes(place.bin.read_bytes()[:-10])


def other_bin(place: Place) -> None:
    place.bin.write_bytes(place.bin.read_bytes() + bytes(400))


def wrong_magic(place: Place) -> None:
    place.param.write_text(place.param.read_text().replace("7767517", "7767518"))


def custom_layer(place: Place) -> None:
    """Without weights, so that only ncnn itself can tell that it does not know it."""
    text = re.sub(
        r"^(\d+) (\d+)$",
        lambda match: f"{int(match[1]) + 1} {int(match[2]) + 1}",
        place.param.read_text(),
        count=1,
        flags=re.M,
    )
    place.param.write_text(text + "MyLayer my_layer 1 1 out0 out1\n")


MODEL_FAULTS: dict[str, tuple[Callable[[Place], object], list[str]]] = {
    "truncated-bin": (truncate, ["model.bin", "damaged"]),
    "bin-of-another-model": (other_bin, ["model.bin", "400 bytes are left"]),
    "wrong-magic": (wrong_magic, ["model.param", "7767518"]),
    "no-param": (lambda place: place.param.unlink(), ["model.param: no such file"]),
    "no-bin": (lambda place: place.bin.unlink(), ["model.bin: no such file"]),
    "unknown-layer": (
        custom_layer,
        ["model.param", "ncnn does not have: MyLayer", "--custom-layers"],
    ),
    "no-size": (lambda place: place.edit(drop_size), ["size not given", "--size"]),
    "nan-weights": (lambda place: place.edit(set_weights(np.nan)), ["(Convolution", "weight_data"]),
    "overflow": (lambda place: place.edit(set_weights(3e38)), ["blob", "holds an infinity or a NaN"]),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_faults_of_the_model(cli: Cli, place: Place, fault: str) -> None:
    spoil, words = MODEL_FAULTS[fault]
    spoil(place)
    before = place.files()
    assert_fault(cli("calibrate", *place.model, place.images, *OPTIONS), place, before, *words)


@pytest.mark.parametrize("output", ["model.param", "model.bin", "list.txt", "tables/", ""])
def test_outputs_that_are_inputs_or_no_files(cli: Cli, place: Place, output: str) -> None:
    folder = place.param.parent
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in sorted(place.images.iterdir())))
    target = f"{folder}/{output}" if output else output
    done = cli("calibrate", *place.model, folder / "list.txt", *OPTIONS, "-o", target)
    assert_fault(
        done, place, place.files(), "overwrite the input" if output[1:] and output[-1] != "/" else "no name of a file"
    )


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
def test_standard_output_on_a_full_disk(place: Place) -> None:
    command = [sys.executable, "-m", "pyncnnq", "calibrate", *place.model, place.images, *OPTIONS, "-o", place.table]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [str(word) for word in command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120 * PATIENCE,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "standard output: no space left on device" in done.stderr
    assert place.table.exists(), "what was asked for had been written before"


@pytest.mark.parametrize("as_list", [False, True])
def test_images_are_not_overwritten(cli: Cli, place: Place, as_list: bool) -> None:
    image = sorted(place.images.iterdir())[1]
    before = image.read_bytes()
    data = (
        write_text(place.folder / "list.txt", "\n".join(str(path) for path in place.images.iterdir()))
        if as_list
        else place.images
    )
    given = [data, *OPTIONS, "--samples=1", "-o", image]
    assert_fault(cli("calibrate", *place.model, *given), place, place.files(), "would overwrite the input", image.name)
    assert image.read_bytes() == before


def test_a_pipe_among_the_images_is_left_out(cli: Cli, place: Place) -> None:
    """To open it would be to wait for ever."""
    os.mkfifo(place.images / "pipe.png")
    done = cli("calibrate", *place.model, place.images, *OPTIONS)
    assert done.returncode == 0
    assert "skipped" in done.stderr
    assert "pipe.png: is not a file" in done.stderr


def test_an_image_too_thin_for_its_short_side_is_left_out(cli: Cli, place: Place) -> None:
    cv2.imwrite(str(place.images / "thin.png"), np.zeros((1, 60000, 3), np.uint8))
    done = cli("calibrate", *place.model, place.images, *OPTIONS, "--resize=short-side:64")
    assert done.returncode == 0
    assert "thin.png: its 60000x1 pixels become too many with size 64,64 and resize short-side:64" in done.stderr


@pytest.mark.parametrize(("fault", "fatal"), [("shape", True), ("nan", True), ("damaged", False)])
def test_one_bad_array_among_good_ones(cli: Cli, place: Place, fault: str, fatal: bool) -> None:
    """What cannot be read may be left out; an array that is not of this model means that the data is not."""
    folder = arrays(place)
    bad = folder / "bad.npy"
    np.save(bad, np.full((3, 64, 63) if fault == "shape" else (3, 64, 64), np.nan if fault == "nan" else 1, np.float32))
    if fault == "damaged":
        bad.write_bytes(bad.read_bytes()[:5000])
    done = cli("calibrate", *place.model, folder)
    assert done.returncode == (2 if fatal else 0), done.stderr
    assert "bad.npy" in done.stderr
    assert place.table.exists() != fatal


def test_a_file_named_like_a_word_of_ncnn2table(cli: Cli, place: Place) -> None:
    shutil.move(next(place.images.iterdir()), place.folder / "mean=1.png")
    assert cli("calibrate", *place.model, "mean=1.png", *OPTIONS, cwd=place.folder).returncode == 0


def test_texts_too_long_for_a_name(cli: Cli, place: Place) -> None:
    long = "a" * 300
    listed = write_text(place.folder / "list.txt", f"{FOUR[0]}\n{long}\n")
    before = place.files()
    assert_fault(cli("calibrate", *place.model, listed, *OPTIONS), place, before, "list.txt", "line 2: aaa")
    assert_fault(cli("calibrate", *place.model, long, *OPTIONS), place, before, long)
    config = write_text(place.folder / "c.toml", f"[[input]]\ndata = '{long}'\n")
    before = place.files()
    assert_fault(cli("calibrate", *place.model, "--config", config, *OPTIONS), place, before, long)
    config.write_text(f"[[input]]\nmean = [1{'0' * 400}, 1, 1]\n")
    assert_fault(
        cli("calibrate", *place.model, place.images, "--config", config), place, before, "c.toml", "not so large"
    )


def test_closed_streams(place: Place) -> None:
    """As under cron; nobody reads what is printed, the table is what counts."""
    words = [sys.executable, "-m", "pyncnnq", "calibrate", *place.model, place.images, *OPTIONS]
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        place.table.unlink(missing_ok=True)
        command = f"{shlex.join(map(str, words))} {closed}"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=120 * PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert place.table.exists()


@pytest.mark.parametrize(("asked", "at_first"), [(1, 1), (50, available_cores())])
def test_workers_beyond_the_cores_wait_until_the_model_is_read(
    run_here: Cli, place: Place, monkeypatch: pytest.MonkeyPatch, asked: int, at_first: int
) -> None:
    started = []

    class Recorded(WorkerPool):
        def __init__(self, workers: int | None = None, *, most: int | None = None) -> None:
            super().__init__(workers, most=most)
            started.append(self.size)

    monkeypatch.setattr("pyncnnq.runtime.engines.choice.WorkerPool", Recorded)
    done = run_here("calibrate", place.folder / "none.param", place.bin, place.images, *OPTIONS, f"--workers={asked}")
    assert_fault(done, place, place.files(), "none.param: no such file")
    assert started == [at_first]


def test_nan_weights_name_the_layer(cli: Cli, place: Place) -> None:
    name = first_convolution(place)
    place.edit(set_weights(np.nan))
    assert_fault(cli("calibrate", *place.model, place.images, *OPTIONS), place, place.files(), repr(name))


def test_an_int8_model(cli: Cli, shared: Path, place: Place) -> None:
    model = [shared / "golden/chain" / f"kl.int8.{suffix}" for suffix in ("param", "bin")]
    done = cli("calibrate", *model, shared / "golden/chain/inputs", "-o", place.table)
    assert_fault(done, place, place.files(), "kl.int8.param", "int8 already")


# The data and the options.


def no_images(place: Place) -> list[object]:
    (place.folder / "empty").mkdir()
    return [place.folder / "empty", *OPTIONS]


def text_files(place: Place) -> list[object]:
    write_text(place.folder / "texts" / "a.txt")
    write_text(place.folder / "texts" / "b.md")
    return [place.folder / "texts", *OPTIONS]


def all_unreadable(place: Place) -> list[object]:
    for name in ("a.jpg", "b.png"):
        write_text(place.folder / "broken" / name)
    return [place.folder / "broken", *OPTIONS]


def one_unreadable_strict(place: Place) -> list[object]:
    write_text(place.images / "broken.jpg")
    return [place.images, *OPTIONS, "--strict"]


def bad_config(place: Place) -> list[object]:
    return [place.images, "--config", write_text(place.folder / "c.toml", "mode = 'kl'\n")]


def images(*options: object) -> Callable[[Place], list[object]]:
    return lambda place: [place.images, *options]


DATA_FAULTS: dict[str, tuple[Callable[[Place], list[object]], list[str]]] = {
    "no-data": (lambda _: [*OPTIONS], ["model.param", "needs calibration data"]),
    "missing-folder": (lambda place: [place.folder / "none", *OPTIONS], ["none: no such file or folder"]),
    "no-images": (no_images, ["empty", "no images or array files (.npy, .npz) found"]),
    "text-files": (text_files, ["texts", "1 .txt", "1 .md"]),
    "all-unreadable": (all_unreadable, ["none of the 2 samples could be read", "a.jpg"]),
    "strict": (one_unreadable_strict, ["broken.jpg", "--strict"]),
    "no-mean": (images("--norm=1,1,1", "--pixel=RGB"), ["mean not given", "--mean"]),
    "no-norm": (images("--mean=1,1,1", "--pixel=RGB"), ["norm not given", "--norm"]),
    "no-preprocessing": (images(), ["mean, norm, pixel not given", "--preset"]),
    "mean-of-4": (images("--mean=1,1,1,1", "--norm=1,1,1", "--pixel=RGB"), ["mean has 4 values", "3 channels"]),
    "gray-for-3-channels": (images("--mean=1", "--norm=1", "--pixel=GRAY"), ["the model takes 3 channels", "GRAY"]),
    "size-of-words": (images(*OPTIONS, "--size=big"), ["--size: 'big'"]),
    "unknown-preset": (images("--preset=imagenet"), ["imagenet-torch"]),
    "unknown-method": (images(*OPTIONS, "--method=kld"), ["unknown method 'kld'", "kl, minmax"]),
    "unknown-weight-bits": (images(*OPTIONS, "--weight-bits=7"), ["unknown weight bits '7'", "ncnn"]),
    "unknown-word": (images("pixel=RGBX"), ["RGBX"]),
    "arrays-of-wrong-shape": (
        lambda place: [arrays(place, 3, 63, 64)],
        ["0.npy", "(3, 63, 64)", "expected (3, 64, 64)"],
    ),
    "arrays-of-wrong-shape-in-a-stack": (
        lambda place: [arrays(place, 2, 3, 63, 64)],
        ["(2, 3, 63, 64), expected (3, "],
    ),
    "arrays-with-image-options": (
        lambda place: [arrays(place), *OPTIONS],
        ["mean, norm, pixel", ".npy arrays are taken as they are"],
    ),
    "bad-config": (bad_config, ["c.toml", "unknown key 'mode'"]),
    "no-output-folder": (lambda place: [place.images, *OPTIONS, "-o", place.folder / "no/a.table"], ["no such folder"]),
    "output-in-a-file": (
        lambda place: [place.images, *OPTIONS, "-o", place.param / "a.table"],
        ["model.param", "no such folder"],
    ),
    "output-is-a-folder": (lambda place: [place.images, *OPTIONS, "-o", place.images], ["images: is a folder"]),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_faults_of_data_and_options(cli: Cli, place: Place, fault: str) -> None:
    arguments, words = DATA_FAULTS[fault]
    given = arguments(place)
    before = place.files()
    assert_fault(cli("calibrate", *place.model, *given), place, before, *words)


def test_inputs_with_different_numbers_of_samples(cli: Cli, shared: Path, place: Place) -> None:
    folder = shared / "golden/twoin"
    model = (folder / "model.param", folder / "model.bin")
    paths = sorted((folder / "inputs").glob("*_in0.npy"))
    two, three = (write_text(place.folder / f"{n}.txt", "\n".join(map(str, paths[:n]))) for n in (2, 3))
    before = place.files()
    assert_fault(cli("calibrate", *model, two, three, "-o", place.table), place, before, "2.txt has 2", "3.txt has 3")
    assert_fault(
        cli("calibrate", *model, two, "-o", place.table), place, before, "1 DATA argument for 2 model inputs (in0, in1)"
    )


@pytest.mark.parametrize("arguments", [["--samples=0"], ["--workers=0"], ["--nonsense"]])
def test_usage_errors(cli: Cli, place: Place, arguments: list[str]) -> None:
    done = cli("calibrate", *place.model, place.images, *OPTIONS, *arguments)
    assert done.returncode == 2
    assert arguments[0].split("=")[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.table.exists()


@pytest.mark.parametrize("name", ["sse9", "neon" if "neon" not in _core.supported_targets() else "avx2"])
def test_an_impossible_target_names_the_valid_ones(cli: Cli, place: Place, name: str) -> None:
    done = cli("calibrate", *place.model, place.images, *OPTIONS, PYNCNNQ_TARGET=name)
    assert_fault(done, place, place.files(), "PYNCNNQ_TARGET", f"'{name}'", "scalar")


# In this process, to see what cannot be arranged outside it.


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    def run(*arguments: Any) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["pyncnnq", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            command_line.main()
        out, err = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return CompletedProcess([], exit_.value.code, out, err)

    handlers = {number: signal.getsignal(number) for number in ENDING}
    yield run
    for number, handler in handlers.items():  # those that a process leaves at its end are not for this one
        signal.signal(number, handler)


def test_a_read_only_folder(run_here: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out before the work begins; root may write anywhere, so the answer of the system is replaced."""
    monkeypatch.setattr("pyncnnq.files.os.access", lambda _, mode: not mode & os.W_OK)
    monkeypatch.setattr(
        "pyncnnq.optimization.calibrate.observe_samples", lambda *_, **__: pytest.fail("calibrated for nothing")
    )
    assert_fault(run_here("calibrate", *place.model, place.images, *OPTIONS), place, place.files(), "permission denied")


def test_a_full_disk(run_here: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pyncnnq.files.os.fsync", full)
    assert_fault(
        run_here("calibrate", *place.model, place.images, *OPTIONS), place, place.files(), "No space left on device"
    )


# Interrupts and crashes.


def children(pid: int) -> list[int]:
    """The processes that it has started, on Linux."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def in_session(session: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.fixture
def running(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A calibration of many images, in a session of its own, that has got through some of them."""
    with calibrating(place, IMAGES * 400) as process:
        time.sleep(0.6 * PATIENCE)
        assert len(children(process.pid)) == 2, "the workers are not running"
        yield process


@contextmanager
def calibrating(place: Place, images: Sequence[Path]) -> Iterator[subprocess.Popen[str]]:
    """Calibrate in a process with a session of its own, which has two workers already."""
    listed = write_text(place.folder / "many.txt", "\n".join(map(str, images)))
    command = [sys.executable, "-m", "pyncnnq", "calibrate", *map(str, [*place.model, listed]), *OPTIONS, "--workers=2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 30 * PATIENCE
        while len(children(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        yield process
        if process.poll() is None:
            process.kill()


def assert_nothing_left(process: subprocess.Popen[str], place: Place) -> None:
    deadline = time.monotonic() + 5 * PATIENCE
    while in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert in_session(process.pid) == []
    assert sorted(place.files() - {str(path.relative_to(place.folder)) for path in place.images.iterdir()}) == [
        "images",
        "many.txt",
        "model.bin",
        "model.param",
    ]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("to_all", [True, False], ids=["terminal", "parent-alone"])
def test_ctrl_c(place: Place, running: subprocess.Popen[str], to_all: bool) -> None:
    """A terminal sends the signal to all processes, `kill` to one."""
    (os.killpg if to_all else os.kill)(running.pid, signal.SIGINT)
    stdout, stderr = running.communicate(timeout=20 * PATIENCE)
    assert running.returncode == 130
    assert stdout == ""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith("calibrate: ")]
    assert lines == ["interrupted: nothing was written"]
    assert_nothing_left(running, place)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_worker_that_is_killed(cli: Cli, place: Place) -> None:
    """By the system, when memory runs out: its samples are computed again."""
    with calibrating(place, IMAGES * 40) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("calibrate: ")  # it has got through some samples
        os.kill(children(running.pid)[0], signal.SIGKILL)
        _, stderr = running.communicate(timeout=60 * PATIENCE)
    assert running.returncode == 0
    assert not [line for line in stderr.splitlines() if not line.startswith("calibrate: ")]
    table = place.folder / "model.table"
    found = table.read_bytes()
    table.unlink()
    assert_nothing_left(running, place)
    assert cli("calibrate", *place.model, place.folder / "many.txt", *OPTIONS).returncode == 0
    assert found == table.read_bytes()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_workers_end_when_the_parent_is_killed(place: Place, running: subprocess.Popen[str]) -> None:
    running.kill()
    running.wait()
    assert_nothing_left(running, place)
