"""The standard streams of the command line: what cannot be printed is no error of a file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any


class UnprintableError(Exception):
    """The standard output does not take what is printed.

    Attributes:
        number: the system's, such as `errno.EPIPE`.
    """

    def __init__(self, number: int | None) -> None:
        super().__init__(number)
        self.number = number


class _Output(io.FileIO):
    """The standard output; its errors are told from those of files, of which some have no name either."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise UnprintableError(error.errno) from None


class _Messages(io.FileIO):
    """The standard error stream: there is nowhere to say that nothing can be said."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def open_streams() -> None:
    """Let nothing that is printed be an error of its own kind: neither a stream that the caller has closed, nor a name
    that is not UTF-8, nor a full disk."""
    for name, kind in (("stdout", _Output), ("stderr", _Messages)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif type(stream) is io.TextIOWrapper:  # what Python opens
            raw = kind(stream.fileno(), "w", closefd=False)
            opened = io.TextIOWrapper(
                raw if stream.write_through else io.BufferedWriter(raw),
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, opened)


def drop_output() -> None:
    """Print nothing any more: what is still buffered would be tried, and complained of, once more at the end of
    Python."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
