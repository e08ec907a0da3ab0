"""How the kernels are built: targets that stay apart."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import REPOSITORY
from programs import tool

CSRC = REPOSITORY / "csrc"
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off")

AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
X86_TARGETS = {
    "scalar": [],
    "sse41": ["-msse4.1"],
    "avx2": ["-mavx2"],
    "avx512": AVX512,
    "avx512_vnni": [*AVX512, "-mavx512vnni"],
}
ARM_TARGETS = {"scalar": [], "neon": [], "neon_dotprod": ["-march=armv8.2-a+dotprod"]}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def assert_exports_its_table_alone(compiler: str, nm: str, target: str, flags: Sequence[str], folder: Path) -> None:
    object_file = folder / f"{target}.o"
    run(
        compiler,
        *FLAGS,
        *flags,
        f"-I{CSRC}",
        "-fPIC",
        "-c",
        CSRC / "kernels" / "targets" / f"{target}.cpp",
        "-o",
        object_file,
    )
    defined = [line.split()[-2:] for line in run(nm, "--defined-only", object_file).splitlines()]
    # Upper case is global; u, v and w are unique and weak symbols, of which the linker keeps one for the whole program.
    shared = [(kind, name) for kind, name in defined if kind.isupper() or kind in "uvw"]
    assert [name for _, name in shared] == [f"pyncnnq_kernels_{target}"]
    assert shared[0][0] in "DR", shared
    # The only foreign functions are those that a compiler calls by itself for copying and clearing.
    undefined = {line.split()[-1] for line in run(nm, "--undefined-only", object_file).splitlines()}
    assert undefined <= {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def test_every_target_has_its_file() -> None:
    assert {path.stem for path in (CSRC / "kernels" / "targets").iterdir()} == {*X86_TARGETS, *ARM_TARGETS}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="an x86-64 compiler is needed")
@pytest.mark.parametrize("target", X86_TARGETS)
def test_x86_target_exports_its_table_alone(target: str, tmp_path: Path) -> None:
    assert_exports_its_table_alone(tool("c++", "g++", "clang++"), tool("nm"), target, X86_TARGETS[target], tmp_path)


@pytest.mark.parametrize("target", ARM_TARGETS)
def test_aarch64_target_exports_its_table_alone(target: str, tmp_path: Path) -> None:
    native = platform.machine() in ("aarch64", "arm64")
    compiler = tool("c++", "g++", "clang++") if native else tool("aarch64-linux-gnu-g++")
    nm = tool("nm") if native else tool("aarch64-linux-gnu-nm")
    assert_exports_its_table_alone(compiler, nm, target, ARM_TARGETS[target], tmp_path)
