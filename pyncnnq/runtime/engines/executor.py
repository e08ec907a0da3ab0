"""Any `concurrent.futures.Executor` of the user's as an engine: processes, threads, mpi4py, loky, ..."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor

from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.engines.block import Block, Outcome
from pyncnnq.runtime.engines.choice import Request
from pyncnnq.runtime.engines.parcel import Parcel
from pyncnnq.runtime.engines.remote import run_block
from pyncnnq.runtime.engines.remote_engine import Future, RemoteEngine


class ExecutorEngine(RemoteEngine):
    """Submits blocks to an executor, which stays the user's.

    Nothing tells which worker takes a block, so contents go with a block where its worker says that it lacks some.
    """

    def __init__(self, executor: Executor, request: Request) -> None:
        """Take the executor."""
        super().__init__(request)
        self._executor = executor
        self._size: int = request.workers or getattr(executor, "_max_workers", None) or self.wanted

    @classmethod
    def of(cls, request: Request) -> ExecutorEngine:
        """Return the engine of an executor.

        Raises:
            PyncnnqError: the command line names one, which only Python can give.
        """
        if not isinstance(request.given, Executor):
            raise PyncnnqError("an executor is an object: give it in Python, `engine=executor`", option="engine")
        return cls(request.given, request)

    @property
    def size(self) -> int:
        """The number of workers, as far as the executor tells."""
        return self._size

    def _submit(self, block: Block, parcel: Parcel, *, whole: bool) -> Future:
        try:
            return self._executor.submit(run_block, block, parcel.contents if whole else {})
        except RuntimeError as error:  # it was shut down, or is broken
            raise PyncnnqError(f"the executor takes no work: {error}", option="engine") from error

    def _outcome(self, future: Future) -> Outcome:
        try:
            outcome: Outcome = future.result()
        except BrokenExecutor as error:
            raise PyncnnqError(f"the executor is broken, a worker of it ended: {error}", option="engine") from error
        except ImportError as error:
            raise PyncnnqError(f"a worker cannot import pyncnnq: {error}", option="engine") from error
        return outcome
