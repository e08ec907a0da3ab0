"""Arrays as model inputs: `.npy` and `.npz` files, and what is stacked in them, without batch axis."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.inputs.npy_format import DamagedError, Header, Shape, read_header
from pyncnnq.inputs.npz import member_of, readable

MOST_NUMBERS = 2**28
"""Of an array: 1 GB in float32, as an image of MOST_PIXELS with alpha has."""


@dataclass(frozen=True)
class ArraySpec:
    """What the arrays of one model input must be.

    shape: as NumPy prints it, (w), (h, w), (c, h, w) or (c, d, h, w); 0 is any length; None is any of the four.
    integers: the input feeds an Embed layer, which reads int32.
    """

    shape: Shape | None = None
    integers: bool = False

    def __str__(self) -> str:
        return "arrays (.npy)"


def load_npy(path: str | Path, spec: ArraySpec = ArraySpec()) -> NDArray[np.float32] | NDArray[np.int32]:
    """Read one array: C-contiguous float32, or int32 for token ids (ncnn's src/layer/embed.cpp reads the raw int32
    bits).

    Numbers of other types are converted by value.  Pickled objects are never loaded.  Of a stack (see
    `pyncnnq.inputs.array_path`) no more is loaded than the one array.

    Raises:
        UnreadableError: the file cannot be read, or is damaged.
        InputError: not numbers, of the wrong shape, empty, not finite, or not whole where token ids are expected.
    """
    array = _read(path, spec)
    return _as_token_ids(path, array) if spec.integers else _as_float32(path, array)


def check_regular(path: str | Path) -> None:
    """Make sure that it is a file: opening a pipe would wait for ever.

    Raises:
        UnreadableError: it is something else.
        OSError: it is not there.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise UnreadableError(f"{path}: is not a file")


@dataclass(frozen=True)
class Stored:
    """An array in a file, of which the header is read.

    Attributes:
        header: what it says of itself.
        size: how many bytes of numbers there are.
        numbers: returns an array of its type and order: by the place of its first byte, and its shape.
    """

    header: Header
    size: int
    numbers: Callable[[int, Shape], NDArray[np.generic]]


def _read(path: str | Path, spec: ArraySpec) -> NDArray[np.generic]:
    """Return the array; that of a `.npy` file is mapped."""
    place = ArrayPath.parse(path)
    stored = _archived(path, place) if place.is_archived else mapped(path, place.file)
    header, index = stored.header, place.index
    if isinstance(header.dtype, str):
        raise InputError(f"{path}: holds {header.dtype} data; expected real numbers")
    shape = header.shape
    if index is not None:
        if len(shape) < 2 or index >= shape[0]:  # the file has changed since
            raise InputError(f"{path}: there is no such array: the shape in the file is {_spell(shape)}")
        shape = shape[1:]
    _check_shape(path, shape, spec.shape)
    promised = math.prod(header.shape) * header.dtype.itemsize
    if promised > stored.size:
        missing = f"its header promises {promised:,} bytes of numbers, but {stored.size:,} follow"
        raise UnreadableError(f"{path}: not a readable .npy file of numbers: {missing}")
    # In Fortran's order the numbers of an array are strewn over its stack.
    loaded = header.shape if header.fortran else shape
    if (count := math.prod(loaded)) > MOST_NUMBERS:
        raise UnreadableError(
            f"{path}: shape {_spell(loaded)} has {count:,} numbers, expected at most {MOST_NUMBERS:,}"
        )
    if index is None or header.fortran:
        whole = stored.numbers(header.offset, header.shape)
        return whole if index is None else whole[index]
    return stored.numbers(header.offset + index * count * header.dtype.itemsize, shape)


def mapped(path: str | Path, file: Path) -> Stored:
    """Open a `.npy` file, whose numbers are mapped and not read.

    Args:
        path: what errors name.
        file: the file.

    Raises:
        UnreadableError: it cannot be read, or is damaged.
    """
    try:
        check_regular(file)
        with file.open("rb") as opened:
            header = read_header(opened)
            size = os.fstat(opened.fileno()).st_size
    except OSError as error:
        raise UnreadableError(f"{path}: cannot read: {error.strerror or error}") from error
    except DamagedError as error:
        raise UnreadableError(f"{path}: not a readable .npy file of numbers: {error}") from None

    def numbers(start: int, shape: Shape) -> NDArray[np.generic]:
        try:
            return np.memmap(file, header.dtype, mode="r", offset=start, shape=shape, order=header.order)
        except (OSError, ValueError) as error:  # it has changed since
            raise UnreadableError(f"{path}: cannot read: {error}") from error

    return Stored(header, size - header.offset, numbers)


def _archived(path: str | Path, place: ArrayPath) -> Stored:
    try:
        with readable(path):
            check_regular(place.file)
            member = member_of(place.file, place.name or "")
    except KeyError:
        raise InputError(f"{path}: there is no such array in {place.file}") from None

    def numbers(start: int, shape: Shape) -> NDArray[np.generic]:
        dtype = np.dtype(member.header.dtype)
        with readable(path):
            data = member.read(start, math.prod(shape) * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(shape, order=member.header.order)

    return Stored(member.header, member.size, numbers)


def _check_shape(path: str | Path, shape: Shape, expected: Shape | None) -> None:
    found = _spell(shape)
    if 0 in shape:
        raise InputError(f"{path}: is empty, shape {shape}")
    if expected is not None:
        if fits(shape, expected):
            return
        raise InputError(f"{path}: shape {found}, expected {_spell(expected)}")
    if len(shape) == 4 and shape[0] == 1:
        # With four axes it could be a volume of one channel, but hardly ever is; taken so, an image network computes
        # garbage.
        raise InputError(
            f"{path}: shape {found} has a leading batch axis: save array[0]; if it is a volume of one channel, give "
            "shape=[w,h,d,1]"
        )
    if not 1 <= len(shape) <= 4:
        raise InputError(
            f"{path}: shape {found} has {len(shape)} axes; ncnn takes (w), (h, w), (c, h, w) or (c, d, h, w)"
        )


def fits(shape: Shape, expected: Shape) -> bool:
    """Return whether a shape is the expected one, of which 0 is any length."""
    return len(shape) == len(expected) and all(want in (0, have) for have, want in zip(shape, expected, strict=True))


def _spell(shape: Shape) -> str:
    return f"({', '.join(str(length) if length else 'any' for length in shape)})"


def _as_float32(path: str | Path, array: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.array(array, dtype=np.float32, order="C")
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise InputError(f"{path}: {bad} of {values.size} values are NaN, infinite or too large for float32")
    return values


def _as_token_ids(path: str | Path, array: NDArray[np.generic]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        ids = np.array(array, dtype=np.int32, order="C")
    if not np.array_equal(ids, array):
        raise InputError(
            f"{path}: feeds an Embed layer, which takes token ids, but holds values that are not int32 numbers"
        )
    return ids
