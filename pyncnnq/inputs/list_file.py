"""List files: one path a line, as shells, editors and Windows write them."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.files import read_file

_SHOWN_MISSING = 5
_SHOWN_LENGTH = 200
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path, error: type[PyncnnqError]) -> list[str]:
    """Return the lines of a text in UTF-8, or in UTF-16 if it begins with a byte order mark, as Windows PowerShell
    writes.

    Bytes that are not UTF-8 are kept as Python keeps them in names of files, so such paths can be opened.

    Raises:
        PyncnnqError: of the given type, in one line (see `pyncnnq.files.read_file`).
    """
    content = read_file(path, error)
    if content.startswith(_UTF_16):
        text = content.decode("utf-16", errors="replace")
    else:
        text = content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    return text.split("\n")


def read_list(path: Path) -> list[Path]:
    """Return the files of a list, in its order, relative to the list's folder or else to the working directory.

    Blank lines are skipped, and lines that begin with `#`, unless that is the name of a file.  A path may stand in
    quotes, and have backslashes between its folders.

    Raises:
        InputError: the list cannot be read, is empty, or names what is no file.
    """
    lines = read_lines(path, InputError)
    if any("\0" in line for line in lines):
        raise InputError(
            f"{path}: is neither an image that is known by its suffix, nor .npy, nor a list with one path per line"
        )
    found: list[Path] = []
    missing: list[str] = []
    missed = 0
    known: dict[str, Path] = {}  # a list may name a file many times
    folder = str(path.parent)
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry:
            continue
        choices = (os.path.join(place, name) for name in _spellings(entry) for place in (folder, ""))  # noqa: PTH118
        file = known.get(entry) or next((Path(choice) for choice in choices if os.path.isfile(choice)), None)  # noqa: PTH113
        if file is not None:
            found.append(known.setdefault(entry, file))
        elif not entry.startswith("#"):
            missed += 1
            if len(missing) < _SHOWN_MISSING:
                missing.append(f"line {number}: {_shown(entry, folder)}")
    if missing:
        shown = "; ".join(missing) + ("; ..." if missed > len(missing) else "")
        message = (
            f"{path}: taken as a list, one path per line: {missed} of {missed + len(found)} entries are not files: "
            f"{shown} (looked in {path.parent} and in the working directory {Path.cwd()})"
        )
        raise InputError(message.encode(errors="replace").decode())
    if not found:
        raise InputError(f"{path}: the list is empty; expected one path per line")
    return found


def _spellings(entry: str) -> Iterator[str]:
    """Yield what a line may mean: first of all the path as it stands there."""
    yield entry
    if len(entry) > 2 and entry[0] in "\"'" and entry[0] == entry[-1]:
        entry = entry[1:-1]
        yield entry
    if "\\" in entry:
        yield entry.replace("\\", "/")


def _shown(entry: str, folder: str) -> str:
    shown = entry if len(entry) <= _SHOWN_LENGTH else f"{entry[:_SHOWN_LENGTH]}..."
    is_folder = any(os.path.isdir(os.path.join(place, entry)) for place in (folder, ""))  # noqa: PTH112, PTH118
    return f"{shown} is a folder" if is_folder else shown
