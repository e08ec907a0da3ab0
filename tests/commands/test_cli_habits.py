"""What people type and have, as they type it: the same tables as from what the manual asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from small_models import convolution, plain

import pyncnnq
from pyncnnq import InputOptions
from pyncnnq.compare.tasks.class_labels import find_labels
from pyncnnq.demo import DEMO
from pyncnnq.model import Layer, Model, Params

Cli = Callable[..., CompletedProcess[str]]

IMAGES = sorted(DEMO.images.iterdir())[::12]
DOUBT = "mean 0.485,0.456,0.406 is that of values from 0 to 1"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four images of the demo, a list of them, and files of other types, in folders."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for image in IMAGES:
        (folder / image.name).write_bytes(image.read_bytes())
    for name in ("a.txt", "more/b.txt", "c.xml"):
        (folder / name).touch()
    return folder


@pytest.fixture
def two_inputs(tmp_path: Path) -> Model:
    """A model that adds its inputs, both of shape (3, 12, 12)."""
    inputs = [Layer("Input", name, [], [name], Params(" 0=12 1=12 2=3")) for name in ("in0", "in1")]
    layers = [
        *inputs,
        plain("BinaryOp", "sum", "in0", "in1"),
        convolution(np.random.default_rng(3), "conv", "sum", 3, 4),
    ]
    return Model(layers).stored(tmp_path, "two")


def table_of(cli: Cli, model: Model, *arguments: object) -> str:
    target = model.files[0].with_name("habits.table")
    target.unlink(missing_ok=True)
    done = cli("calibrate", *model.files[:2], *arguments, "-o", target, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    return target.read_text()


def test_numbers_as_people_type_them(cli: Cli, images: Path, tmp_path: Path) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin).stored(tmp_path, "demo")
    plainly = table_of(cli, model, images, "--mean=128,128,128", "--norm=0.015625,0.015625,0.015625", "--pixel=RGB")
    size = "64x64"  # the demo's own
    assert plainly == table_of(cli, model, images, "--mean", 128, "--norm", "1/64", "--pixel=RGB", "--size", size)
    assert plainly == table_of(cli, model, images, "mean=[128]", "norm=[1/64]", "shape=[64,64,3]", "pixel=RGB")
    (tmp_path / "c.toml").write_text("[[input]]\nmean = 128\nnorm = '1/64'\npixel = 'RGB'\nsize = 64\n")
    assert plainly == table_of(cli, model, images, "--config", tmp_path / "c.toml")


def test_a_list_that_windows_wrote(cli: Cli, images: Path, tmp_path: Path) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin).stored(tmp_path, "demo")
    lines = ["# the images", *(f'"images\\{image.name}"' for image in IMAGES)]
    (tmp_path / "list.txt").write_bytes("\r\n".join(lines).encode("utf-16"))
    assert table_of(cli, model, tmp_path / "list.txt", "--preset=tf") == table_of(cli, model, images, "--preset=tf")


def test_doubtful_numbers_and_what_was_passed_over_are_told_once(cli: Cli, images: Path, tmp_path: Path) -> None:
    command = ("calibrate", DEMO.param, DEMO.bin, images, "-o", tmp_path / "t.table")
    command += ("--mean", "0.485,0.456,0.406", "--norm", "1/255", "--pixel", "RGB")
    done = cli(*command)
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ") and DOUBT in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: input 'data': ") or warnings[0].startswith("warning: input 'in0': ")
    assert warnings[0].endswith("Do you mean --mean 123.675,116.28,103.53?")
    assert done.stdout.splitlines()[-1].endswith(", 4 samples; passed over: 2 .txt, 1 .xml")
    facts = json.loads(cli(*command, "--json").stdout)
    assert [DOUBT in warning for warning in facts["warnings"]].count(True) == 1
    assert facts["ignored_files"] == {".txt": 2, ".xml": 1}


def test_python_users_are_told_too(images: Path, tmp_path: Path) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = InputOptions(mean="0.485,0.456,0.406", norm="1/255", pixel="RGB")  # type: ignore[arg-type]
    made = pyncnnq.quantize(model, images, options=options, recipe="table", workers=1)
    assert [DOUBT in warning for warning in made.warnings].count(True) == 1
    made.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    int8 = pyncnnq.load_model(tmp_path / "int8.param", tmp_path / "int8.bin")
    judged = pyncnnq.evaluate(model, int8, images, options=options, workers=1)
    assert [DOUBT in warning for warning in judged.warnings] == [True]
    assert made.ignored_files == judged.ignored_files == {".txt": 2, ".xml": 1}
    manifest = json.loads((tmp_path / "int8.json").read_text())
    assert manifest["calibration"]["ignored_files"] == {".txt": 2, ".xml": 1}


def test_stacks_archives_and_one_array_for_all_give_the_table_of_single_files(
    cli: Cli, two_inputs: Model, tmp_path: Path
) -> None:
    values = np.random.default_rng(5).standard_normal((5, 3, 12, 12)).astype(np.float32)
    mask = np.random.default_rng(6).standard_normal((3, 12, 12)).astype(np.float32)
    for name in ("a", "b", "named"):
        (tmp_path / name).mkdir()
    for number, value in enumerate(values):
        np.save(tmp_path / "a" / f"{number}.npy", value)
        np.save(tmp_path / "b" / f"{number}.npy", mask)
        np.savez_compressed(tmp_path / "named" / f"{number}.npz", in1=mask, in0=value)
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "stack.npy", values)
    np.savez(tmp_path / "each.npz", *values)
    np.savez_compressed(tmp_path / "all.npz", in0=values, in1=mask)
    single = table_of(cli, two_inputs, tmp_path / "a", tmp_path / "b")
    assert single == table_of(cli, two_inputs, tmp_path / "stack.npy", tmp_path / "mask.npy")
    assert single == table_of(cli, two_inputs, tmp_path / "each.npz", tmp_path / "mask.npy", "--workers", 2)
    assert single == table_of(cli, two_inputs, tmp_path / "all.npz")
    assert single == table_of(cli, two_inputs, tmp_path / "named")
    assert single == table_of(cli, two_inputs, *sorted((tmp_path / "named").iterdir()))


def test_a_sample_of_a_stack_is_named(cli: Cli, two_inputs: Model, tmp_path: Path) -> None:
    values = np.zeros((5, 3, 12, 12), np.float32)
    values[3, 1] = np.nan
    np.save(tmp_path / "stack.npy", values)
    np.save(tmp_path / "mask.npy", values[0])
    done = cli("calibrate", *two_inputs.files[:2], tmp_path / "stack.npy", tmp_path / "mask.npy")
    assert done.returncode == 2
    assert "stack.npy[3]: 144 of 432 values are NaN" in done.stderr


def test_no_output_takes_the_place_of_a_stack(cli: Cli, two_inputs: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.zeros((5, 3, 12, 12), np.float32))
    (tmp_path / "x.table").symlink_to("stack.npy")
    done = cli("calibrate", *two_inputs.files[:2], *[tmp_path / "stack.npy"] * 2, "-o", tmp_path / "x.table")
    assert done.returncode == 2
    assert "would overwrite the input" in done.stderr
    assert np.load(tmp_path / "stack.npy").shape == (5, 3, 12, 12)


def test_labels_of_the_samples_of_a_stack(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("stack.npy[0],7\nstack.npy[1],2\n")
    paths = [tmp_path / "stack.npy[1]", tmp_path / "stack.npy[0]"]
    assert find_labels(str(tmp_path / "labels.csv"), paths) == [2, 7]
