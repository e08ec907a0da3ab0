"""`.npz` files: zip archives of `.npy` files, as numpy.savez and numpy.savez_compressed write them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pyncnnq.errors import UnreadableError
from pyncnnq.inputs.npy_format import DamagedError, Header, read_header

_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError)
"""What zipfile raises for damaged archives; for those that are encrypted a RuntimeError."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONGEST_REASON = 100
_MOST_OPEN = 8
"""Archives, and arrays of each: more than a model has inputs, mostly."""


@dataclass(frozen=True)
class Member:
    """An array in an `.npz` file, open to be read.

    Attributes:
        header: what it says of itself.
        size: how many bytes of numbers there are, by the archive's directory.
    """

    header: Header
    size: int
    _stream: IO[bytes]

    def read(self, start: int, length: int) -> bytes:
        """Return bytes from there on, counted from the beginning of the `.npy` file in the archive.

        What comes before them is read too, but not kept; samples of a stack that are read in their order are read once.

        Raises:
            DamagedError: there are not so many, or what zipfile raises.
        """
        try:
            self._stream.seek(start)
            data = self._stream.read(length)
        except Exception:
            self.close()  # the stream may stand anywhere now
            raise
        if len(data) < length:
            raise DamagedError(f"{length:,} bytes of numbers are promised, but {len(data):,} follow")
        return data

    @property
    def closed(self) -> bool:
        """Whether it can be read no more."""
        return self._stream.closed

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


_opened: dict[tuple[str, int, int], tuple[zipfile.ZipFile, dict[str, Member]]] = {}
"""By the file, when it was changed and its size: the archive, and those of its arrays that are open."""


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Say in one line that a file cannot be read, or is damaged.

    Raises:
        UnreadableError: what is done in the context is not possible.
    """
    try:
        yield
    except (DamagedError, *_FAULTS) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UnreadableError(f"{path}: not a readable .npz file of numbers: {reason}") from None
    except OSError as error:
        raise UnreadableError(f"{path}: cannot read: {error.strerror or error}") from error


def array_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays, in the archive's order."""
    return [name.removesuffix(".npy") for name in dict.fromkeys(archive.namelist()) if name.endswith(".npy")]


def open_member(archive: zipfile.ZipFile, name: str) -> Member:
    """Return an array, of which the header is read.

    Raises:
        KeyError: there is none of that name.
        DamagedError: it is not as NumPy writes it, or what zipfile raises.
    """
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type not in _METHODS:
        raise DamagedError("it is compressed in another way than NumPy does")
    stream = archive.open(entry)
    try:
        header = read_header(stream)
    except Exception:
        stream.close()
        raise
    return Member(header, entry.file_size - header.offset, stream)


def member_of(file: Path, name: str) -> Member:
    """Return an array of a file.  Some stay open: a worker reads the samples of a stack one by one.

    Raises:
        KeyError, DamagedError: see `open_member`.
        OSError: the file is not there.
    """
    state = file.stat()
    key = (str(file), state.st_mtime_ns, state.st_size)
    if key not in _opened:
        if len(_opened) >= _MOST_OPEN:
            _close_all()
        _opened[key] = (zipfile.ZipFile(file), {})
    archive, members = _opened[key]
    if name not in members or members[name].closed:
        if len(members) >= _MOST_OPEN:
            members.popitem()[1].close()
        members[name] = open_member(archive, name)
    return members[name]


def _close_all() -> None:
    for archive, members in _opened.values():
        for member in members.values():
            member.close()
        archive.close()
    _opened.clear()
