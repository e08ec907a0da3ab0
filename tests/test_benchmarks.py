"""The benchmarks that the documentation names can be started as it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

NAMES = ("accuracy", "calibrate_speed", "histogram_fidelity", "kernels", "quantize_speed")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In the checkout, whose own pyncnnq has no core, without what the tests set for Python's search path but the package's place."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, env=environment, check=False)


def test_they_are_listed() -> None:
    listed = run().stdout
    assert [line.split()[3] for line in listed.splitlines()] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_tells_its_options(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_an_unknown_name_lists_the_known() -> None:
    done = run("speed")
    assert done.returncode == 2
    assert "python -m benchmarks kernels" in done.stdout
