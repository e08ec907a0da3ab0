"""The benchmarks that the documentation names can be started as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

NAMES = (
    "accuracy",
    "calibrate_speed",
    "cluster_growth",
    "evaluate_speed",
    "growth",
    "half",
    "histogram_fidelity",
    "kernels",
    "latency",
    "portability",
    "preprocessing",
    "qdq_accuracy",
    "quantize_speed",
    "recurrent",
    "sweep",
    "synthetic",
    "transformers",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In the checkout, whose own pyncnnq has no core, without what the tests set for Python's search path but the
    package's place."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, env=environment, check=False
    )


def test_they_are_listed() -> None:
    listed = run().stdout
    assert [line.split()[3] for line in listed.splitlines()] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_tells_its_options(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_accuracy_of_a_classifier(shared: Path) -> None:
    options = (
        "--models",
        "resnet18_cifar10.ncnn",
        "--recipes",
        "kl",
        "minmax",
        "bf16",
        "--calibrate",
        "10",
        "--evaluate",
        "50",
        "--json",
    )
    done = run("accuracy", str(shared), *options)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["recipe"] for row in rows] == ["bf16", "kl", "minmax"]
    for row in rows:
        # Of all 10000 test photographs the float model gets 86.82 % right.
        assert 70 <= row["float_top1"] <= 100
        assert abs(row["top1"] - row["float_top1"]) <= 100 - row["agreement"] <= 10
        assert 20 < row["worst_sqnr"] == row["sqnr"]["out0"] < 60


def test_accuracy_names_what_it_does_not_know(shared: Path) -> None:
    for option, name, known in (("--recipes", "klp", "minmax"), ("--models", "resnet", "squeezenet_v1.1")):
        done = run("accuracy", str(shared), option, name)
        assert done.returncode == 2
        assert name in done.stderr
        assert known in done.stderr


def test_an_unknown_name_lists_the_known() -> None:
    done = run("speed")
    assert done.returncode == 2
    assert "python -m benchmarks kernels" in done.stdout
