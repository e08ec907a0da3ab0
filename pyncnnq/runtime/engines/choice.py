"""Which engine runs jobs: a registry of the kinds, and what users give for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.extensions.registry import Registry
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.pool import WorkerPool


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks of an engine.

    Attributes:
        given: the address behind the engine's name, empty for none; or an object that the engine takes, such as an
            executor.
        workers: how many processes of this machine; None for one for each core that this process may use.
        most: how many samples there are, where that is known.
        send_images: whether the files of samples are sent to workers, which do not see them else.
        reproducible: whether only workers with a CPU of this machine's kind are taken.
    """

    given: Any = ""
    workers: int | None = None
    most: int | None = None
    send_images: bool = False
    reproducible: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """A kind of engine.

    Attributes:
        help: what it is, for help texts.
        start: starts one; PyncnnqError where it cannot.
        takes: whether an object that a user gives is for this kind, such as an executor.
    """

    help: str
    start: Callable[[Request], Engine]
    takes: Callable[[object], bool] = lambda _thing: False


def _start_processes(request: Request) -> Engine:
    if request.given:
        raise PyncnnqError(f"processes have no address, found {request.given!r}", option="engine")
    if request.send_images:
        raise PyncnnqError("is for workers of other machines: give `engine=` too", option="send_images")
    return WorkerPool(request.workers, most=request.most)


def _start_executor(request: Request) -> Engine:
    from pyncnnq.runtime.engines.executor import ExecutorEngine

    return ExecutorEngine.of(request)


def _start_dask(request: Request) -> Engine:
    from pyncnnq.runtime.engines.dask import DaskEngine

    return DaskEngine.of(request)


def _is_dask_client(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "distributed" and hasattr(thing, "scheduler_info")


DEFAULT = "processes"

ENGINES: Registry[EngineKind] = Registry(
    "engines",
    "engine",
    {
        DEFAULT: EngineKind(help="processes of this machine, the default", start=_start_processes),
        "dask": EngineKind(
            help="Dask: dask://HOST:PORT is a scheduler's address; without one, a cluster in this process to try it",
            start=_start_dask,
            takes=_is_dask_client,
        ),
        "executor": EngineKind(
            help="a concurrent.futures.Executor, in Python only",
            start=_start_executor,
            takes=lambda thing: isinstance(thing, Executor),
        ),
    },
    lambda thing: isinstance(thing, EngineKind),
)
"""All kinds by name; other packages add theirs by entry points of the group `pyncnnq.engines`."""

EngineLike = Any
"""An engine; its name, `NAME` or `NAME://ADDRESS`; an object that a kind takes, such as an executor or a Dask client;
or None for processes of this machine."""


def start_engine(
    engine: EngineLike = None,
    *,
    workers: int | None = None,
    most: int | None = None,
    send_images: bool = False,
    reproducible: bool = False,
) -> Engine:
    """Start an engine, a context manager that ends it, for several calls that take `engine=`.

    Args:
        engine: what runs the model: a name in `ENGINES`, with an address as `dask://HOST:PORT`; an executor; a Dask
            client; default: processes of this machine.
        workers, most, send_images, reproducible: see `Request`.

    Raises:
        PyncnnqError: an unknown engine, fewer than one worker, or it cannot be reached or started.
    """
    if workers is not None and workers < 1:
        raise PyncnnqError(f"expected at least 1, not {workers}", option="workers")
    name: str = DEFAULT
    given: Any = ""
    if isinstance(engine, str):
        name, _, given = engine.partition("://")
    elif engine is not None:
        kinds = [name for name, kind in ENGINES.items() if kind.takes(engine)]
        if not kinds:
            raise PyncnnqError(f"{type(engine).__name__} is no engine, executor or client", option="engine")
        name, given = kinds[0], engine
    if name not in ENGINES:
        raise PyncnnqError(f"unknown engine {name!r}; there are: {', '.join(ENGINES)}", option="engine")
    request = Request(given=given, workers=workers, most=most, send_images=send_images, reproducible=reproducible)
    return ENGINES[name].start(request)


@contextmanager
def engine_of(engine: EngineLike, workers: int | None, most: int) -> Iterator[Engine]:
    """Return the engine for so many samples: one that was started before, which goes on, or a new one, which ends with
    this context.

    Raises:
        PyncnnqError: see `start_engine`.
    """
    if isinstance(engine, Engine):
        engine.fit(most)
        yield engine
        return
    with start_engine(engine, workers=workers, most=most) as started:
        yield started
