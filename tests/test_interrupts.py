"""Signals that end a command: an exit code, one line, and nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE

from pyncnnq.interrupts import ENDING, InterruptedBySignal, raise_on_signals, signals_held


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", ENDING)
def test_signals_wait_while_they_are_held(number: int) -> None:
    raise_on_signals()
    done: list[str] = []

    def work() -> None:
        with signals_held(), signals_held():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all")

    with pytest.raises(InterruptedBySignal) as caught:
        work()
    assert (caught.value.number, done) == (number, ["all"])
    assert signal.getsignal(number) is signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedBySignal):
        os.kill(os.getpid(), number)


@pytest.mark.usefixtures("handlers")
def test_signals_are_held_whichever_thread_they_come_to() -> None:
    raise_on_signals()
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    done: list[str] = []

    def work() -> None:
        with signals_held():
            signal.pthread_kill(other.ident or 0, signal.SIGTERM)
            time.sleep(0.2)  # it is not this thread that takes it
            done.append("all")

    try:
        with pytest.raises(InterruptedBySignal):
            work()
    finally:
        stop.set()
        other.join()
    assert done == ["all"]


@pytest.mark.usefixtures("handlers")
def test_a_second_signal_does_not_break_the_cleaning_up() -> None:
    raise_on_signals()
    cleaned: list[str] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                raise ValueError("of the cleaning up")
            except ValueError:
                os.kill(os.getpid(), signal.SIGINT)
                cleaned.append("all")

    with pytest.raises(InterruptedBySignal) as caught:
        work()
    assert (caught.value.number, cleaned) == (signal.SIGINT, ["all"])


@pytest.mark.usefixtures("handlers")
def test_a_signal_after_one_that_somebody_swallowed_counts() -> None:
    raise_on_signals()
    for _ in range(2):
        with pytest.raises(InterruptedBySignal):
            os.kill(os.getpid(), signal.SIGTERM)


def test_held_signals_of_python_itself() -> None:
    """In a program that uses the library: Ctrl-C is a KeyboardInterrupt, and SIGTERM ends it, both a little later."""
    code = """
import os, signal, sys
from pyncnnq.interrupts import signals_held
try:
    with signals_held():
        os.kill(os.getpid(), int(sys.argv[1]))
        print("held")
except KeyboardInterrupt:
    print("interrupted")
"""
    for number, status, printed in (
        (signal.SIGINT, 0, "held\ninterrupted\n"),
        (signal.SIGTERM, -signal.SIGTERM, "held\n"),
    ):
        command = [sys.executable, "-u", "-c", code, str(int(number))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (status, printed, "")


DURING_IMPORTS = """
import os, signal, sys
number, name = int(sys.argv.pop(1)), sys.argv.pop(1)
class Finder:
    def find_spec(self, module, path=None, target=None):
        if module == name:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
from pyncnnq.cli import main
main()
"""


@pytest.mark.parametrize(
    ("number", "module"),
    [
        *((number, "click") for number in ENDING),
        *(
            (signal.SIGINT, name)
            for name in ("pyncnnq._core", "pyncnnq.commands.inspect", "numpy", "pyncnnq.model.ops")
        ),
    ],
)
def test_during_imports(tmp_path: Path, number: signal.Signals, module: str) -> None:
    command = [sys.executable, "-c", DURING_IMPORTS, str(int(number)), module, "inspect", "none.param", "none.bin"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 128 + number
    assert (done.stdout, done.stderr) == ("", "interrupted: nothing was written\n")


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_is_ignored_at_the_start_stays_so(tmp_path: Path, number: signal.Signals) -> None:
    """As `nohup` arranges it."""
    code = DURING_IMPORTS.replace("class Finder", "signal.signal(number, signal.SIG_IGN)\nclass Finder")
    command = [sys.executable, "-c", code, str(int(number)), "click", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60 * PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pyncnnq ")
