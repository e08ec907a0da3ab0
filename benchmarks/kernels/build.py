"""Compiles timer.cpp for this machine, into a folder that is thrown away with the process."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def load_timer() -> ModuleType:
    """Compile timer.cpp and return the module."""
    try:
        import pybind11
    except ImportError:
        sys.exit("the kernel benchmark needs pybind11: pip install pybind11")
    compiler = shutil.which(os.environ.get("CXX") or "c++") or sys.exit(
        "the kernel benchmark needs a C++ compiler: set CXX to one"
    )
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"kernel_timer{sysconfig.get_config_var('EXT_SUFFIX')}"
        includes = [
            f"-I{path}" for path in (pybind11.get_include(), sysconfig.get_path("include"), HERE.parents[1] / "csrc")
        ]
        flags = ["-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-fvisibility=hidden"]
        subprocess.run([compiler, *flags, *includes, str(HERE / "timer.cpp"), "-o", str(library)], check=True)
        spec = importlib.util.spec_from_file_location("kernel_timer", library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
