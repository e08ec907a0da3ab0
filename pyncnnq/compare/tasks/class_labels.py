"""Which class each sample is of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.files import read_file

FOLDERS = "folders"

_MOST_BYTES = 2**28
"""Of a table of labels: ten million lines."""

_CLASS = re.compile("[0-9]{1,9}", re.ASCII)


def find_labels(source: str, paths: Sequence[Path]) -> list[int]:
    """Return the class of each sample, a place in the model's output.

    Args:
        source: what says so:
            "folders": the folder that a sample lies in is its class.  The classes are the folders beside each other in
            alphabetical order, or by their number where all names are numbers.
            A `.csv` or `.tsv` file with lines `file,class`: the file by its path relative to the table or by its name,
            the class by its number from 0.  A first line whose class is not a number is a heading.
            Any other file: the names of all classes in the order of the output, one a line, such as ImageNet's ids.
            The class of a sample is the name that its folder has, or that its own name begins with
            (`n01440764_tench.JPEG`).
        paths: the samples' files.

    Raises:
        InputError: a source that cannot be read, or a sample that it says nothing of.
    """
    if source == FOLDERS:
        return _by_folders(paths)
    text = _read(source)
    if Path(source).suffix.lower() in (".csv", ".tsv"):
        return _by_table(source, text, paths)
    return _by_names(source, _lines(text), paths)


def class_names(source: str, paths: Sequence[Path]) -> list[str]:
    """Return the names of the classes in the order of the output, as far as the source (see `find_labels`, which has
    read it) has names."""
    if source == FOLDERS:
        names = [
            entry.name
            for entry in paths[0].absolute().parent.parent.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        ]
        return [] if all(name.isdecimal() for name in names) else sorted(names)
    if Path(source).suffix.lower() in (".csv", ".tsv", ".json") or not Path(source).is_file():
        return []  # the latter: a folder of boxes, or a pipe, which can be read but once
    return _lines(_read(source))


def _read(source: str) -> str:
    try:
        return read_file(Path(source), InputError, most=_MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"{source}: cannot read: {error}"
    except InputError as error:
        problem = error.message
        if not Path(source).exists():
            problem += f"; give `{FOLDERS}`, a .csv of files and classes, or a list of class names"
    raise InputError(problem, option="labels") from None


def label_files(source: str | None) -> list[Path]:
    """Return the file that a source of labels is, if it is one."""
    return [] if source in (None, FOLDERS) else [Path(str(source))]


def _lines(text: str) -> list[str]:
    """Return the lines that are not blank.  (Python's splitlines also ends lines where no editor does.)"""
    lines = text.replace("\r", "\n").split("\n")
    return [stripped for line in lines if (stripped := line.strip())]


def _by_folders(paths: Sequence[Path]) -> list[int]:
    parents = {path.absolute().parent.parent for path in paths}
    if len(parents) > 1:
        places = ", ".join(sorted(map(str, parents))[:3])
        raise InputError(
            f"{FOLDERS}: the class folders must lie beside each other, but they are in {places}", option="labels"
        )
    (root,) = parents
    try:
        names = [entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise PyncnnqError(f"{root}: cannot read: {error.strerror}") from None
    if all(name.isdecimal() for name in names):
        return [int(path.absolute().parent.name) for path in paths]
    places_of = {name: place for place, name in enumerate(sorted(names))}
    return [places_of[path.absolute().parent.name] for path in paths]


def _by_table(source: str, text: str, paths: Sequence[Path]) -> list[int]:
    folder = Path(source).absolute().parent
    names = [_names_in_table(path, folder) for path in paths]
    wanted = {name for each in names for name in each}
    known: dict[str, int] = {}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if source.lower().endswith(".tsv") else ",")
    try:
        for number, row in enumerate(rows, start=1):
            _note(row, number, wanted, known)
    except (csv.Error, InputError) as error:
        raise InputError(f"{source}: line {rows.line_num}: {error}", option="labels") from None
    return [_look_up(path, each, known, source) for path, each in zip(paths, names, strict=True)]


def _note(row: Sequence[str], number: int, wanted: set[str], known: dict[str, int]) -> None:
    """Take down the class of a file that is wanted; the first row may be a heading."""
    if not row:
        return
    digits = row[1].strip() if len(row) > 1 else ""
    if not _CLASS.fullmatch(digits):
        if number == 1:
            return
        shown = repr(",".join(row))
        shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
        raise InputError(f"expected a file and the number of its class, found {shown}")
    name = row[0].strip()
    if name in wanted and known.setdefault(name, int(digits)) != int(digits):
        raise InputError(f"{name} has another class further up")


def _names_in_table(path: Path, folder: Path) -> list[str]:
    """Return what a table in a folder may call a file."""
    absolute = path.absolute()
    names = [str(path), str(absolute), path.name]
    if absolute.is_relative_to(folder):
        names.insert(0, absolute.relative_to(folder).as_posix())
    # A table may lie elsewhere than its files, and name them from any folder above them.
    return names + ["/".join(absolute.parts[-count:]) for count in (2, 3)]


def _look_up(path: Path, names: Sequence[str], known: dict[str, int], source: str) -> int:
    label = next((known[name] for name in names if name in known), None)
    if label is None:
        raise InputError(
            f"{source}: has no line for {path}; lines are `file,class`, the file as {names[0]} or {path.name}",
            option="labels",
        )
    return label


def _by_names(source: str, names: Sequence[str], paths: Sequence[Path]) -> list[int]:
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        raise InputError(
            f"{source}: names a class twice; expected the names of all classes, one a line", option="labels"
        )
    return [_named(path, places, source) for path in paths]


def _named(path: Path, places: dict[str, int], source: str) -> int:
    folder = path.absolute().parent.name
    if folder in places:
        return places[folder]
    parts = path.stem.split("_")
    for count in range(len(parts), 0, -1):  # the longest name that fits: classes may have underscores in them
        name = "_".join(parts[:count])
        if name in places:
            return places[name]
    raise InputError(
        f"{source}: {path}: neither its folder nor the beginning of its name is one of the {len(places)} classes there",
        option="labels",
    )
