"""One signal to one command, and what must hold then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from faults.scenes import CHILD, Files, Scene, files_of

from pyncnnq.disk.transaction import reading

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

_PATIENCE = 120.0


class FaultError(Exception):
    """Something does not hold."""


@dataclass(frozen=True)
class Trial:
    """A signal to a command.

    Attributes:
        scene: the command.
        number: the signal.
        moment: seconds after its start, or (int) the step of its work on files.
    """

    scene: Scene
    number: signal.Signals
    moment: float | int

    def __str__(self) -> str:
        when = f"at step {self.moment}" if isinstance(self.moment, int) else f"after {self.moment:.3f} s"
        return f"{self.scene.name}: {self.number.name} {when}"


def attempt(trial: Trial, folder: Path) -> str:
    """Make a trial, and return what came of it in a word.

    Raises:
        FaultError: something does not hold.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        out, temporary = _prepare(place, trial.scene.older)
        try:
            return _attempt(trial, out, temporary)
        except FaultError as error:
            raise FaultError(f"{trial}: {error}") from None


def _attempt(trial: Trial, out: Path, temporary: Path) -> str:
    scene, number = trial.scene, trial.number
    status, said = _interrupt(trial, out, temporary)
    if number == signal.SIGKILL:
        _require(status in (0, -number), f"exit code {status}: {said}")
        with reading(*(out / name for name in scene.newer)):
            found = _visible(out)
    else:
        found = files_of(out)
        _require(not list(temporary.iterdir()), f"left in TMPDIR: {list(temporary.iterdir())}")
        _require("Traceback" not in said or _is_early(said), said)
    _require(found in (scene.older, scene.newer), f"a mixture: {_told(found, scene)}; exit code {status}: {said}")
    result = "old" if found == scene.older else "new"
    if number != signal.SIGKILL and status != 0:
        result = _check_words(status, number, said, result)
    _check_next_run(scene, out, temporary)
    return result if status != 0 else "done"


def _check_words(status: int, number: int, said: str, result: str) -> str:
    if status == -number or _is_early(said):  # before the first line of ours
        _require(result == "old", said)
        return "early"
    _require(status == 128 + number, f"exit code {status}: {said}")
    last = said.splitlines()[-1]
    _require(last.startswith("interrupted: "), said)
    _require((last == "interrupted: nothing was written") == (result == "old"), f"{result}, but: {last}")
    return result


def _check_next_run(scene: Scene, out: Path, temporary: Path) -> None:
    done = _start(["-m", "pyncnnq", *scene.words(out)], temporary)
    _, said = done.communicate(timeout=_PATIENCE)
    _require(done.returncode == 0, f"the next run: {said}")
    _require(files_of(out) == scene.newer, f"the next run: {_told(files_of(out), scene)}")
    _require(not list(temporary.iterdir()), f"left in TMPDIR by the next run: {list(temporary.iterdir())}")


def attempt_two(scene: Scene, folder: Path) -> str:
    """Let two commands write the same output at once; return whose files are there.

    Raises:
        FaultError: they are not those of one.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out, temporary = _prepare(Path(name), {})
        runs = [_start(["-m", "pyncnnq", *words(out)], temporary) for words in (scene.words, scene.other_words)]
        for run in runs:
            _, said = run.communicate(timeout=_PATIENCE)
            _require(run.returncode == 0, f"{scene.name}, two at once: {said}")
        found = files_of(out)
        _require(found in (scene.older, scene.newer), f"{scene.name}, two at once: {_told(found, scene)}")
        _require(not list(temporary.iterdir()), f"{scene.name}, two at once: left in TMPDIR")
        return "old" if found == scene.older else "new"


def _prepare(place: Path, files: Files) -> tuple[Path, Path]:
    out, temporary = place / "out", place / "temporary"
    out.mkdir()
    temporary.mkdir()
    for name, content in files.items():
        (out / name).write_bytes(content)
    return out, temporary


def _start(words: list[str], temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )


def _interrupt(trial: Trial, out: Path, temporary: Path) -> tuple[int, str]:
    """Run the command with its signal; return its exit code and what it says."""
    words = trial.scene.words(out)
    if isinstance(trial.moment, int):
        process = _start([str(CHILD), str(int(trial.number)), str(trial.moment), *words], temporary)
    else:
        process = _start(["-m", "pyncnnq", *words], temporary)
        try:
            process.wait(trial.moment)
        except subprocess.TimeoutExpired:
            process.send_signal(trial.number)
    _, said = process.communicate(timeout=_PATIENCE)
    deadline = time.monotonic() + 10
    while _session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    _require(not _session(process.pid), "processes are left")
    return process.returncode, said


def _session(number: int) -> list[int]:
    """The living processes of a session, on Linux."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def _visible(out: Path) -> dict[str, bytes]:
    """The files without those that the next writer sweeps."""
    return {name: content for name, content in files_of(out).items() if not name.startswith(".pyncnnq-")}


def _is_early(said: str) -> bool:
    """Whether Ctrl-C came before any code of ours but for what is needed to handle it."""
    frames = [line for line in said.splitlines() if line.startswith('  File "') and "/pyncnnq/" in line]
    first = ("__init__.py", "__main__.py", "cli.py", "interrupts.py")
    return said.rstrip().endswith("KeyboardInterrupt") and all(line.split('"')[1].endswith(first) for line in frames)


def _told(found: Files, scene: Scene) -> str:
    words = []
    for name in sorted({*found, *scene.newer}):
        content = found.get(name)
        kinds = [kind for kind in ("older", "newer") if content == getattr(scene, kind).get(name)]
        words.append(f"{name} {'/'.join(kinds) or ('missing' if content is None else 'other')}")
    return ", ".join(words)


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise FaultError(words)
