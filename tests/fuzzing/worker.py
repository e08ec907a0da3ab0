"""A process that reads inputs of one target; tests/fuzzing/run.py starts it."""

from __future__ import annotations

import faulthandler
import importlib.util
import itertools
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from fuzzing.mutation import Mutator

HEADER = struct.Struct("<QQ")
_MOST_BYTES = 1 << 16  # where coverage leads: readers whose lines are counted take several times as long
MISSING = 3
"""The exit code where the target needs what is not installed."""


@dataclass(frozen=True)
class Work:
    """What a process is to do.

    Attributes:
        target: the file of the target's module.
        inputs, seconds: when it ends: after so many inputs, or after that time.
        seed: of what is made up.
        engine: `atheris`, `own`, or `given` for the target's hostile inputs and `files` alone.
        files: inputs to be read.
        state: the file that holds the number of inputs that were read, and the input that is.
        findings: the folder for what is found.
        folder: the folder for the readers' files.
        skip: how many inputs at the beginning are left out; atheris starts anew.
    """

    inputs: int | None
    seconds: float | None
    seed: int
    engine: str
    files: tuple[str, ...]
    target: str = ""
    state: str = ""
    findings: str = ""
    folder: str = ""
    skip: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))


class State:
    """What a process is at, in a file: where the process that started it looks when it hangs or dies."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)

    def enter(self, number: int, data: bytes) -> None:
        os.pwrite(self._file, HEADER.pack(number, len(data)) + data, 0)

    def read(self) -> tuple[int, bytes]:
        """Return how many inputs it has come to, and the last of them."""
        number, size = HEADER.unpack(os.pread(self._file, HEADER.size, 0).ljust(HEADER.size, b"\0"))
        return number, os.pread(self._file, size, HEADER.size)


def load_target(path: Path, *, instrument: bool = False) -> ModuleType:
    """Return the module of a target; its coverage is counted if it is instrumented."""
    spec = importlib.util.spec_from_file_location(f"target_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if instrument:
        import atheris

        context: Any = atheris.instrument_imports(include=["pyncnnq"], enable_loader_override=False)
    else:
        context = nullcontext()
    with context:
        spec.loader.exec_module(module)
    return module


def main(text: str) -> None:
    """Do the work that a text of `Work.text` tells of."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    work = Work(**json.loads(text))
    try:
        module = load_target(Path(work.target), instrument=work.engine == "atheris")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("pyncnnq", "tests"):
            raise
        print(f"needs {error.name}, which is not installed", file=sys.stderr)
        sys.exit(MISSING)
    from fuzzing.judge import Findings, Judge, limit_memory  # after what is instrumented

    seeds: list[bytes] = module.seeds()
    folder = Path(work.folder)
    for seed in seeds:  # what is imported and cached now is not counted
        try:
            module.read(seed, folder)
        except Exception:
            continue
    given: list[bytes] = []
    if work.engine == "given":
        given = [Path(file).read_bytes() for file in work.files] or [*seeds, *getattr(module, "hostile", list)()]
    limit_memory(2 << 30)
    state = State(Path(work.state))
    judge = Judge(module.read, folder, Findings(Path(work.findings), Path(work.target).stem))
    numbers = itertools.count(1)

    def one(data: bytes) -> None:
        state.enter(next(numbers), data)
        judge.judge(data)

    def all_of(inputs: Iterable[bytes]) -> None:
        end = time.monotonic() + work.seconds if work.seconds is not None else None
        for data in itertools.islice(inputs, work.skip, work.inputs):
            one(data)
            if end is not None and time.monotonic() > end:
                break

    if work.engine == "given":
        all_of(given)
    elif work.engine == "own":
        mutator = Mutator(seeds, Random(work.seed))
        all_of(mutator.make() for _ in itertools.count())
    else:
        import atheris

        corpus = folder / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        mutator = Mutator(seeds, Random(work.seed))

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            mutator.random.seed(seed)
            if mutator.random.random() < 0.5:
                return mutator.mutate(data)[:most]
            return atheris.Mutate(data, most)

        limits = [f"-runs={work.inputs}"] if work.inputs is not None else [f"-max_total_time={work.seconds:.0f}"]
        options = [
            f"-seed={work.seed + 1}",
            "-len_control=0",
            f"-max_len={_MOST_BYTES}",
            "-rss_limit_mb=0",
            "-timeout=1000000",
        ]
        options += [f"-handle_{name}=0" for name in ("segv", "bus", "abrt", "ill", "fpe", "int", "term", "usr1")]
        atheris.Setup(["fuzzing", *limits, *options, str(corpus)], one, custom_mutator=mutate)
        atheris.Fuzz()
