"""Folders for temporary files: they end with their process, or are removed by the next one, and a full disk under them
is told from all else."""

from __future__ import annotations

import atexit
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyncnnq.disk.locks import is_at, lock, try_lock
from pyncnnq.disk.regular import open_regular
from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import signals_held

_NAME = re.compile(r"pyncnnq-[a-z0-9_]{8}\.run")

_MARK = ".made-by-pyncnnq"
"""A file in each folder, locked by the living process: a folder of the user's may have such a name, and locks of the
folder itself are for what is written into it (`pyncnnq.disk.transaction`)."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_PROBE = bytes(2**16)
"""What a disk that is not full has room for."""

_ours: dict[Path, int] = {}
"""The folders of this process, each with the descriptor of its mark."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make an empty folder, and remove it in the end.

    Raises:
        PyncnnqError: it cannot be made, or the work fails since the disk under it is full.
    """
    folder: Path | None = None
    try:
        with signals_held():
            folder = _make()
        yield folder
    except Exception as error:
        if folder and (trouble := _trouble(folder, error)):
            raise trouble from error
        raise
    finally:
        if folder:
            _remove(folder)


def _make() -> Path:
    _sweep()
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix="pyncnnq-", suffix=".run", dir=_place()))
            if _mark(folder):
                return folder
    except OSError as error:
        raise _failure(error) from error


def _place() -> str:
    """Return where temporary folders are made: as tempfile chooses, but without the file that it writes there to try,
    which a kill would leave."""
    for path in (tempfile.tempdir, *map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp"):
        if path and Path(path).is_dir() and os.access(path, os.W_OK | os.X_OK):
            return str(Path(path).absolute())
    return tempfile.gettempdir()


def _mark(folder: Path) -> bool:
    """Write the mark of a new folder, and lock it; False if another process took the folder for a dead one's
    meanwhile."""
    try:
        descriptor = os.open(folder / _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return False
    except OSError:
        folder.rmdir()
        raise
    lock(descriptor)
    if not is_at(descriptor, folder / _MARK):
        os.close(descriptor)
        return False
    _ours[folder] = descriptor
    return True


def _remove(folder: Path) -> None:
    with signals_held():
        if folder in _ours:
            _empty(folder)
            os.close(_ours.pop(folder))


@atexit.register
def _remove_all() -> None:
    """Remove what an exception that came in a bad moment has left."""
    for folder in list(_ours):
        _remove(folder)


def _empty(folder: Path) -> None:
    """Remove a folder, its mark last: a process that is killed meanwhile leaves it to the next one."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _MARK:
                path.unlink(missing_ok=True)
        (folder / _MARK).unlink(missing_ok=True)
        folder.rmdir()


def _sweep() -> None:
    """Remove the folders of this user's dead processes: those that nobody holds locked."""
    with suppress(OSError), os.scandir(_place()) as entries:
        for path in [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]:
            if path not in _ours:
                with suppress(OSError):
                    _remove_dead(path)


def _remove_dead(folder: Path) -> None:
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        return
    descriptor = open_regular(folder / _MARK, links=False)
    if descriptor is None:
        with suppress(OSError):  # not empty: it is not ours
            folder.rmdir()
        return
    try:
        if try_lock(descriptor) and is_at(descriptor, folder / _MARK):
            _empty(folder)
    finally:
        os.close(descriptor)


def _trouble(folder: Path, error: Exception) -> PyncnnqError | None:
    """Return what to raise for an error if temporary files are its cause."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError):
        if cause.filename is None and cause.errno in _FULL:
            return _failure(cause)
        if cause.filename is not None and Path(os.fsdecode(cause.filename)).is_relative_to(folder):
            return _failure(cause)
        if isinstance(error, PyncnnqError):  # it says where
            return None
    try:  # others, such as pnnx, do not say why they fail
        (folder / "probe").write_bytes(_PROBE)
        (folder / "probe").unlink()
    except OSError as full:
        return _failure(full)
    return None


def _failure(error: OSError) -> PyncnnqError:
    place = os.environ.get("TMPDIR") or _place()
    reason = (error.strerror or "").lower()
    if error.errno in _FULL:
        return PyncnnqError(f"{place}: {reason} for temporary files; free some, or set TMPDIR to another folder")
    advice = "allow more (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else "set TMPDIR to another folder"
    return PyncnnqError(f"{place}: temporary files cannot be kept there: {reason}; {advice}")
