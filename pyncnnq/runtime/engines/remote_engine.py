"""What engines have in common whose workers are not processes of this one: samples travel in blocks."""

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, Self

from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.runtime.engines.block import Block, Lacking, Outcome, Refused, sample_files
from pyncnnq.runtime.engines.choice import Request
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.engines.machine import this_machine
from pyncnnq.runtime.engines.parcel import Parcel, pack
from pyncnnq.runtime.pool import WorkerPool, available_cores
from pyncnnq.runtime.protocol import Job

_FIRST = 8
"""Samples of a block before it is known how long they take."""
_SECONDS = 4.0
"""Of a block: far longer than to load a model and to merge a result, and all that is lost with a worker."""
_AHEAD = 2
"""Blocks for each worker, so that it never waits for this process."""
_MOST_SENT = 2**26
"""Bytes of images in a block."""
_LOOK = 2.0
"""Seconds after which an engine looks whether its workers are still there."""
_ATTEMPTS = 5
"""How often a job is begun anew when what workers held of it is lost."""


class Future(Protocol):
    """What an executor and Dask both return for work to be done."""

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call a function when the work is done."""

    def result(self) -> Any:
        """Return what the work returned, or raise what it raised."""

    def cancel(self) -> object:
        """Give the work up, if it has not begun."""


class LostError(Exception):
    """Workers have ended with something that no other worker has: the job has to begin anew."""


class RemoteEngine(Engine):
    """Hands blocks of samples to workers that may be anywhere.

    Attributes:
        cpus: on how many samples which kind of CPU has worked.
    """

    def __init__(self, request: Request) -> None:
        """Take what is the same for all such engines."""
        self.wanted = request.workers or available_cores()
        self.printed: Counter[str] = Counter()
        self.cpus: Counter[str] = Counter()
        self._most: int | None = request.most
        self._send_images, self._same_cpu = request.send_images, request.reproducible
        self._here: WorkerPool | None = None

    def _start(self, job: Job, parcel: Parcel) -> None:
        """Get ready for the blocks of a job.

        Raises:
            PyncnnqError: there are no workers.
        """

    @abstractmethod
    def _submit(self, block: Block, parcel: Parcel, *, whole: bool) -> Future:
        """Let a worker take a block; `whole`: with all contents."""

    @abstractmethod
    def _outcome(self, future: Future) -> Outcome:
        """Return what came of a block; its result may stay where it is until the end of the job.

        Raises:
            PyncnnqError: nothing can come of it.
            LostError: see there.
        """

    def _results(self) -> Iterator[bytes]:
        """Yield the results that stayed where they were, merged and pickled.

        Raises:
            LostError: see there.
        """
        return iter(())

    def _drop(self, futures: Sequence[Future]) -> None:
        """Give up blocks that nobody waits for any more."""
        for future in futures:
            future.cancel()

    def _look(self) -> None:
        """Make sure that there are workers.

        Raises:
            PyncnnqError: there are none, and it has been so for long.
        """

    def run(self, job: Job, samples: int) -> Iterator[tuple[int | None, Any]]:
        """See `Engine.run`; when what workers held is lost, all of the job is done again."""
        parcel = pack(job)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start(job, parcel)
                yield from self._blocks(job, samples, parcel)
                for result in self._results():
                    yield None, pickle.loads(result)
                return
            except LostError as error:
                if attempt == _ATTEMPTS:
                    raise PyncnnqError(f"workers were lost {attempt} times with what they had done: {error}") from None

    def _blocks(self, job: Job, samples: int, parcel: Parcel) -> Iterator[tuple[int | None, Any]]:
        waiting: dict[Future, tuple[Block, range]] = {}
        finished: SimpleQueue[Future] = SimpleQueue()
        place, length = 0, _FIRST

        def submit(block: Block, numbers: range, *, whole: bool = False) -> None:
            future = self._submit(block, parcel, whole=whole)
            waiting[future] = block, numbers
            future.add_done_callback(finished.put)

        try:
            while place < samples or waiting:
                while place < samples and len(waiting) < _AHEAD * max(1, self.size):
                    most = min(length, -(-(samples - place) // (_AHEAD * max(1, self.size))))
                    numbers = range(place, place + most)
                    block, taken = self._block(job, numbers, parcel)
                    place += taken
                    submit(block, numbers[:taken])
                try:
                    future = finished.get(timeout=_LOOK)
                except Empty:
                    self._look()
                    continue
                outcome = self._outcome(future)
                block, numbers = waiting.pop(future)
                if isinstance(outcome, Refused):
                    raise PyncnnqError(outcome.reason)
                if isinstance(outcome, Lacking):
                    submit(block, numbers, whole=True)
                    continue
                answers = pickle.loads(outcome.answers)
                self.printed += outcome.printed
                self.cpus[outcome.worker.cpu] += len(answers)
                length = max(1, int(len(numbers) * min(4.0, _SECONDS / max(outcome.seconds, 1e-3))))
                for number, answer in answers:
                    yield numbers[number], answer
                if outcome.result is not None:
                    yield None, pickle.loads(outcome.result)
        except BaseException:
            self._drop(list(waiting))
            raise

    def _block(self, job: Job, numbers: range, parcel: Parcel) -> tuple[Block, int]:
        """Return a block of these samples, or of the first of them, and of how many."""
        samples = [sample_files(job, number) for number in numbers]
        sent: dict[Path, bytes] | None = None
        if self._send_images:
            sent, size = {}, 0
            for taken, sample in enumerate(samples):
                if taken and size > _MOST_SENT:
                    samples = samples[:taken]
                    break
                for file in sample:
                    path = ArrayPath.parse(file.absolute).file
                    if file.size is not None and path not in sent:
                        sent[path] = path.read_bytes()
                        size += len(sent[path])
        block = Block(
            job=parcel.job,
            needs=list(parcel.contents),
            samples=samples,
            sent=sent,
            client=this_machine(),
            same_cpu=self._same_cpu,
        )
        return block, len(samples)

    @property
    def told(self) -> str:
        """How many workers there are."""
        return f"{self.size} worker{'s' * (self.size != 1)}"

    @property
    def warnings(self) -> list[str]:
        """That there were several kinds of CPU, if so."""
        kinds = Counter(self.cpus)
        if self._here is not None:
            kinds[this_machine().cpu] += 0
        if len(kinds) < 2:
            return []
        shares = "; ".join(f"{count} samples on {cpu}" for cpu, count in sorted(kinds.items()))
        return [
            f"ncnn ran on {len(kinds)} kinds of CPU ({shares}): its last bits differ between them, so that another run "
            "may give slightly other numbers (`reproducible=True`)"
        ]

    def fit(self, most: int) -> None:
        """Note it for processes of this machine; workers are as many as they are."""
        self._most = most
        if self._here is not None:
            self._here.fit(most)

    def here(self) -> WorkerPool:
        """Return processes of this machine, which are started when they are first needed."""
        if self._here is None:
            self._here = WorkerPool(self.wanted, most=self._most)
        return self._here

    def end(self) -> None:
        """End the processes of this machine."""
        if self._here is not None:
            self._here.end()
            self.printed += self._here.printed
            self._here = None
