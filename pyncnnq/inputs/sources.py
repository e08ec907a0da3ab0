"""Which files one model input is calibrated on.

Only names are looked at here: nothing is opened but list files, and OpenCV is not imported.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pyncnnq.errors import InputError
from pyncnnq.inputs.array_path import ARRAY_SUFFIXES
from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES
from pyncnnq.inputs.list_file import read_list
from pyncnnq.inputs.synthetic import Synthetic

Kind = Literal["image", "npy"]
T = TypeVar("T")

_SHOWN_KINDS = 5


@dataclass(frozen=True)
class Samples:
    """The files of one model input, in the order in which they are paired with those of the other inputs."""

    source: str
    """What the user gave, for messages."""
    paths: tuple[Path, ...]
    kind: Kind
    ignored: Mapping[str, int]
    """How many entries of folders were passed over, by suffix; "no suffix", and "hidden" (a hidden folder counts as
    one)."""
    is_one_file: bool = False
    """Whether a single file of arrays was given, by its own name."""

    synthetic: bool = False
    """The images are drawn from their names; no files are there."""

    def __len__(self) -> int:
        return len(self.paths)


def find_samples(data: str | Path | Sequence[str | Path]) -> Samples:
    """Find the samples that one DATA argument (or several, joined in the order given) stands for.

    A folder is searched recursively, sorted by relative path; symbolic links are followed.  A file that is named as an
    image, `.npy` or `.npz` stands for itself.  Any other file is a list (see `pyncnnq.inputs.list_file`), of which
    `.npy` and `.npz` entries are arrays and all others are taken for images whatever their suffix, as in ncnn2table.

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
        raise InputError(f"{source}: no images or array files (.npy, .npz) found" + _seen(others))
    arrays = sum(_holds_arrays(path) for path in paths)
    if 0 < arrays < len(paths):
        raise InputError(
            f"{source}: holds {len(paths) - arrays} images and {arrays} array files; "
            "one model input takes either, so give a folder or a list file with one kind only"
        )
    is_one_file = bool(arrays) and [Path(item) for item in given] == paths and len(paths) == 1
    return Samples(source, tuple(paths), "npy" if arrays else "image", dict(others), is_one_file)


def all_ignored(samples: Iterable[Samples]) -> dict[str, int]:
    """Return what was passed over in all folders."""
    total: Counter[str] = Counter()
    for each in samples:
        total.update(each.ignored)
    return dict(total)


def count_by_kind(ignored: Mapping[str, int]) -> str:
    """Return how many entries of folders were passed over, in words: `3 .txt, 1 .xml`, the most frequent first."""
    ordered = sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {kind}" for kind, count in ordered[:_SHOWN_KINDS]]
    rest = sum(count for _, count in ordered[_SHOWN_KINDS:])
    return ", ".join([*shown, *[f"{rest} of other kinds"] * bool(rest)])


def synthetic_samples(data: Synthetic, inputs: int) -> list[Samples]:
    """Return the synthetic images of each of so many inputs of a model: other images for each."""
    return [Samples(str(data), data.names(place), "image", {}, synthetic=True) for place in range(inputs)]


def pair_samples(inputs: Sequence[Samples]) -> list[tuple[Path, ...]]:
    """Walk the inputs of a model in parallel: element i holds the i-th sample of every input.

    An input that is given a single file with a single array gets that for every sample.

    Raises:
        InputError: the inputs do not have the same number of samples.
    """
    most = max(map(len, inputs), default=0)
    columns = [
        samples.paths * most if samples.is_one_file and len(samples) == 1 else samples.paths for samples in inputs
    ]
    if any(len(column) != most for column in columns):
        counts = ", ".join(f"{samples.source} has {len(samples)}" for samples in inputs)
        raise InputError(
            f"the inputs are walked in parallel and need the same number of samples, but {counts}; what is the same "
            "for all samples, give as one .npy file"
        )
    return list(zip(*columns, strict=True))


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
        if _holds_arrays(path) or path.suffix.lower() in IMAGE_SUFFIXES:
            return [path]
        return read_list(path)
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
            elif _holds_arrays(path) or path.suffix.lower() in IMAGE_SUFFIXES:
                found.append((path.relative_to(root).as_posix(), path))
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    return (path for _, path in sorted(found))


def _holds_arrays(path: Path) -> bool:
    return path.suffix.lower() in ARRAY_SUFFIXES


def _seen(others: Counter[str]) -> str:
    if not others.total():
        return ""
    return f", only {others.total()} other file{'s' if others.total() > 1 else ''} ({count_by_kind(others)})"
