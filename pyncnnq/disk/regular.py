"""Looking at a file that may be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def open_regular(path: Path, *, links: bool = True) -> int | None:
    """Return the descriptor of a file that is open for reading, without waiting for a pipe or a device; None for what
    is no file, cannot be read, or is a link where these are not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW))
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
