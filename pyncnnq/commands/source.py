"""What follows the model's files of `pyncnnq quantize`: its calibration table, or calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES


def is_table(source: Sequence[str]) -> bool:
    """Whether what follows the model's files is a calibration table and not calibration data."""
    if len(source) != 1 or "=" in source[0]:
        return False
    path = Path(source[0])
    if path.is_dir() or path.suffix.lower() in (*IMAGE_SUFFIXES, ".npy") or "," in path.name:
        return False
    return path.suffix.lower() != ".txt" or not _lists_files(path)


def _lists_files(path: Path) -> bool:
    """Return whether a file is a list, with a path in each line; a table has a name and numbers."""
    with suppress(OSError, UnicodeDecodeError):
        lines = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        return bool(lines) and not all(len(words) > 1 and _is_number(words[-1]) for words in lines)
    return False


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
