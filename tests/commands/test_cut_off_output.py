"""Whoever reads our output may stop: that is no failed gate, and nothing to talk about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import OPTIONS

import pyncnnq
from pyncnnq.demo import DEMO

INSPECT = f"inspect {DEMO.param} {DEMO.bin}"
EVALUATE = f"evaluate {DEMO.param} {DEMO.bin} int8.param int8.bin {DEMO.images} --preset none --samples 2 --workers 1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    table = pyncnnq.calibrate(model, sorted(DEMO.images.iterdir())[:2], options=OPTIONS, workers=1).table
    pyncnnq.quantize(model, table).save(folder / "int8.param", folder / "int8.bin")
    return folder


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        (INSPECT, ""),
        (INSPECT, "1"),
        (f"{INSPECT} --json", ""),
        ("--help", ""),
        ("quantize --help", "1"),
        (f"{EVALUATE} --fail-under-sqnr 1", ""),
    ],
)
def test_a_reader_that_stops_ends_a_command_quietly(place: Path, words: str, unbuffered: str) -> None:
    """With the exit code of a program that a SIGPIPE ends, such as git's; `head` stops after its lines like this."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pyncnnq", *words.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert done.returncode == 128 + signal.SIGPIPE
    assert [line for line in done.stderr.splitlines() if not line.startswith(("compare: ", "evaluate: "))] == []


def test_a_closed_standard_error_changes_nothing(place: Path) -> None:
    for close in ("2>&-", "2> /dev/full"):
        command = f"{sys.executable} -m pyncnnq {EVALUATE} {close}"
        done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, text=True, cwd=place)
        assert done.returncode == 0
        assert "dB" in done.stdout


def test_results_were_written_before(place: Path) -> None:
    command = (
        f"{sys.executable} -m pyncnnq calibrate {DEMO.param} {DEMO.bin} {DEMO.images} --preset none --samples 2 "
        "-o whole.table | true; exit ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=place)
    assert done.returncode in (0, 128 + signal.SIGPIPE)
    assert len(pyncnnq.Table.read(place / "whole.table").text()) > 100
