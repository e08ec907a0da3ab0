"""Files that are replaced together: who reads them sees all old ones or all new ones, whatever ended the writer.

Each new file is written beside its target first, as a *part*: `.pyncnnq-<hex>.part`, locked by its living writer.
Then, under a lock of the folder, a *record* of all parts and their targets gets its name, `.pyncnnq-<hex>.commit`; the
parts are renamed; the record is removed.  A process that is killed before the record was there has changed nothing, and
its parts are removed by the next writer.  One that is killed later leaves the record, and whoever comes next, reader or
writer, finishes the renames.  Files in several folders have one record in each, made one after the other.

A record may come from anywhere, such as an archive: it can do no more than rename parts within its own folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pyncnnq.disk.locks import is_at, lock, try_lock
from pyncnnq.disk.regular import open_regular
from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import signals_held

_PART = re.compile(r"\.pyncnnq-[0-9a-f]{16}\.part")
_RECORD = re.compile(r"\.pyncnnq-[0-9a-f]{16}\.commit")
_KEPT = re.compile(r"\.pyncnnq-[0-9a-f]{16}\.old")

_MOST_BYTES = 2**20
"""Of a record: it holds some names."""

_written: list[Path] = []
"""All files that took their places in this process, as their writers call them."""


class Part:
    """A new file beside its target; locked until it is closed, which tells that its writer lives.

    Attributes:
        name: the target as its user calls it.
        target: the same without links.
        path: where it is until it takes the target's place.
    """

    def __init__(self, name: Path) -> None:
        """Create an empty one, with the permissions of the target, or those that the system gives any new file of this
        user."""
        self.name = name
        self.target = target = Path(os.path.realpath(name))
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        while True:
            self.path = target.with_name(_new_name("part"))
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode
            )
            lock(self._descriptor)
            if is_at(self._descriptor, self.path):
                break
            os.close(self._descriptor)  # taken for a dead writer's between the two calls
        if mode is not None:
            os.fchmod(self._descriptor, mode)  # again, since a new file gets less where the umask says so

    def write(self, data: bytes) -> None:
        """Write all of the file, and wait for the disk."""
        try:
            with os.fdopen(self._descriptor, "wb", closefd=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(self.path)
            raise

    def close(self) -> None:
        """Let go of the file, and remove it if it has not become its target."""
        if is_at(self._descriptor, self.path):
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def replace_all(parts: Sequence[Part]) -> None:
    """Let complete parts take the places of their targets.

    Raises:
        OSError: one cannot; then the targets are what they were.
    """
    folders: dict[Path, list[Part]] = {}
    for part in parts:
        folders.setdefault(part.path.parent, []).append(part)
    with _locked(folders), ExitStack() as records:
        for folder in folders:
            _finish(folder)
        with signals_held():
            if len(parts) > 1:
                for folder, there in folders.items():
                    records.callback(_remove_record, _write_record(folder, there))
            _rename_all(parts)
            _written.extend(part.name for part in parts)
            records.close()


def written_files() -> list[Path]:
    """Return the files that this process has written so far, as their users call them, but for those that are gone
    again."""
    return [path for path in dict.fromkeys(_written) if path.exists()]


def clear(folder: Path) -> None:
    """Finish what dead writers of this folder began, and remove what they left, as far as this user may."""
    if any(kind.fullmatch(name) for name in _names(folder) for kind in (_RECORD, _PART, _KEPT)):
        with _locked([folder]) as is_ours:
            _settle(folder, is_ours)


@contextmanager
def reading(*paths: str | os.PathLike[str]) -> Iterator[None]:
    """Read files while nobody replaces them, after what a dead writer began is finished.

    Raises:
        PyncnnqError: it cannot be finished, and one of these files is concerned.
    """
    files = [Path(os.path.realpath(path)) for path in paths]
    folders = {file.parent for file in files}
    with ExitStack() as stack:
        stack.enter_context(_locked(folders, shared=True))
        if any(map(_records, folders)):
            stack.close()
            is_ours = stack.enter_context(_locked(folders))
            for folder in folders:
                _settle(folder, is_ours, files)
        yield


def _settle(folder: Path, is_locked: bool, wanted: Iterable[Path] = ()) -> None:
    """Finish what dead writers began (see `_finish`), and remove what else they left if nobody else is at work."""
    _finish(folder, wanted)
    if not is_locked:
        return
    recorded = {part for renames in _records(folder).values() for part in renames}
    for path in (folder / name for name in _names(folder)):
        if _PART.fullmatch(path.name) and path not in recorded:
            _remove_dead(path)
        elif _KEPT.fullmatch(path.name) and _is_file_or_none(path):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _finish(folder: Path, wanted: Iterable[Path] = ()) -> None:
    """Rename the parts that a dead writer's record says are complete.

    Raises:
        PyncnnqError: this user may not, and the record is of a wanted file.
    """
    for record, renames in _records(folder).items():
        try:
            for part, target in renames.items():
                with suppress(FileNotFoundError):  # renamed before
                    part.replace(target)
            record.unlink(missing_ok=True)
        except OSError as error:
            if concerned := sorted(path.name for path in renames.values() if path in set(wanted)):
                raise PyncnnqError(
                    f"{folder}: a process was ended while it replaced {' and '.join(concerned)}, so that old and new "
                    f"files stand side by side, and this one cannot finish that: {error.strerror}; write them again, "
                    "or read them once as a user who may write into the folder"
                ) from None


def _rename_all(parts: Sequence[Part]) -> None:
    """Rename all parts, or none, as far as old files can be kept for so long."""
    kept = {part: name for part in parts if (name := _keep(part.target))} if len(parts) > 1 else {}
    is_new = {part: not part.target.exists() for part in parts}
    done: list[Part] = []
    try:
        for part in parts:
            part.path.replace(part.target)
            done.append(part)
    except OSError:
        for part in done:
            if part in kept:
                kept[part].replace(part.target)
            elif is_new[part]:
                part.target.unlink()
        raise
    finally:
        for name in kept.values():
            name.unlink(missing_ok=True)


def _keep(file: Path) -> Path | None:
    """Give a file a second name while it is replaced; None where there is no file, or files have one name only."""
    name = file.with_name(_new_name("old"))
    try:
        os.link(file, name, follow_symlinks=False)
    except OSError:
        return None
    return name


def _write_record(folder: Path, parts: Sequence[Part]) -> Path:
    """Write the record of a folder: it has its name when it is complete."""
    text = json.dumps({part.path.name: part.target.name for part in parts})
    path = folder / _new_name("commit")
    part = Part(path)
    try:
        part.write(text.encode())
        part.path.rename(path)
    finally:
        part.close()
    _sync(folder)
    return path


def _remove_record(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _records(folder: Path) -> dict[Path, dict[Path, Path]]:
    """Return the records in a folder: of each the parts and their targets.  Those that no writer of ours can have made
    are passed over."""
    records = {}
    for name in filter(_RECORD.fullmatch, _names(folder)):
        renames = _read_record(folder / name)
        if renames is not None:
            records[folder / name] = renames
    return records


def _read_record(path: Path) -> dict[Path, Path] | None:
    descriptor = open_regular(path, links=False)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        state, folder = os.fstat(descriptor), path.parent
        if state.st_size > _MOST_BYTES:
            return None
        if folder.stat().st_mode & stat.S_ISVTX and state.st_uid != os.geteuid():
            return None  # as in /tmp, where anybody may write and nobody may rename the files of others
        try:
            names = json.loads(file.read(_MOST_BYTES))
        except (ValueError, RecursionError, OSError):
            return None
    if not isinstance(names, dict) or not all(_is_rename(folder, part, name) for part, name in names.items()):
        return None
    return {folder / part: folder / name for part, name in names.items()}


def _is_rename(folder: Path, part: str, target: object) -> bool:
    """Return whether a writer of ours can have had this in mind: from a part to a file, or a new one, of this
    folder."""
    if not isinstance(target, str) or not _PART.fullmatch(part):
        return False
    if target in ("", ".", "..") or "/" in target or "\0" in target or target.startswith(".pyncnnq-"):
        return False
    return all(_is_file_or_none(folder / name) for name in (part, target))


def _is_file_or_none(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # a name that is too long, or that the file system cannot spell
        return False


def _remove_dead(path: Path) -> None:
    """Remove a part, unless its writer lives."""
    descriptor = open_regular(path, links=False)
    if descriptor is None:
        return
    try:
        with suppress(OSError):
            if try_lock(descriptor) and is_at(descriptor, path):
                path.unlink()
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folders: Iterable[Path], *, shared: bool = False) -> Iterator[bool]:
    """Lock folders, in an order that is the same for all; yield whether all are.  Where there are no locks, or no
    folder, go on without."""
    with ExitStack() as stack:
        are_ours = True
        for folder in sorted(folders):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                are_ours = False
                continue
            stack.callback(os.close, descriptor)
            are_ours &= lock(descriptor, shared=shared)
        yield are_ours


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _new_name(ending: str) -> str:
    return f".pyncnnq-{secrets.token_hex(8)}.{ending}"


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the file system knows how."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
