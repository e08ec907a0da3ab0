"""Which files one model input is calibrated on.

Only names are looked at here: nothing is opened but list files, and OpenCV is not imported.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pyncnnq.errors import InputError
from pyncnnq.files import read_file
from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES
from pyncnnq.inputs.synthetic import Synthetic

Kind = Literal["image", "npy"]
T = TypeVar("T")

_SHOWN_MISSING = 5
_SHOWN_LENGTH = 200


@dataclass(frozen=True)
class Samples:
    """The files of one model input, in the order in which they are paired with those of the other inputs."""

    source: str
    """What the user gave, for messages."""
    paths: tuple[Path, ...]
    kind: Kind
    ignored: int
    """Files of other types and hidden entries that were passed over (a hidden folder counts as one)."""

    synthetic: bool = False
    """The images are drawn from their names; no files are there."""

    def __len__(self) -> int:
        return len(self.paths)


def find_samples(data: str | Path | Sequence[str | Path]) -> Samples:
    """Find the samples that one DATA argument (or several, joined in the order given) stands for.

    A folder is searched recursively, sorted by relative path; symbolic links are followed.  A file with an image suffix
    or `.npy` stands for itself.  Any other file is a list: one path per line, relative to the list's folder or else to
    the working directory; blank lines are skipped and the order is kept.  In a list `.npy` entries are arrays and all
    others are taken for images whatever their suffix, as in ncnn2table.

    Raises:
        InputError: something is missing, empty, or both images and arrays.
    """
    given = [data] if isinstance(data, (str, Path)) else list(data)
    source = ", ".join(str(item) for item in given)
    paths: list[Path] = []
    others: Counter[str] = Counter()
    for item in given:
        paths += _expand(Path(item), others)
    if not paths:
        raise InputError(f"{source}: no images or .npy files found" + _seen(others))
    arrays = sum(_is_npy(path) for path in paths)
    if 0 < arrays < len(paths):
        raise InputError(
            f"{source}: holds {len(paths) - arrays} images and {arrays} .npy files; "
            "one model input takes either, so give a folder or a list file with one kind only"
        )
    return Samples(source, tuple(paths), "npy" if arrays else "image", others.total())


def synthetic_samples(data: Synthetic, inputs: int) -> list[Samples]:
    """Return the synthetic images of each of so many inputs of a model: other images for each."""
    return [Samples(str(data), data.names(place), "image", 0, synthetic=True) for place in range(inputs)]


def pair_samples(inputs: Sequence[Samples]) -> list[tuple[Path, ...]]:
    """Walk the inputs of a model in parallel: element i holds the i-th file of every input.

    Raises:
        InputError: the inputs do not have the same number of samples.
    """
    if len({len(samples) for samples in inputs}) > 1:
        counts = ", ".join(f"{samples.source} has {len(samples)}" for samples in inputs)
        raise InputError(f"the inputs are walked in parallel and need the same number of samples, but {counts}")
    return list(zip(*(samples.paths for samples in inputs), strict=True))


def pick(items: Sequence[T], count: int | None) -> list[T]:
    """Return the middle item of each of `count` equal stretches of `items`; all items for None, or where there are no
    more than `count`.

    Raises:
        InputError: count is below 1.
    """
    if count is not None and count < 1:
        raise InputError(f"expected at least 1, not {count}", option="samples")
    if count is None or count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; not an error for what cannot be a name, such as a text that is too
    long."""
    try:
        return path.exists()
    except OSError:
        return False


def _expand(path: Path, others: Counter[str]) -> list[Path]:
    try:
        if path.is_dir():
            return list(_walk(path, others))
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; expected a folder, a list file, an image or a .npy file")
        if _is_npy(path) or path.suffix.lower() in IMAGE_SUFFIXES:
            return [path]
        return _read_list(path)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot read: {error.strerror}") from error


def _walk(root: Path, others: Counter[str]) -> Iterator[Path]:
    found: list[tuple[str, Path]] = []
    entered = set()

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        here = Path(folder)
        status = here.stat()
        if (status.st_dev, status.st_ino) in entered:  # a symbolic link back up, or the same folder twice
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        others.update("hidden" for name in folders if name.startswith("."))
        # Sorted, so that of two links to one folder the same one is taken on every machine.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = here / name
            if name.startswith("."):
                others["hidden"] += 1
            elif _is_npy(path) or path.suffix.lower() in IMAGE_SUFFIXES:
                found.append((path.relative_to(root).as_posix(), path))
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    return (path for _, path in sorted(found))


def _read_list(path: Path) -> list[Path]:
    content = read_file(path, InputError)
    if b"\0" in content:
        raise InputError(
            f"{path}: is neither an image that is known by its suffix, nor .npy, nor a list with one path per line"
        )
    found: list[Path] = []
    missing: list[str] = []
    missed = 0
    known: dict[str, Path] = {}  # a list may name a file many times
    folder = str(path.parent)
    # surrogateescape is how Python spells file names that are not UTF-8, so such paths still open.
    text = content.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.strip()
        if not entry:
            continue
        file = known.get(entry)
        if file is None:
            choices = (os.path.join(folder, entry), entry)  # noqa: PTH118 - there may be many
            file = next((Path(choice) for choice in choices if os.path.isfile(choice)), None)  # noqa: PTH113
        if file is not None:
            found.append(known.setdefault(entry, file))
            continue
        missed += 1
        if len(missing) < _SHOWN_MISSING:
            shown = entry if len(entry) <= _SHOWN_LENGTH else f"{entry[:_SHOWN_LENGTH]}..."
            is_folder = any(os.path.isdir(choice) for choice in choices)  # noqa: PTH112
            missing.append(f"line {number}: {shown}" + (" is a folder" if is_folder else ""))
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


def _is_npy(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _seen(others: Counter[str]) -> str:
    if not others.total():
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
    return f", only {others.total()} other file{'s' if others.total() > 1 else ''} ({kinds})"
