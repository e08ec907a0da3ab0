"""Which worker takes which samples of a job, and which takes them again after one that ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.protocol import Fatal, Unreadable
from pyncnnq.runtime.starting import start_thread

_MANY = 8
"""Where workers end over so many samples for each one that gets through, it is not the samples."""


@dataclass(frozen=True)
class Ended:
    """What becomes of a turn whose worker ends.

    Attributes:
        end: how it ended, in words.
        done: the samples that it has answered; what they add to its result is lost.
        waiting: those that it has been handed, but for the one over which it ended.
    """

    end: str
    done: Sequence[int]
    waiting: Sequence[int]


Answers = SimpleQueue[tuple[Any, int | None, Any]]
"""Of workers: which it is, the number of a sample or None for all, and the answer; the last of a turn is that to None,
or an `Ended` with the number of the sample over which the worker ended (None: it was none)."""


class Taker(Protocol):
    """A worker."""

    def run(self, job: object, numbers: deque[int], answers: Answers) -> None:
        """Take samples, as long as there are any, from the numbers that are left; put the answers on the queue."""


class Turns:
    """One job: its samples, those over which a worker ended, and what each worker is being handed."""

    def __init__(self, job: object, samples: int, replace: Callable[[Any], Taker]) -> None:
        """Take the job, the number of its samples, and what puts a new worker in the place of another."""
        self._job, self._replace = job, replace
        self._left = deque(range(samples))
        self._handed: dict[Taker, deque[int]] = {}
        self._answers: Answers = SimpleQueue()
        self._answered: set[int] = set()
        self._suspects: dict[int, str] = {}

    def together(self, workers: Sequence[Taker]) -> Iterator[tuple[int | None, Any]]:
        """Let workers take all samples, and yield their answers: all but those to samples over which one ended."""
        for worker in workers:
            self._begin(worker, self._left)
        while self._handed:
            worker, index, answer = self._answers.get()
            if not isinstance(answer, Ended):
                yield index, answer
                self._note(index, answer)
                if index is None:
                    del self._handed[worker]
                    self._go_on(worker)
                continue
            handed = self._handed.pop(worker)
            untouched = [*answer.waiting, *(handed if handed is not self._left else ())]
            self._left.extendleft(reversed(untouched))  # next: that these work tells that it is not the model
            self._suspect(index, answer.end)
            if len(self._suspects) >= _MANY * (1 + len(self._answered)):
                yield index, self._fatal(answer.end)
            # By themselves, so that their result is safe when a worker ends over another sample.
            self._go_on(self._replace(worker), deque(answer.done))

    def one_by_one(self, worker: Taker) -> Iterator[tuple[int | None, Any]]:
        """Let a worker take the samples over which one ended, each by itself, and yield its answers."""
        if self._suspects:
            worker = self._replace(worker)
        for index in sorted(self._suspects):
            self._begin(worker, deque([index]))
            number: int | None = index
            while number is not None:
                worker, number, answer = self._answers.get()
                if isinstance(answer, Ended):
                    self._suspect(number, answer.end)
                    yield index, self._fatal(answer.end) if not self._answered else Fatal(answer.end)
                    worker, number = self._replace(worker), None
                else:
                    yield number, answer
                    self._note(number, answer)

    def _begin(self, worker: Taker, numbers: deque[int]) -> None:
        self._handed[worker] = numbers
        start_thread(worker.run, self._job, numbers, self._answers)

    def _go_on(self, worker: Taker, numbers: deque[int] | None = None) -> None:
        """Let a worker take these samples, or what is left, if there are any."""
        if numbers or self._left:
            self._begin(worker, numbers or self._left)

    def _note(self, index: int | None, answer: object) -> None:
        if index is not None and not isinstance(answer, Unreadable):
            self._answered.add(index)

    def _suspect(self, index: int | None, end: str) -> None:
        if index is None:
            raise PyncnnqError(f"{end} while running the model")
        self._suspects[index] = end
        self._answered.discard(index)

    def _fatal(self, end: str) -> Fatal:
        """Return the answer to a sample over which a worker ended, as it did over too many others."""
        return Fatal(end, others=len(self._suspects) - 1)
