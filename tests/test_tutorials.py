"""What the documentation marks as runnable, run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, REPOSITORY

DOCS = REPOSITORY / "docs"
BLOCK = re.compile(r"<!-- run -->\n```(console|python)\n(.*?)```", re.DOTALL)
PAGES = sorted(path for path in DOCS.rglob("*.md") if "\n<!-- run -->\n" in path.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("\n<!-- run -->\n"), "a mark without a block of console or python below it"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pyncnnq").write_text(f'#!/bin/sh\nexec {sys.executable} -m pyncnnq "$@"\n')
    (programs / "pyncnnq").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    folder = tmp_path / "reader"
    folder.mkdir()
    for language, code in blocks:
        command = ["bash", "-euc", code] if language == "console" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120 * PATIENCE, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_tutorials_are_among_them() -> None:
    assert {"first-model", "mixed-precision", "python", "gate"} <= {page.stem for page in PAGES}
