"""Writing results so that nothing half-written is ever left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pyncnnq.errors import PyncnnqError


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files as one: each beside its target first, all renamed only when every one is complete on disk.

    An error or an interrupt while writing leaves the targets as they were and removes the unfinished files.

    Raises:
        PyncnnqError: a folder is missing or read-only, or the disk is full.
    """
    beside: dict[Path, Path] = {}
    try:
        for target, data in contents.items():
            beside[target] = _write_beside(target, data)
        for target in list(beside):
            beside[target].replace(target)
            del beside[target]
    except OSError as error:
        where = error.filename or ", ".join(str(path) for path in contents)
        raise PyncnnqError(f"{where}: cannot write: {error.strerror}; choose another place with -o") from error
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def check_writable(target: Path) -> None:
    """Find out before long work whether its result can be written; it may still fail later.

    Raises:
        PyncnnqError: the target is a folder, or its folder is missing or read-only.
    """
    if target.is_dir():
        raise PyncnnqError(f"{target}: is a folder; give the name of the file to write")
    if not target.parent.is_dir():
        raise PyncnnqError(f"{target.parent}: no such folder to write {target.name} into; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PyncnnqError(f"{target.parent}: cannot write {target.name} into this folder: permission denied; choose another with -o")


def _write_beside(target: Path, data: bytes) -> Path:
    check_writable(target)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; a result has the permissions any new file of this user's would have.
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
