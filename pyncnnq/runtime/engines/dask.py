"""A Dask cluster as an engine.

Each block is a task.  Its result stays on the worker, as part of a tree of merges that workers do among themselves;
only answers come here, and the last result.  Dask gives a task to another worker when one ends, and does again what was
lost with it.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.engines.block import Block, Done, Outcome
from pyncnnq.runtime.engines.choice import Request
from pyncnnq.runtime.engines.machine import this_machine
from pyncnnq.runtime.engines.parcel import Parcel
from pyncnnq.runtime.engines.remote import end_idle, merge_results, result_of, run_block, told_of
from pyncnnq.runtime.engines.remote_engine import Future, LostError, RemoteEngine
from pyncnnq.runtime.pool import available_cores
from pyncnnq.runtime.protocol import Job

try:
    import distributed
except ImportError as error:
    raise PyncnnqError(f"Dask is not there ({error}): pip install 'pyncnnq[dask]'", option="engine") from None

_CONNECT = 10.0
"""Seconds to reach a scheduler."""
_NO_WORKERS = 30.0
"""Seconds to wait for a worker, at first and when the last one is gone."""
_END = 5.0
"""Seconds for workers to end what this engine has started there."""
_KEPT = 8
"""Jobs whose contents stay on the workers, as the next job may need them again."""


class DaskEngine(RemoteEngine):
    """Submits blocks to the workers of a Dask scheduler."""

    def __init__(self, client: Any, request: Request, *, owns: bool) -> None:
        """Take a client.

        Args:
            client: a `distributed.Client`.
            request: what the user asks.
            owns: whether the client, and a cluster that is the client's own, end with this engine.
        """
        super().__init__(request)
        self._client, self._owns = client, owns
        self._scattered: dict[str, Any] = {}
        self._jobs: list[frozenset[str]] = []
        self._tree: dict[int, Any] = {}
        self._parts: dict[Future, Any] = {}
        self._threads: dict[str, int] = {}
        self._cpu_of: dict[str, str] = {}
        self._has_dashboard = False
        self._looked = 0.0
        self._seen = time.monotonic()
        self._merged: Callable[[Any, Any], Any] = Job.merged
        self._address: str = client.scheduler.address

    @classmethod
    def of(cls, request: Request) -> DaskEngine:
        """Return the engine of a client, of a scheduler's address, or of a cluster in this process.

        Raises:
            PyncnnqError: the scheduler cannot be reached.
        """
        if not isinstance(request.given, str):
            return cls(request.given, request, owns=False)
        for logger in ("distributed", "distributed.client"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)  # our errors say it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions: workers compare those that matter
            if request.given:
                return cls(_connected(request.given), request, owns=True)
            count = request.workers or available_cores()
            cluster = distributed.LocalCluster(
                n_workers=1, threads_per_worker=count, processes=False, dashboard_address=":0"
            )
            return cls(distributed.Client(cluster, set_as_default=False), request, owns=True)

    @property
    def size(self) -> int:
        """The number of threads of the workers that may take blocks, one at a time in each."""
        if time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            info = self._asked(self._client.scheduler_info)
            self._has_dashboard = "dashboard" in info["services"]
            self._threads = {address: worker["nthreads"] for address, worker in info["workers"].items()}
            if self._same_cpu:
                self._ask_cpus()
            if self._allowed():
                self._seen = self._looked
        return sum(self._threads[address] for address in self._allowed())

    def _allowed(self) -> list[str]:
        """Return the addresses of the workers that may take blocks."""
        if not self._same_cpu:
            return list(self._threads)
        return [address for address in self._threads if self._cpu_of.get(address) == this_machine().cpu]

    @property
    def told(self) -> str:
        """How many workers there are, and the scheduler's dashboard if it has one."""
        workers = super().told
        shown = f", dashboard {self._client.dashboard_link}" if self._has_dashboard else ""
        return f"{workers} of {self._address}{shown}"

    def _start(self, job: Job, parcel: Parcel) -> None:
        self._tree, self._parts = {}, {}
        self._merged = type(job).merged
        self._wait_for_workers()
        self._jobs = [*self._jobs, frozenset(parcel.contents)][-_KEPT:]
        wanted = frozenset().union(*self._jobs)
        self._scattered = {digest: kept for digest, kept in self._scattered.items() if digest in wanted}
        new = [digest for digest in parcel.contents if digest not in self._scattered]
        if new:  # under keys of their own: one that is lost must not be taken for the one that comes in its place
            contents = [parcel.contents[digest] for digest in new]
            futures = self._asked(lambda: self._client.scatter(contents, broadcast=True, hash=False))
            self._scattered |= zip(new, futures, strict=True)

    def _wait_for_workers(self) -> None:
        self._seen = time.monotonic()
        while True:
            self._looked = 0.0
            if self.size:
                return
            self._look()
            time.sleep(0.1)

    def _ask_cpus(self) -> None:
        """Find out which kind of CPU new workers have."""
        new = [address for address in self._threads if address not in self._cpu_of]
        machines = self._everywhere(this_machine, new, _CONNECT)
        self._cpu_of |= {address: machines[address].cpu if address in machines else "" for address in new}

    def _everywhere(self, function: Callable[[], Any], workers: Sequence[str], seconds: float) -> dict[str, Any]:
        """Return what a function returns on each of some workers; those that hang or have ended are left out."""
        end, returned = time.monotonic() + seconds, {}
        asked = {worker: self._client.submit(function, workers=[worker], pure=False, priority=1) for worker in workers}
        for worker, future in asked.items():
            with suppress(Exception):
                returned[worker] = future.result(timeout=max(0.0, end - time.monotonic()))
        return returned

    def _look(self) -> None:
        if self.size or time.monotonic() - self._seen <= _NO_WORKERS:
            return
        if self._threads:
            kinds = ", ".join(sorted({self._cpu_of.get(address) or "unknown" for address in self._threads}))
            raise PyncnnqError(
                f"none of {len(self._threads)} workers has a CPU of this machine's kind ({this_machine().cpu}), found "
                f"{kinds}; run this on a machine like them, or without `reproducible=True`"
            )
        raise PyncnnqError(f"the Dask scheduler at {self._address} has no workers (dask worker {self._address})")

    def _submit(self, block: Block, parcel: Parcel, *, whole: bool) -> Future:  # noqa: ARG002
        contents = {digest: self._scattered[digest] for digest in block.needs}
        allowed = self._allowed() if self._same_cpu else None
        part = self._client.submit(run_block, block, contents, pure=False, workers=allowed)
        told: Future = self._client.submit(told_of, part, pure=False)
        self._parts[told] = part
        return told

    def _outcome(self, future: Future) -> Outcome:
        part = self._parts.pop(future)
        outcome: Outcome = self._asked(future.result)
        if isinstance(outcome, Done) and outcome.has_result:
            self._grow(self._client.submit(result_of, part, pure=False))
        return outcome

    def _grow(self, result: Any) -> None:
        """Put the result of a block into the tree: at each level one waits for another of as many blocks."""
        level = 0
        while level in self._tree:
            result = self._client.submit(merge_results, self._merged, self._tree.pop(level), result, pure=False)
            level += 1
        self._tree[level] = result

    def _results(self) -> Iterator[bytes]:
        results = [self._tree.pop(level) for level in sorted(self._tree)]
        while len(results) > 1:
            first, second, *others = results
            results = [self._client.submit(merge_results, self._merged, first, second, pure=False), *others]
        for result in results:
            yield self._asked(result.result)

    def _drop(self, futures: Sequence[Future]) -> None:
        super()._drop(futures)
        self._tree, self._parts = {}, {}

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Return what Dask answers.

        Raises:
            LostError: it has lost what the answer needs.
            PyncnnqError: the scheduler is gone, or a worker cannot answer.
        """
        try:
            return ask()
        except CancelledError as error:
            if self._client.status != "running":
                raise self._gone() from error
            self._scattered = {}
            raise LostError(str(error)) from error
        except OSError as error:  # closed connections and times that are up are of it
            raise self._gone() from error
        except distributed.KilledWorker as error:
            raise PyncnnqError(f"Dask gives a block of samples up: {error}") from error
        except (ImportError, RuntimeError) as error:
            raise PyncnnqError(f"a worker cannot import pyncnnq, or takes no work: {error}", option="engine") from error

    def _gone(self) -> PyncnnqError:
        return PyncnnqError(
            f"the Dask scheduler at {self._address} is gone; with `resume=` the same call goes on from what was kept"
        )

    def end(self) -> None:
        """End what this engine has started, here and on the workers."""
        self._drop([])
        self._scattered = {}
        if self._client.status == "running":
            for printed in self._everywhere(end_idle, list(self._threads), _END).values():
                self.printed += printed
        if self._owns:
            cluster = self._client.cluster
            with suppress(Exception):
                self._client.close(timeout=_END)
            if cluster is not None:
                cluster.close(timeout=_END)
        super().end()


def _connected(address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="pyncnnq")
    except (OSError, ValueError) as error:
        raise PyncnnqError(
            f"no Dask scheduler answers at {address}: {error}; is it running there (dask scheduler), and is "
            "the port right?",
            option="engine",
        ) from None
