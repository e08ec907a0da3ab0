"""The benchmark of the kernels covers the list, compiles, and its own checks pass."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, REPOSITORY

from pyncnnq import _core

WITH_A_NEW_KERNEL = """
import runpy, sys
from pyncnnq import _core
_core.KERNELS.append("made_up_f32")
sys.path.append(sys.argv.pop())
runpy.run_module("benchmarks.kernels", run_name="__main__", alter_sys=True)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300 * PATIENCE, cwd=REPOSITORY, env=environment, check=False
    )


def test_a_kernel_without_a_benchmark_is_named() -> None:
    done = run("-P", "-c", WITH_A_NEW_KERNEL, "--help", str(REPOSITORY))
    assert done.returncode == 2, done.stdout
    assert "no benchmark for made_up_f32" in done.stderr


@pytest.mark.skipif(
    importlib.util.find_spec("pybind11") is None or shutil.which(os.environ.get("CXX") or "c++") is None,
    reason="pybind11 and a compiler are needed",
)
def test_each_kernel_is_checked_and_timed(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = run("-m", "benchmarks", "kernels", "--samples", "1", "--size", "L1", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    timed = {row["kernel"] for row in written["kernels"]} | {"gemm_s8_s32", "kl_cross_entropies"}
    assert timed == {*_core.KERNELS, "histogram"}
    for row in written["kernels"]:
        assert row["nanoseconds"] > 0 or row["who"] == "ncnn"  # a call that takes nothing is subtracted there
        assert row["scalars"] == 1 or row["who"] != "scalar"
    for rows, key in ((written["kernels"], "who"), (written["gemm"], "target"), (written["kl"], "who")):
        assert {row[key] for row in rows} >= set(_core.supported_targets())
