"""What an installation says of itself, and what is said where a part of it is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import pyncnnq
from pyncnnq.cli import _shortage

Cli = Callable[..., CompletedProcess[str]]


def test_the_version_names_everything_that_results_depend_on(cli: Cli) -> None:
    done = cli("--version", PYNCNNQ_TARGET="scalar")
    version, ncnn = importlib.metadata.version("pyncnnq"), importlib.metadata.version("ncnn")
    assert re.fullmatch(
        rf"pyncnnq {re.escape(version)} \(\S+( source)?\), ncnn {re.escape(ncnn)}, kernels scalar, "
        rf"CPython {platform.python_version()} on {platform.system()} {platform.machine()}\n",
        done.stdout,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert pyncnnq.__version__ == version


def test_the_version_is_told_where_the_target_is_wrong(cli: Cli) -> None:
    done = cli("--version", PYNCNNQ_TARGET="sse9")
    assert done.returncode == 0
    assert "kernels none: " in done.stdout
    assert "sse9" in done.stdout


def test_a_source_folder_says_how_to_build_it(tmp_path: Path) -> None:
    package = tmp_path / "pyncnnq"
    package.mkdir()
    shutil.copy(Path(pyncnnq.__file__), package / "__init__.py")
    done = subprocess.run(
        [sys.executable, "-c", "import pyncnnq"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: the C++ core of pyncnnq is not in {package}")
    assert "pip install ." in last


def test_a_missing_library_of_the_system_is_named() -> None:
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    told = _shortage(error)
    assert told is not None
    assert told.startswith("libGL.so.1 is missing")
    assert "opencv-python-headless" in told


def test_only_the_module_of_opencv_is_asked_for() -> None:
    """Not its distribution, of which there are four: opencv-python, -headless, and both with contrib."""
    package = Path(pyncnnq.__file__).parent
    names = [path for path in package.rglob("*.py") if re.search(r"opencv.python", path.read_text("utf-8"))]
    assert [path.name for path in names] == ["cli.py"]  # in the words about a missing library


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="/proc/cpuinfo of x86-64")
def test_the_targets_are_those_that_the_system_lists() -> None:
    flags = set(re.findall(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split())
    needs = {
        "avx512_vnni": {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni"},
        "avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"},
        "avx2": {"avx2"},
        "sse41": {"sse4_1"},
    }
    assert pyncnnq.targets() == [*(name for name, needed in needs.items() if needed <= flags), "scalar"]
