"""A worker's side of an engine, whatever brought the block there.

A worker does not run ncnn itself: it starts processes of its own, as `pyncnnq.runtime.pool` does on one machine, and so
is not stopped by ncnn's computing, and not ended by a sample over which ncnn crashes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.runtime.engines.block import Block, Done, Lacking, Outcome, Refused, SampleFile
from pyncnnq.runtime.engines.machine import this_machine
from pyncnnq.runtime.engines.parcel import unpack
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Failed, Fatal, Job, Misfit, Unreadable

_MOST_KEPT = 2**30
"""Bytes of files that a worker keeps for later jobs, the last that it used."""


class _Store:
    """Contents by digest, in files of a temporary folder: what came once need not come again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._sizes: dict[str, int] = {}
        self._used: Counter[str] = Counter()

    @contextmanager
    def holding(self, needs: tuple[str, ...], contents: Mapping[str, bytes]) -> Iterator[bool]:
        """Take contents, and keep what is needed in this context; whether all of it is there."""
        with self._lock:
            if self._folder is None:
                self._folder = self._stack.enter_context(temporary_folder())
            for digest in needs:
                if digest not in self._sizes and digest in contents:
                    (self._folder / digest).mkdir()
                    (self._folder / digest / "content").write_bytes(contents[digest])
                    self._sizes[digest] = len(contents[digest])
                if digest in self._sizes:
                    self._sizes[digest] = self._sizes.pop(digest)  # the last one used
            self._used.update(needs)
            self._shrink()
        try:
            yield all(digest in self._sizes for digest in needs)
        finally:
            with self._lock:
                self._used.subtract(needs)

    def read(self, digest: str) -> bytes:
        """Return a content that is held."""
        return self.place(digest, "content").read_bytes()

    def place(self, digest: str, name: str) -> Path:
        """Return a file with a content that is held, under a name."""
        assert self._folder is not None
        path = self._folder / digest / Path(name).name
        with self._lock:
            if not path.exists():
                path.hardlink_to(self._folder / digest / "content")
        return path

    def _shrink(self) -> None:
        for digest in list(self._sizes):
            if sum(self._sizes.values()) <= _MOST_KEPT:
                return
            if not self._used[digest]:
                self._remove(digest)

    def _remove(self, digest: str) -> None:
        assert self._folder is not None
        folder = self._folder / digest
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        del self._sizes[digest]

    def clear(self) -> None:
        """Remove everything that no block needs."""
        with self._lock:
            for digest in list(self._sizes):
                if not self._used[digest]:
                    self._remove(digest)


_store = _Store()
_of_parents: list[_Store] = []
_idle: list[WorkerPool] = []
"""Processes that wait for the next block."""
_printed: dict[int, Counter[str]] = {}
"""What was told of the lines that each of them printed, by its id."""


def _forget() -> None:
    """Leave to the parent what is the parent's: its files, which go with its store, and its processes."""
    global _store
    _of_parents.append(_store)
    _store = _Store()
    _idle.clear()
    _printed.clear()


os.register_at_fork(after_in_child=_forget)


def run_block(block: Block, contents: Mapping[str, bytes]) -> Outcome:
    """Run a job on a block of samples, in a process beside this one.

    Args:
        block: the samples.
        contents: what the worker may not have yet, by digest.
    """
    machine = this_machine()
    if others := machine.other_versions(block.client):
        return Refused(f"worker on {machine.host} has other versions: {others}; install the same on all machines")
    if block.same_cpu and machine.cpu != block.client.cpu:
        return Refused(
            f"worker on {machine.host} has another kind of CPU ({machine.cpu}) than this machine "
            f"({block.client.cpu}), and would compute other last bits (`reproducible=True`)"
        )
    start = time.monotonic()
    with _store.holding(tuple(block.needs), contents) as complete, _samples(block) as samples:
        if not complete:
            return Lacking()
        if isinstance(samples, Refused):
            return samples
        names: dict[str, str] = {str(path): str(file.path) for path, file in samples}

        def place(digest: str, name: str) -> Path:
            path = _store.place(digest, name)
            names[str(path)] = name
            return path

        try:
            job = unpack(_store.read(block.job), place)
        except (ImportError, AttributeError) as error:
            return Refused(f"worker on {machine.host} cannot import what the job is made of: {error}")
        width = len(block.samples[0])
        paths = [path for path, _ in samples]
        rows = [tuple(paths[first : first + width]) for first in range(0, len(paths), width)]
        try:
            answers, result, printed = _run(replace(job, samples=rows), len(rows))
        except PyncnnqError as error:
            return Refused(f"worker on {machine.host}: {error}")
    return Done(
        answers=pickle.dumps([(number, _renamed(answer, names)) for number, answer in answers]),
        result=None if result is None else pickle.dumps(result),
        has_result=result is not None,
        printed=printed,
        seconds=time.monotonic() - start,
        worker=machine,
    )


@contextmanager
def _samples(block: Block) -> Iterator[list[tuple[Path, SampleFile]] | Refused]:
    """Return where each file of the samples lies here, one after the other; in this context."""
    files = [file for sample in block.samples for file in sample]
    if block.sent is None:
        unseen = [file for file in files if file.size is not None and not _sees(file)]
        if unseen:
            host = this_machine().host
            yield Refused(
                f"{unseen[0].absolute}: worker on {host} cannot see this file, or sees another one, and {len(unseen)} "
                f"of {len(files)} are so; share the folder under the same name, or send them (`send_images=True`)"
            )
        else:
            yield [(file.path if file.size is None else file.absolute, file) for file in files]
        return
    with temporary_folder() as folder:
        placed = []
        for file in files:
            array = ArrayPath.parse(file.absolute)
            if (content := block.sent.get(array.file)) is None:
                placed.append((file.path, file))
                continue
            own = folder / hashlib.sha256(bytes(array.file)).hexdigest() / array.file.name
            if not own.exists():
                own.parent.mkdir()
                own.write_bytes(content)
            placed.append((replace(array, file=own).path, file))
        yield placed


def _sees(file: SampleFile) -> bool:
    try:
        return ArrayPath.parse(file.absolute).file.stat().st_size == file.size
    except OSError:
        return False


def _run(job: Job, count: int) -> tuple[list[tuple[int, Any]], Any, Counter[str]]:
    """Return the answers to samples, the result, and what was printed; PyncnnqError if a process ended over none."""
    pool = _idle.pop() if _idle else WorkerPool(1)
    before = _printed.pop(id(pool), Counter())
    answers: list[tuple[int, Any]] = []
    result, complete = None, False
    try:
        for number, answer in pool.run(job, count):
            if number is not None or isinstance(answer, Failed):
                answers.append((number or 0, answer))
            else:
                result = answer if result is None else job.merged(result, answer)
            if isinstance(answer, Failed):
                return answers, None, _end(pool) - before
        complete = True
    finally:
        if not complete:
            pool.end()
    _printed[id(pool)] = pool.printed_so_far
    _idle.append(pool)
    return answers, result, _printed[id(pool)] - before


def _end(pool: WorkerPool) -> Counter[str]:
    pool.end()
    return pool.printed


def _renamed(answer: Any, names: Mapping[str, str]) -> Any:
    """Return an answer that names files as the user does."""
    for kind, field in ((Failed, "reason"), (Misfit, "reason"), (Unreadable, "reason"), (Fatal, "end")):
        if isinstance(answer, kind):
            text = getattr(answer, field)
            for own in sorted(names, key=len, reverse=True):
                text = text.replace(own, names[own])
            return replace(answer, **{field: text})
    return answer


def told_of(outcome: Outcome) -> Outcome:
    """Return an outcome without its result, which stays where it is."""
    return replace(outcome, result=None) if isinstance(outcome, Done) else outcome


def result_of(done: Done) -> bytes | None:
    """Return the result alone, pickled."""
    return done.result


def merge_results(merged: Callable[[Any, Any], Any], first: bytes, second: bytes) -> bytes:
    """Return two pickled results together."""
    return pickle.dumps(merged(pickle.loads(first), pickle.loads(second)))


def end_idle() -> Counter[str]:
    """End the processes that wait, remove files, and return what was printed and not told yet."""
    printed: Counter[str] = Counter()
    while _idle:
        pool = _idle.pop()
        before = _printed.pop(id(pool), Counter())
        printed += _end(pool) - before
    _store.clear()
    return printed
