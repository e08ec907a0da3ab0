"""What follows the model's files of `pyncnnq quantize`: its calibration table, or calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs.array_path import ARRAY_SUFFIXES
from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES
from pyncnnq.inputs.list_file import read_lines
from pyncnnq.inputs.preprocessing import parse_float


def is_table(source: Sequence[str]) -> bool:
    """Whether what follows the model's files is a calibration table and not calibration data."""
    if len(source) != 1 or "=" in source[0]:
        return False
    path = Path(source[0])
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES | ARRAY_SUFFIXES or "," in path.name:
        return False
    return path.suffix.lower() != ".txt" or not _lists_files(path)


def _lists_files(path: Path) -> bool:
    """Return whether a file is a list, with a path in each line; a table has a name and numbers."""
    if not path.is_file():  # a pipe can be read once
        return False
    try:
        lines = read_lines(path, PyncnnqError)
    except PyncnnqError:
        return False  # whoever reads the table says so
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    return bool(lines) and not all(map(_is_row, lines))


def _is_row(line: str) -> bool:
    words = line.rsplit(maxsplit=1)
    return len(words) > 1 and _is_number(words[-1])


def _is_number(word: str) -> bool:
    try:
        parse_float(word)
    except ValueError:
        return False
    return True
