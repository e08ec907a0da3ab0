"""A task of another package, which the command line runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from outside_package import install
from small_models import convolution, model_of

import pyncnnq

Cli = Callable[..., CompletedProcess[str]]

PACKAGE = """
from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks import Task
from pyncnnq.errors import InputError

class Brightness(Task):
    name = "brightness"

    def fits(self, model):
        return model.outputs == ["picture"]

    def read_labels(self, source, paths):
        if not source.endswith(".brightness"):
            raise InputError(f"labels: {source}: expected a .brightness file")
        return [float(open(source).read())] * len(paths)

    def record(self, exact, rough, sample):
        name = sample.paths[0].name
        return {"float": float(exact["picture"].max()), "int8": float(rough["picture"].max()), "file": name}

    def figures(self, records, labels, paths):
        means = [sum(record[model] for record in records) / len(records) for model in ("float", "int8")]
        found = [Figure(name="brightness", unit="", values=tuple(means))]
        if labels is not None:
            found.append(Figure(name="above the truth", unit="", values=(means[0] - labels[0], means[1] - labels[0])))
        return found

BRIGHTNESS = Brightness()
"""


@pytest.fixture
def evaluated(cli: Cli, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """`pyncnnq evaluate` of a small model, where the package of the task is installed."""
    points = {"pyncnnq.tasks": {"brightness": "own_tasks:BRIGHTNESS"}}
    environment = install(tmp_path / "site", "own_tasks", PACKAGE, points)
    rng = np.random.default_rng(1)
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        np.save(data / f"{number}.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    files = tmp_path / "m.param", tmp_path / "m.bin", tmp_path / "m-int8.param", tmp_path / "m-int8.bin"
    model_of(convolution(rng, "picture", "in0", 3, 4)).save(*files[:2])
    model = pyncnnq.load_model(*files[:2])
    pyncnnq.quantize(model, pyncnnq.calibrate(model, pyncnnq.collect(model, data)).table).save(*files[2:])

    def run(*arguments: object) -> CompletedProcess[str]:
        return cli("evaluate", *files, data, *arguments, **environment)

    return run


@pytest.mark.parametrize("arguments", [[], ["--task", "brightness"]], ids=["detected", "named"])
def test_its_figures_are_shown(evaluated: Callable[..., CompletedProcess[str]], arguments: list[str]) -> None:
    done = evaluated(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["task"]["name"] == "brightness"
    assert [sample["record"]["file"] for sample in told["samples"]] == ["0.npy", "1.npy", "2.npy"]
    expected = [np.mean([sample["record"][model] for sample in told["samples"]]) for model in ("float", "int8")]
    (figure,) = told["task"]["figures"]
    assert figure["values"] == pytest.approx(expected)
    assert f"{expected[0]:.6g}" in evaluated(*arguments).stdout


def test_labels_go_to_the_task_that_reads_them(evaluated: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    labels = tmp_path / "truth.brightness"
    labels.write_text("0.5")
    told = json.loads(evaluated("--labels", labels, "--json", "--task", "brightness").stdout)
    shown, above = told["task"]["figures"]
    assert above["values"] == pytest.approx([value - 0.5 for value in shown["values"]])
    assert {sample["label"] for sample in told["samples"]} == {0.5}
    done = evaluated("--labels", tmp_path / "other.txt", "--task", "brightness")
    assert done.returncode == 2
    assert "expected a .brightness file" in done.stderr


def test_an_unknown_task_is_told_which_there_are(evaluated: Callable[..., CompletedProcess[str]]) -> None:
    done = evaluated("--task", "darkness")
    assert done.returncode == 2
    assert re.search(r"unknown task 'darkness'; there are: .*, classification, brightness\n", done.stderr)
