"""Starting processes and threads: signals for this process pass them by, and what cannot be started is told in a
line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import ENDING

_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of Linux's prctl."""


class CannotStartError(PyncnnqError):
    """The system has no room for another process or thread."""


def start_process(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that no Ctrl-C, no closed terminal and no `kill` of its group ends: its parent does.

    Args:
        command: the program and its arguments.
        options: of `subprocess.Popen`.

    Raises:
        CannotStartError: the system has no room for it.
        OSError: the program cannot be run.
    """
    # A process inherits the mask, and has it from its first instruction on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        return subprocess.Popen(command, **options)
    except OSError as error:
        if (advice := _advice(error.errno)) is None:
            raise
        raise CannotStartError(f"{error.strerror}; {advice}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_thread(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Start a thread that ends with this process.

    Raises:
        CannotStartError: the system has no room for it.
    """
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise CannotStartError(f"a thread cannot be started; {_advice(errno.EAGAIN)}") from error
    return thread


def _advice(number: int | None) -> str | None:
    return {
        errno.EMFILE: "give fewer `workers=`, or allow more open files (ulimit -n)",
        errno.ENFILE: "give fewer `workers=`, or let the system have more open files",
        errno.EAGAIN: "give fewer `workers=`, or allow more processes (ulimit -u)",
        errno.ENOMEM: "give fewer `workers=`, or more memory",
    }.get(number or 0)


def end_with_parent(parent: int) -> None:
    """Let the system end this process when its parent ends, even in the middle of a long computation; where it cannot,
    the end of the streams tells.

    Args:
        parent: the parent's number; if that has ended already, this process ends now.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # not Linux
        return
    if os.getppid() != parent:
        os._exit(0)
