"""Files that hold several samples: stacks, and `.npz` files.  Of each no more is read than its headers."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.inputs.arrays import ArraySpec, check_regular, fits, mapped
from pyncnnq.inputs.npy_format import Header
from pyncnnq.inputs.npz import array_names, open_member, readable
from pyncnnq.inputs.sources import Samples, all_ignored

_MOST_ARRAYS = 2**17
"""Samples in one file: more than anybody calibrates with, and few enough to name each in a second."""
_LISTED = 5


def share_by_name(samples: Sequence[Samples], inputs: Sequence[str]) -> Sequence[Samples]:
    """Return the samples of each input of a model, those of `.npz` files shared out by the names of their arrays.

    That is done where a model has several inputs, and all that was given are `.npz` files with one array for each, of
    the input's name; all others are returned as they are.

    Raises:
        InputError: too few or too many `.npz` files for one each, and arrays with other names.
    """
    paths = [path for each in samples for path in each.paths]
    if len(inputs) < 2 or not all(ArrayPath(path).is_archived for path in paths):
        return samples
    path, names = next(((path, names) for path in paths if (names := _names(path))), (None, []))
    if set(names) == set(inputs):
        source = ", ".join(each.source for each in samples)
        return [
            Samples(
                f"{name} of {source}",
                tuple(ArrayPath(path, name).path for path in paths),
                "npy",
                all_ignored(samples) if place == 0 else {},
                is_one_file=len(paths) == 1,
            )
            for place, name in enumerate(inputs)
        ]
    if names and len(samples) != len(inputs):
        shown = ", ".join(names[:_LISTED]) + ", ..." * (len(names) > _LISTED)
        raise InputError(
            f"{path}: holds the arrays {shown}; an .npz file for all inputs of the model holds one for each, of the "
            f"names {', '.join(inputs)}"
        )
    return samples


def unpack(samples: Samples, spec: ArraySpec) -> Samples:
    """Return the arrays that the files of one input hold, each a sample.

    Every array in an `.npz` file is one, in the file's order.  An array with one dimension more than the input takes is
    a stack of them, whose first axis counts; if nobody says what the input takes, that are arrays of five dimensions.
    What cannot be read stays as it is: the worker that tries to load it says why.

    Raises:
        InputError: a file with too many arrays.
    """
    known: dict[Path, list[Path]] = {}  # a list may name a file many times
    for path in samples.paths:
        if path not in known:
            known[path] = list(_arrays(path, spec))
    return replace(samples, paths=tuple(array for path in samples.paths for array in known[path]))


def _arrays(path: Path, spec: ArraySpec) -> Iterator[Path]:
    place = ArrayPath.parse(path)
    count = 0
    for name, header, size in _headers(place):
        part = ArrayPath(place.file, name)
        length = _stacked(header, size, spec) if header is not None else 0
        count += length or 1
        if count > _MOST_ARRAYS:
            raise InputError(f"{path}: holds more than {_MOST_ARRAYS:,} arrays")
        yield from part.stacked(length) if length else [part.path]
    if not count:
        yield path


def _headers(place: ArrayPath) -> Iterator[tuple[str | None, Header | None, int]]:
    """Yield the name of each array of a file, its header if that can be read, and how many bytes of numbers follow."""
    try:
        if not place.is_archived:
            stored = mapped(place.file, place.file)
            yield None, stored.header, stored.size
            return
        with readable(place.file):
            check_regular(place.file)
            archive = zipfile.ZipFile(place.file)
    except UnreadableError:
        return
    with archive:
        for name in array_names(archive) if place.name is None else [place.name]:
            try:
                with readable(place.file):
                    member = open_member(archive, name)
            except (UnreadableError, KeyError):
                yield name, None, 0
            else:
                member.close()
                yield name, member.header, member.size


def _names(path: Path) -> list[str]:
    """Return the names of the arrays in an `.npz` file; none if it cannot be read."""
    try:
        with readable(path):
            check_regular(path)
            with zipfile.ZipFile(path) as archive:
                return array_names(archive)
    except UnreadableError:
        return []


def _stacked(header: Header, size: int, spec: ArraySpec) -> int:
    """Return how many arrays are stacked in one; 0 if it is no stack."""
    shape = header.shape
    is_stack = len(shape) == 5 if spec.shape is None else len(shape) > 1 and fits(shape[1:], spec.shape)
    is_whole = not isinstance(header.dtype, str) and 0 < math.prod(shape) * header.dtype.itemsize <= size
    return shape[0] if is_stack and is_whole else 0
