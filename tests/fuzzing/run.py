"""Fuzzing targets, each in processes of its own, which may die or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from fuzzing.judge import Findings, allowed_seconds, place_of
from fuzzing.worker import MISSING, State, Work

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = Path(__file__).parent / "targets"

# The checkout comes last: pyncnnq there may be without its core.
_START = "import sys; sys.path += sys.argv[1:3]; from fuzzing.worker import main; main(sys.argv[3])"
_PATIENCE = 5  # times the CPU time that an input may take
_LONGEST = 30  # times as long, for one that waits: that takes no CPU time
_MOST_RESTARTS = 20


@dataclass
class Result:
    """What became of a target, all its processes together.

    Attributes:
        target: its name.
        inputs: how many were read.
        seconds: how long its processes ran, starting them included.
        skipped: why it was not run.
        findings: the files that say what was found.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    skipped: str = ""
    findings: list[Path] = field(default_factory=list)


def find_targets(folder: Path = TARGETS) -> dict[str, Path]:
    """Return the files of all targets by name."""
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def default_engine() -> str:
    """Return `atheris`, which is led by coverage, where it is installed, and else `own`."""
    return "atheris" if find_spec("atheris") else "own"


def fuzz(
    targets: Mapping[str, Path],
    output: Path,
    *,
    inputs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    engine: str = "own",
    jobs: int = 1,
    files: Sequence[Path] = (),
    report: Callable[[Result], object] = bool,
) -> list[Result]:
    """Let each target read its seeds and hostile inputs, and then inputs made of the seeds.

    Args:
        targets: the files of the targets' modules by name.
        output: the folder for inputs that lead to something.
        inputs, seconds: where each target ends: after so many inputs that were made, or after so long.
        seed: of what is made.
        engine: `atheris` or `own`; `given` for no inputs but the target's own.
        jobs: targets at a time.
        files: inputs to read instead of all others.
        report: is given each result as soon as it is there.
    """
    output = output.resolve()  # processes run elsewhere
    output.mkdir(parents=True, exist_ok=True)
    stop: list[bool] = []
    with ThreadPoolExecutor(jobs) as pool:
        work = Work(
            inputs=inputs, seconds=seconds, seed=seed, engine=engine, files=tuple(str(file.resolve()) for file in files)
        )
        futures = [
            pool.submit(_run, name, replace(work, target=str(path)), output, stop) for name, path in targets.items()
        ]
        try:
            for future in as_completed(futures):
                report(future.result())
        except BaseException:
            stop.append(True)
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _run(name: str, work: Work, output: Path, stop: Sequence[bool]) -> Result:
    """Run the processes of a target: for its own inputs, then for those that are made; after one that died another."""
    result = Result(name)
    queue = [replace(work, engine="given", inputs=None, seconds=None)]
    if work.engine != "given" and not work.files:
        queue.append(work)
    findings = Findings(output, name)
    restarts = 0
    while queue and not stop:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
            errors = Path(folder, "stderr")
            work = replace(queue.pop(0), state=str(Path(folder, "state")), folder=folder, findings=str(output))
            code = _watch(work, errors, stop)
            number, data = State(Path(work.state)).read()
            text = errors.read_text(errors="replace")
        seconds = time.monotonic() - started
        result.inputs += number
        result.seconds += seconds
        if code == MISSING:
            result.skipped = text.strip().rpartition("\n")[2]
            break
        if code and not stop:
            kind = "hang" if code == -signal.SIGKILL else f"ended with {code}"
            findings.add(data, kind, place_of(text) if number else "at the start", text[-4000:])
            restarts += 1
            if number == 0 or restarts > _MOST_RESTARTS:
                break
            queue.insert(0, _rest(work, number, seconds))
    result.findings = sorted(output.glob(f"{name}-*.txt"))
    return result


def _rest(work: Work, number: int, seconds: float) -> Work:
    """Return what is left to do after an input that ended a process."""
    if work.seconds is not None:
        work = replace(work, seconds=max(1.0, work.seconds - seconds))
    if work.engine != "atheris":
        return replace(work, skip=work.skip + number)
    left = max(1, work.inputs - number) if work.inputs is not None else None
    return replace(work, seed=work.seed + 1_000_003, inputs=left)


def _watch(work: Work, errors: Path, stop: Sequence[bool]) -> int:
    """Run one process to its end; end it where it reads one input for too long."""
    command = [sys.executable, "-P", "-c", _START, str(REPOSITORY / "tests"), str(REPOSITORY), work.text()]
    state = State(Path(work.state))
    last, since, spent = 0, time.monotonic(), 0.0
    with errors.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=work.folder)
        try:
            while process.poll() is None and not stop:
                time.sleep(0.05)
                number, data = state.read()
                if number != last:
                    last, since, spent = number, time.monotonic(), _cpu_seconds(process.pid)
                    continue
                waited, worked = time.monotonic() - since, _cpu_seconds(process.pid) - spent
                allowed = allowed_seconds(len(data))
                if number and (worked > _PATIENCE * allowed or waited > _LONGEST * allowed):
                    process.send_signal(signal.SIGUSR1)  # where is it?
                    time.sleep(1)
                    break
        finally:
            process.kill()
            process.wait()
    return process.returncode


def _cpu_seconds(process: int) -> float:
    """Return how much CPU time a process has had, all its threads together: the machine does other things too."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_folder() -> str | None:
    """Return a folder that no disk is behind, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
