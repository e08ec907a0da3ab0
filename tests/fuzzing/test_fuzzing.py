"""Each target reads its own inputs and some made of them; and the judge sees what it is to see."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import PATIENCE
from fuzzing import judge
from fuzzing.run import find_targets, fuzz

PLANTED = """
import os, signal, time
from fuzzing import judge
from pyncnnq.errors import ModelError

judge.LEAST_SECONDS = 0.3
kept = []

def seeds():
    return [b"a fine one", b"ours"]

def hostile():
    return b"raise,raise here too,another raise,burn,sleep,eat,eat too much,die,recurse".split(b",")

def read(data, folder):
    assert folder.is_dir()
    if data == b"ours":
        raise ModelError("refused")
    if data.startswith(b"raise"):
        raise ValueError("planted")
    if data == b"another raise":
        raise KeyError("planted")
    if data == b"burn":
        end = time.process_time() + 0.6
        while time.process_time() < end:
            pass
    if data == b"sleep":
        time.sleep(60)
    if data == b"eat":
        b"x" * (80 << 20)
    if data == b"eat too much":
        b"x" * (8 << 30)
    if data == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"recurse":
        read(data, folder)
    if b"deep" in data:
        raise IndexError("found")
"""


def texts(findings: list[Path]) -> str:
    return "\n".join(path.read_text() for path in findings)


@pytest.mark.parametrize("name", find_targets())
def test_readers_take_what_is_damaged_and_hostile(name: str, tmp_path: Path) -> None:
    (result,) = fuzz({name: find_targets()[name]}, tmp_path, inputs=500, seed=18)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.inputs > 500
    assert not result.findings, texts(result.findings)


def test_the_judge_sees_each_planted_fault_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "LEAST_SECONDS", 0.3 * PATIENCE)
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED)
    (result,) = fuzz({"planted": planted}, tmp_path / "out", inputs=0)
    assert result.inputs == 11
    kinds = {path.read_text().split()[0]: path.with_suffix("").read_bytes() for path in result.findings}
    assert kinds.pop("ended") == b"die"
    expected = ["raise", "another raise", "burn", "sleep", "eat", "eat too much", "recurse"]
    names = ["ValueError", "KeyError", "slow", "hang", "memory", "MemoryError", "RecursionError"]
    assert kinds == {name: data.encode() for name, data in zip(names, expected, strict=True)}
    assert 'planted.py", line' in texts(result.findings)


def test_inputs_depend_on_the_seed_alone(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(
        "import hashlib, pathlib\ndigest = hashlib.sha256()\n"
        "def seeds(): return [b'a b', b'c=d']\n"
        "def read(data, folder):\n"
        "    digest.update(data)\n"
        "    (pathlib.Path(__file__).parent / 'digest').write_text(digest.hexdigest())\n"
    )

    def digest(name: str, seed: int) -> str:
        (result,) = fuzz({"planted": planted}, tmp_path / name, inputs=500, seed=seed)
        assert not result.findings
        return texts([tmp_path / "digest"])

    first, again, other = digest("a", 1), digest("b", 1), digest("c", 2)
    assert first == again != other


def test_a_target_that_needs_what_is_missing_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "lacking.py").write_text("import a_package_that_nobody_has\n")
    (result,) = fuzz({"lacking": tmp_path / "lacking.py"}, tmp_path / "out", inputs=10)
    assert result.skipped == "needs a_package_that_nobody_has, which is not installed"


def test_a_target_that_does_not_start_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import pyncnnq.no_such_module\n")
    (result,) = fuzz({"broken": tmp_path / "broken.py"}, tmp_path / "out", inputs=10)
    assert "no_such_module" in texts(result.findings)
