"""Signals that end a command: they wait while files are half replaced, and leave by an exception."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that is closed."""


class InterruptedBySignal(BaseException):
    """A signal asks this process to end.

    No KeyboardInterrupt, which others catch for ends of their own.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_on_signals() -> None:
    """Let signals that end a process raise `InterruptedBySignal` in the main thread; those that are ignored, as with
    nohup, stay so."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    error = sys.exception()
    while error is not None:  # the work ends already: a second one would break its cleaning up
        if isinstance(error, InterruptedBySignal):
            return
        error = error.__context__
    raise InterruptedBySignal(number)


def ignore_signals() -> None:
    """Ignore signals from now on: all that is left to do is to end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals wait that would end this process, or raise an exception in this thread.

    Their Python handlers run in the main thread alone, whichever thread the system picks: there is nothing to do in
    another one, and masks of threads would not do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def wait(number: int, _frame: FrameType | None) -> None:
        waiting.append(number)

    handlers = {number: signal.getsignal(number) for number in ENDING}
    held = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in held:
            signal.signal(number, wait)
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
