"""Files: outputs that are written wholly or not at all, and never over an input; inputs that are read without waiting
for what never comes."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pyncnnq.disk.regular import open_regular
from pyncnnq.disk.transaction import Part, clear, replace_all
from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import signals_held

_MOST_PIPED = 64 * 2**20
"""Bytes that are taken from a pipe: far more than lists, tables and options have, and not all memory."""

_WAIT_FOR_WRITER = 0.5
"""Seconds that a pipe may be without anybody who writes: a shell starts both ends at once."""

_WAIT_FOR_MORE = 60.0
"""Seconds that whoever writes into a pipe may be silent."""

_CHUNK = 2**20

_HEAD = 2**16
"""Bytes that tell what a file is."""


class Kind(NamedTuple):
    """A kind of files that we write, and that may be replaced by another one."""

    name: str
    """In messages."""
    fits: Callable[[bytes], bool]
    """Whether a file that begins so is one."""
    suffixes: tuple[str, ...] = ()
    """Files with such names are taken for one, whatever is in them."""


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files as one: each beside its target first, all renamed only when every one is complete on disk.

    An error or an interrupt while writing leaves the targets as they were and removes the unfinished files; what a
    process leaves that is killed, `pyncnnq.disk.transaction` says.  A target that is a symbolic link stays one: the
    file that it leads to is written.

    Raises:
        PyncnnqError: a target that cannot be written (see `check_writable`), or the disk is full.
    """
    parts: list[Part] = []
    try:
        for target in contents:
            check_writable(target)
        for folder in {Path(os.path.realpath(target)).parent for target in contents}:
            clear(folder)
        for target, data in contents.items():
            with signals_held():
                parts.append(Part(target))
            if parts[-1].target in (part.target for part in parts[:-1]):
                raise PyncnnqError(f"{target}: would be two files at once; name another output")
            parts[-1].write(data)
        replace_all(parts)
    except OSError as error:
        place = {str(part.path): str(part.name) for part in parts}.get(error.filename, error.filename)
        where = place or ", ".join(map(str, contents))
        raise PyncnnqError(f"{where}: cannot write: {error.strerror}; choose another place") from error
    finally:
        with signals_held():
            for part in parts:
                part.close()


def model_pair(output: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return the two files of a model: OUTPUT.param and OUTPUT.bin; OUTPUT may have one of the endings already.

    Raises:
        PyncnnqError: OUTPUT is a folder, or an ending without a name.
    """
    path, endings = Path(output), (".param", ".bin")
    if path.is_dir():
        raise PyncnnqError(f"{path}: is a folder; name the files to write into it, such as {path / 'model'}")
    name = path.stem if path.suffix in endings else path.name
    if name in endings:
        raise PyncnnqError(f"{path}: is an ending without a name; give one, such as {path.with_name('model')}")
    return path.with_name(f"{name}.param"), path.with_name(f"{name}.bin")


def check_writable(target: Path) -> None:
    """Find out before long work whether its result can be written; it may still fail later.

    Raises:
        PyncnnqError: the target is a folder, a device, a pipe or a write-protected file, or its folder is missing or
            read-only.
    """
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as error:  # a name that is too long, links in a circle
        raise PyncnnqError(f"{target}: cannot write: {error.strerror}; choose another place") from error
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise PyncnnqError(f"{target}: is a folder; give the name of the file to write")
        if not stat.S_ISREG(mode):  # a rename would put a plain file in the place of /dev/null
            raise PyncnnqError(
                f"{target}: is a device or a pipe, and only files can be written; give the name of a file"
            )
        if not os.access(target, os.W_OK):
            raise PyncnnqError(f"{target}: is write-protected; name another output")
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise PyncnnqError(f"{folder}: no such folder to write {target.name} into; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PyncnnqError(f"{folder}: cannot write {target.name} into this folder: permission denied; choose another")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Find out before long work whether its results can be written, and that none takes the place of what is read or of
    another one.

    Files are the same if they are one on the disk, by whatever links or names; those that are not there yet, if their
    paths are the same once links are resolved.  A folder among the inputs stands for itself alone: files in it that are
    read are inputs of their own.

    Args:
        outputs: the files to write.
        inputs: the files that the work reads; they need not be there.

    Raises:
        PyncnnqError: an output that is an input or another output, or cannot be written (see `check_writable`).
    """
    read = {_identity(path): path for path in inputs}
    written: dict[tuple[int, int] | str, Path] = {}
    for target in outputs:
        identity = _identity(target)
        if identity in read and not target.is_dir():
            raise PyncnnqError(f"{target}: would overwrite the input {read[identity]}; name another output")
        if identity in written:
            raise PyncnnqError(f"{target}: would overwrite the output {written[identity]}; name another one")
        written[identity] = target
        check_writable(target)


def check_replaced(target: Path, kind: Kind) -> None:
    """Make sure that an output takes the place of nothing, of an empty file, or of one of its kind.

    Raises:
        PyncnnqError: another file is there.
    """
    if target.suffix.lower() in kind.suffixes:
        return
    descriptor = open_regular(target)
    if descriptor is None:
        return
    with os.fdopen(descriptor, "rb") as file:
        head = file.read(_HEAD) or b""
    if head.strip() and not kind.fits(head):
        raise PyncnnqError(
            f"{target}: is there already and is no {kind.name}, so it would be lost; name another output, or move "
            "that file away"
        )


def check_pair_replaced(param: Path, bin: Path) -> None:
    """Make sure that OUTPUT.bin is not somebody else's: many programs write files of that name, beside other ones.

    Raises:
        PyncnnqError: it is there, and OUTPUT.param is not.
    """
    if bin.is_file() and bin.stat().st_size and not param.exists():
        raise PyncnnqError(
            f"{bin}: is there already without {param.name}, so it is no ncnn model's and would be lost; name another "
            "output, or move that file away"
        )


def check_regular(path: Path, error: type[PyncnnqError]) -> None:
    """Make sure that a path leads to a file, which can be read several times, also by other programs.

    Raises:
        PyncnnqError: of the given type, in one line, as of `read_file`; a pipe is refused too.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as fault:
        raise _unreadable(path, error, fault) from None
    if not stat.S_ISREG(mode):
        raise error(f"{path}: {_kind(mode)}; name a file")


def read_file(path: Path, error: type[PyncnnqError], *, most: int | None = None) -> bytes:
    """Return the bytes of a file, without waiting for what never comes and without an end to memory.

    A pipe, such as /dev/stdin or a shell's `<(command)`, is read to its end as a file is, as long as somebody writes
    into it: at most 64 MB, with at most 60 seconds of silence.  Devices, folders and sockets are refused.

    Args:
        path: the file.
        error: what to raise.
        most: the most bytes that make sense; reading stops there.

    Raises:
        PyncnnqError: of the given type, in one line: no such file, no file, too large, or not readable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(descriptor)
            if stat.S_ISFIFO(state.st_mode):
                return _read_pipe(descriptor, path, error, _MOST_PIPED if most is None else min(most, _MOST_PIPED))
            if not stat.S_ISREG(state.st_mode):
                raise error(f"{path}: {_kind(state.st_mode)}; name a file")
            if most is not None and state.st_size > most:
                raise _too_large(path, error, most)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                # Files of /proc have no size, and give None where others give nothing.
                data = file.read(-1 if most is None else (state.st_size or most) + 1) or b""
        finally:
            os.close(descriptor)
    except (OSError, ValueError, MemoryError) as fault:
        raise _unreadable(path, error, fault) from None
    if most is not None and len(data) > most:
        raise _too_large(path, error, most)
    return data


def _read_pipe(descriptor: int, path: Path, error: type[PyncnnqError], most: int) -> bytes:
    """Read a pipe to its end; the descriptor does not wait."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    has_writer = False
    silent_since = time.monotonic()
    while True:
        try:
            piece = os.read(descriptor, _CHUNK)
        except BlockingIOError:  # somebody writes, but nothing is there yet
            has_writer, patience = True, _WAIT_FOR_MORE
        else:
            if piece:
                silent_since = time.monotonic()
                data += piece
                if len(data) > most:
                    raise error(f"{path}: is a pipe that gives more than {most:,} bytes; write them into a file first")
                continue
            # The end, or a named pipe that nobody has opened yet: only the former hangs up.
            if has_writer or data or poll.poll(0):
                return bytes(data)
            patience = _WAIT_FOR_WRITER
        left = silent_since + patience - time.monotonic()
        if left <= 0:
            found = f"nothing came for {patience:g} seconds" if has_writer else "nobody writes into it"
            raise error(f"{path}: is a pipe, and {found}; name a file")
        poll.poll(min(1000 * left, 100))


def _too_large(path: Path, error: type[PyncnnqError], most: int) -> PyncnnqError:
    return error(f"{path}: is larger than {most:,} bytes, the most that such a file may have; name another file")


def _unreadable(path: Path, error: type[PyncnnqError], fault: OSError | ValueError | MemoryError) -> PyncnnqError:
    """Return the error of a path that cannot be read."""
    match fault:
        case FileNotFoundError():
            return error(f"{path}: no such file")
        case MemoryError():
            return error(f"{path}: does not fit into memory")
        case OSError():
            with suppress(OSError):
                if kind := _kind(path.stat().st_mode):
                    return error(f"{path}: {kind}; name a file")
            return error(f"{path}: cannot read: {fault.strerror}")
    return error(f"{path}: cannot read: {fault}")  # a name with a NUL


def _kind(mode: int) -> str:
    """Return what something is that is no file, as a sentence begins; nothing for a file and for what is not known."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe"}
    name = (kinds | dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "device")).get(stat.S_IFMT(mode))
    return f"is a {name}, not a file" if name else ""


def _identity(path: Path) -> tuple[int, int] | str:
    """Return what two paths share if they are one file."""
    try:
        state = path.stat()
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # no name of a file
        return str(path)
    return state.st_dev, state.st_ino
