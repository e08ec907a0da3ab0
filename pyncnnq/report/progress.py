"""Show the progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyncnnq.runtime.progress import Update


@contextmanager
def show_progress(what: str, workers: Callable[[], int] | None = None) -> Iterator[Update]:
    """Show the progress of a pass on stderr; a Progress.

    Args:
        what: the pass.
        workers: returns how many workers there are, where that may change.
    """
    if sys.stderr.isatty():
        # Imported for a terminal only: it takes as long as calibrating several images.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=None, rate="")
            start = time.monotonic()
            yield lambda done, total: bar.update(task, completed=done, total=total, rate=_rate(done, start, workers))
    else:
        yield _lines(what, workers)


def _rate(done: int, start: float, workers: Callable[[], int] | None) -> str:
    rate = f"{done / max(time.monotonic() - start, 1e-9):.1f}/s"
    return rate if workers is None else f"{rate} by {workers()} workers"


def _lines(what: str, workers: Callable[[], int] | None) -> Update:
    """Return an Update that prints a line for each tenth."""
    start = time.monotonic()
    tenth = 0

    def update(done: int, total: int) -> None:
        nonlocal tenth
        if done * 10 // total > tenth:
            tenth = done * 10 // total
            left = (time.monotonic() - start) / done * (total - done)
            print(
                f"{what}: {done}/{total}, {_rate(done, start, workers)}, {left:.0f} s left", file=sys.stderr, flush=True
            )

    return update
