"""The interface of all engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:  # not here, for the pool that starts before all else
    from pyncnnq.runtime.pool import WorkerPool
    from pyncnnq.runtime.protocol import Job


class Engine(ABC):
    """Runs jobs on samples, one job after the other; a context manager that ends it.

    Whatever an engine is and however many workers it has, the same job gives the same answers and the same result.

    Attributes:
        wanted: how many processes of this machine the user wants.
        printed: the lines that ncnn printed, and how often each; complete when the engine has ended.
    """

    wanted: int
    printed: Counter[str]

    @property
    @abstractmethod
    def size(self) -> int:
        """How many samples are worked on at a time, as of now."""

    @abstractmethod
    def fit(self, most: int) -> None:
        """Get ready for so many samples at most; between jobs only.

        Raises:
            PyncnnqError: the system has no room for the processes.
        """

    @abstractmethod
    def run(self, job: Job, samples: int) -> Iterator[tuple[int | None, Any]]:
        """Give a job and the numbers below `samples` to workers.

        Yields:
            A number and the answer to it; of several the last counts, a `Fatal` where workers ended over it.  With None
            a result of the job; all that are yielded hold each answered sample once.

        Raises:
            PyncnnqError: a worker ended over no sample, or there are none.
        """

    @abstractmethod
    def here(self) -> WorkerPool:
        """Return processes of this machine, for conversations: those keep state from one request to the next."""

    @property
    def told(self) -> str:
        """Which workers there are, in words; empty for those of this machine."""
        return ""

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the workers that have run so far."""
        return []

    @abstractmethod
    def end(self) -> None:
        """End what this engine has started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
