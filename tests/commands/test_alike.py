"""Each command is a call that a Python user can make too: the same names, the same defaults, the same files."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click
import numpy as np
import pytest
from onnx_models import classifier
from unfused import unfused

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError

Cli = Callable[..., CompletedProcess[str]]

TYPED = [f"--{name}={','.join(map(str, values))}" for name, values in (("mean", DEMO.mean), ("norm", DEMO.norm))]
TYPED += [f"--pixel={DEMO.pixel}", "--samples=16", "--quiet"]
INPUTS = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> pyncnnq.Model:
    """A model that is not fused yet, so that it matters whether both fuse."""
    model = unfused(pyncnnq.load_model(DEMO.param, DEMO.bin), np.random.default_rng(0))
    return model.stored(tmp_path_factory.mktemp("twin"), "twin")


def run(cli: Cli, folder: Path, *arguments: object) -> None:
    done = cli(*arguments, *TYPED, cwd=folder)
    assert done.returncode == 0, done.stderr


def same(folder: Path, *names: str) -> bool:
    """Whether the files of the command line, `typed.*`, are those of Python, `python.*`."""
    return all(
        (folder / f"typed{name}").read_bytes() == (folder / f"python{name}").read_bytes() and name for name in names
    )


@pytest.mark.parametrize("fuse", [True, False])
def test_calibrate_and_quantize_with_the_table(cli: Cli, tmp_path: Path, twin: pyncnnq.Model, fuse: bool) -> None:
    words = [] if fuse else ["--no-fuse"]
    run(cli, tmp_path, "calibrate", *twin.files[:2], DEMO.images, "-o", "typed.table", *words)
    result = pyncnnq.calibrate(twin, DEMO.images, options=INPUTS, samples=16, fuse=fuse)
    result.table.write(tmp_path / "python.table")
    assert bool(result.fused) == fuse
    assert same(tmp_path, ".table")

    done = cli("quantize", *twin.files[:2], "typed.table", "-o", "typed", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    int8 = pyncnnq.quantize(twin, pyncnnq.Table.read(tmp_path / "python.table"), fuse=fuse)
    int8.save(tmp_path / "python.param", tmp_path / "python.bin")
    assert same(tmp_path, ".param", ".bin", ".json")


def test_quantize_with_data(cli: Cli, tmp_path: Path, twin: pyncnnq.Model) -> None:
    words = ["--recipe", "fast", "--without", "zero points", "--max-float-layers", 1, "--exclude", "conv_0"]
    run(cli, tmp_path, "quantize", *twin.files[:2], DEMO.images, "-o", "typed", *words)
    result = pyncnnq.quantize(
        twin,
        DEMO.images,
        options=INPUTS,
        samples=16,
        recipe="fast",
        without=["zero points"],
        budget=pyncnnq.Budget(max_float_layers=1),
        exclude=["conv_0"],
    )
    result.save(tmp_path / "python.param", tmp_path / "python.bin")
    assert same(tmp_path, ".param", ".bin", ".json")
    assert "zero points" not in {name for candidate in result.candidates for name in candidate.techniques}
    assert result.fused


@pytest.mark.usefixtures("pnnx")
def test_deploy(cli: Cli, tmp_path: Path) -> None:
    source = classifier(tmp_path / "net.onnx")
    run(cli, tmp_path, "deploy", source, DEMO.images, "-o", "typed", "--recipe", "fast")
    pyncnnq.deploy(source, tmp_path / "python", DEMO.images, options=INPUTS, samples=16, recipe="fast")
    names = ["net.param", "net.bin", "net.table", "net-int8.param", "net-int8.bin", "net-int8.json", "net_run.py"]
    assert same(tmp_path, *(f"/{name}" for name in names))


def test_options_for_data_are_of_no_use_with_a_table(twin: pyncnnq.Model) -> None:
    choices: list[dict[str, Any]] = [{"samples": 3}, {"recipe": "fast"}, {"options": INPUTS}, {"without": ["centring"]}]
    for choice in choices:
        with pytest.raises(PyncnnqError, match="not for a table") as caught:
            pyncnnq.quantize(twin, pyncnnq.Table(), **choice)
        assert caught.value.option == next(iter(choice))


PRINTING = {"as_json", "quiet", "help", "report", "fail_under_sqnr", "fail_drop", "targets"}
"""What says how results are shown; a Python user has the results themselves."""
FILES = {"param", "bin", "int8_param", "int8_bin", "source", "data", "model", "int8", "table", "name", "float_model"}
FILES |= {"folder", "adjusted", "target", "config", "output", "models", "save_config", "program"}
OF_DATA = {"synthetic", "statistics"}
"""What `pyncnnq.Synthetic` and `pyncnnq.load_statistics` are in place of data."""
OF_THE_MODEL = {"custom_layers"}
"""What `pyncnnq.load_model` takes."""
OF_THE_ENGINE = {"send_images", "reproducible"}
"""What `pyncnnq.start_engine` takes."""


@pytest.mark.parametrize(
    "name",
    [
        "calibrate",
        "collect",
        "quantize",
        "convert",
        "deploy",
        "evaluate",
        "analyze",
        "import-qdq",
        "dequantize",
        "inspect",
        "profile",
    ],
)
def test_options_are_keyword_arguments_of_the_same_name_and_default(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    parameters = inspect.signature(getattr(pyncnnq, name.replace("-", "_"))).parameters
    objects = {"options": pyncnnq.InputOptions, "budget": pyncnnq.Budget}
    inside = {
        field.name for argument, kind in objects.items() if argument in parameters for field in dataclasses.fields(kind)
    }
    if "source" not in parameters:
        assert inspect.signature(pyncnnq.load_model).parameters["custom_layers"].default is None
        inside |= OF_THE_MODEL
    if "engine" in parameters:
        started = inspect.signature(pyncnnq.start_engine).parameters
        assert not any(started[option].default for option in OF_THE_ENGINE)
        inside |= OF_THE_ENGINE
    for option in command.params:
        if option.name in PRINTING | FILES | OF_DATA | inside:
            continue
        if option.name == "no_fuse":
            assert parameters["fuse"].default is True
            continue
        default = parameters[str(option.name)].default
        assert option.default == default or not isinstance(option.default, str | int), option.name
