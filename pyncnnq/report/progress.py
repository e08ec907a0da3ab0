"""Show the progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyncnnq.runtime.progress import Update


@contextmanager
def show_progress(what: str) -> Iterator[Update]:
    """Show the progress of a pass on stderr; a Progress."""
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
            yield lambda done, total: bar.update(task, completed=done, total=total, rate=_rate(done, start))
    else:
        yield _lines(what)


def _rate(done: int, start: float) -> str:
    return f"{done / max(time.monotonic() - start, 1e-9):.1f}/s"


def _lines(what: str) -> Update:
    """Return an Update that prints a line for each tenth."""
    start = time.monotonic()
    tenth = 0

    def update(done: int, total: int) -> None:
        nonlocal tenth
        if done * 10 // total > tenth:
            tenth = done * 10 // total
            left = (time.monotonic() - start) / done * (total - done)
            print(f"{what}: {done}/{total}, {_rate(done, start)}, {left:.0f} s left", file=sys.stderr, flush=True)

    return update
