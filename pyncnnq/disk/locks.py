"""Locks that end with their process, however it ends: flock, which leaves no file behind."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

_PATIENCE = 10.0
"""Seconds to wait for others, who hold a lock for some renames only: one that is stopped, or means harm, must not stop
us."""

_PAUSE = 0.005
"""Seconds between two looks."""


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder if nobody else has it; False too where the file system has no locks."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder, and wait for others; return whether it is ours in the end.

    It is not where the file system has no locks, or someone keeps it for long.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                return False
            time.sleep(_PAUSE)
        else:
            return True
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file or folder is still the one of that name."""
    try:
        there, here = path.lstat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
