"""Worker processes, and what they are sent.

Light on imports: a command starts its workers first and then imports what it needs itself, while they start up.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import signals_held
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.protocol import Started
from pyncnnq.runtime.starting import CannotStartError, start_process, start_thread
from pyncnnq.runtime.turns import Answers, Ended, Turns

_ENVIRONMENT = {
    # One process for each core, one thread in each: NumPy and OpenMP must not start more.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Our own message says what OpenCV says of damaged files, and OpenCV adds the time of day.
    "OPENCV_LOG_LEVEL": "SILENT",
    # `inputs.preprocessing.MOST_DECODED`: OpenCV refuses more when it has read their number, before it decodes them.
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(2**28),
    # glibc would give the memory of an image back to the system and fault it in again for the next one.
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
}

_STREAM_ERRORS = (OSError, EOFError, ValueError, pickle.UnpicklingError)  # ValueError: `stop` has closed the streams

# Samples handed to a worker ahead of its answers, so that it never waits for the parent.
_AHEAD = 2


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        return os.cpu_count() or 1


class WorkerPool(Engine):
    """Processes of this machine that run `pyncnnq.runtime.worker`.

    A job that was not taken to its end, by whatever exception, leaves the processes in the middle of it: the pool is of
    no use then.

    Attributes:
        wanted: how many processes the user wants; there are fewer where `most` said so.
        printed: the lines that ncnn printed, and how often each; complete when the pool has ended.
    """

    def __init__(self, workers: int | None = None, *, most: int | None = None) -> None:
        """Start the processes.

        Args:
            workers: how many; default: one for each core that this process may use.
            most: no more than these.

        Raises:
            PyncnnqError: fewer than one, or the system has no room for them.
        """
        if workers is not None and workers < 1:
            raise PyncnnqError(f"expected at least 1, not {workers}", option="workers")
        self.printed: Counter[str] = Counter()
        self.wanted = workers or available_cores()
        self._workers: list[_Worker] = []
        self.resize(min(self.wanted, most or self.wanted))

    @property
    def size(self) -> int:
        """The number of processes."""
        return len(self._workers)

    def resize(self, workers: int) -> None:
        """Start or end processes until there are `workers`; between jobs only.

        Raises:
            PyncnnqError: the system has no room for them.
        """
        for worker in self._workers[workers:]:
            worker.stop()
        del self._workers[workers:]
        try:
            while self.size < workers:
                self._workers.append(_Worker())
        except CannotStartError as error:
            started = self.size
            self.end()
            raise PyncnnqError(f"worker process {started + 1} of {workers} {error.message}") from error

    def fit(self, most: int) -> None:
        """Start or end processes until there are as many as are wanted, but no more than samples."""
        self.resize(min(self.wanted, most))

    def here(self) -> WorkerPool:
        """Return the processes themselves."""
        return self

    def run(self, job: object, samples: int) -> Iterator[tuple[int | None, Any]]:
        """Give a job and the numbers below `samples` to the workers.

        When a worker ends over a sample, its result of the samples before is lost with it: a new one takes those again,
        and says its result of them before it goes on.  The sample over which it ended is tried once more, alone, when
        all others are done.

        Yields:
            A number and the answer to it; of several the last counts, a `Fatal` where workers ended over it.  With None
            a worker's result, of the samples that it has answered since its last one.

        Raises:
            PyncnnqError: a worker ended over no sample.
        """
        turns = Turns(job, samples, self._replace)
        yield from turns.together(list(self._workers))
        yield from turns.one_by_one(self._workers[0])

    @property
    def printed_so_far(self) -> Counter[str]:
        """What ncnn printed, while the processes may be printing more."""
        return sum((Counter(dict(worker.printed)) for worker in self._workers), Counter())

    def _replace(self, worker: _Worker) -> _Worker:
        """Start a process in the place of one that has ended, or is no longer wanted."""
        worker.stop()
        place = self._workers.index(worker)
        self._workers[place] = _Worker()
        return self._workers[place]

    def tell(self, messages: Sequence[object]) -> None:
        """Send each worker its message.

        Raises:
            PyncnnqError: a worker has ended.
        """
        for worker, message in zip(self._workers, messages, strict=True):
            worker.tell(message)

    def ask(self, message: object) -> list[Any]:
        """Send all workers a message, and return the answer of each.

        Raises:
            PyncnnqError: a worker has ended.
        """
        self.tell([message] * self.size)
        return [worker.hear() for worker in self._workers]

    def end(self) -> None:
        """End the processes, whatever they are doing."""
        with signals_held():
            for worker in self._workers:
                worker.stop()
                self.printed += worker.printed
            self._workers = []


class _Worker:
    """One worker process, and a thread that counts what it prints."""

    def __init__(self) -> None:
        # -P: a file in the user's folder must not be taken for a module.  Our own package comes from where this process
        # has it.
        paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        # What a system does for the end of a parent it does for the end of the parent's thread.
        parent = [str(os.getpid())] if threading.current_thread() is threading.main_thread() else []
        self._process = start_process(
            [sys.executable, "-P", "-m", "pyncnnq.runtime.worker", *parent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": paths},
        )
        self.printed: Counter[str] = Counter()
        try:
            self._listener = start_thread(self._listen)
        except CannotStartError:
            self._end_process()
            self._close_streams()
            raise

    def _listen(self) -> None:
        for line in cast(IO[bytes], self._process.stderr):
            if text := line.decode(errors="replace").strip():
                self.printed[text] += 1

    def run(self, job: object, numbers: deque[int], answers: Answers) -> None:
        """Feed the process until no number is left; put its answers on the queue, each with this worker and the number
        of its sample."""
        done: list[int] = []
        expected: deque[int | None] = deque([None])  # whose answers are to come: the job's own, samples', the result
        exhausted = False
        try:
            self._send(job)
            while expected:
                while not exhausted and len(expected) < _AHEAD:
                    index = _next(numbers)
                    exhausted = index is None
                    expected.append(index)
                    self._send(index)
                answer = self._receive()
                if not isinstance(answer, Started):
                    answers.put((self, expected[0], answer))
                if (index := expected.popleft()) is not None:
                    done.append(index)
        except _STREAM_ERRORS as error:
            blamed, *waiting = expected
            words = self._end(error)
            answers.put((self, blamed, Ended(words, done, [index for index in waiting if index is not None])))

    def tell(self, message: object) -> None:
        """Send a message; PyncnnqError when the process has ended."""
        try:
            self._send(message)
        except _STREAM_ERRORS as error:
            raise self._ended(error) from None

    def hear(self) -> Any:
        """Wait for an answer and return it; PyncnnqError when the process has ended."""
        try:
            return self._receive()
        except _STREAM_ERRORS as error:
            raise self._ended(error) from None

    def _ended(self, error: Exception) -> PyncnnqError:
        return PyncnnqError(f"{self._end(error)} while running the model")

    def _end(self, error: Exception) -> str:
        """Wait for the end of the process, and say how it came, after an error with its streams."""
        if not isinstance(error, OSError | EOFError):  # it goes on, and may wait for us to take the rest
            self._end_process()
            self._listener.join()
            return f"a worker process sent what cannot be read ({error})"
        self._process.wait()
        self._listener.join()
        words = "".join(f" (printed last: {line})" for line in list(self.printed)[-1:])
        return f"a worker process {_end(self._process.returncode)}{words}"

    def _send(self, message: object) -> None:
        stream = cast(IO[bytes], self._process.stdin)
        pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
        stream.flush()

    def _receive(self) -> Any:
        return pickle.load(cast(IO[bytes], self._process.stdout))

    def _end_process(self) -> None:
        self._process.kill()
        self._process.wait()

    def _close_streams(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # a message half sent when the process ended
                cast(IO[bytes], stream).close()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._end_process()
        self._listener.join()
        self._close_streams()


def _next(numbers: deque[int]) -> int | None:
    """Take the next number; other threads may be at it too."""
    try:
        return numbers.popleft()
    except IndexError:
        return None


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    hint = "; is memory short? give fewer `workers=`" if -status == signal.SIGKILL else ""
    return f"was ended by signal {-status} ({signal.strsignal(-status)}{hint})"
