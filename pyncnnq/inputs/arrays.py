"""`.npy` files as model inputs: the array as the network takes it, without batch axis."""

from __future__ import annotations

import ast
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import InputError, UnreadableError

Shape = tuple[int, ...]

MOST_NUMBERS = 2**28
"""Of an array: 1 GB in float32, as an image of MOST_PIXELS with alpha has."""

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
"""By version of the format, how many bytes hold the length of the header."""
_LONGEST_HEADER = 1024
"""NumPy writes 118 bytes for plain numbers, some others pad to more."""
_REAL = re.compile(r"[<>=|]?(f(2|4|8|12|16)|[iu][1248]|b1)|[<>=|]?[?bBhHiIlLqQefdg]")
_LONGEST_TYPE = 100


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

    Numbers of other types are converted by value.  Pickled objects are never loaded.

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
class _Header:
    """What a .npy file says of its array, and where that begins; the type in words if it is not of real numbers."""

    shape: Shape
    fortran: bool
    dtype: np.dtype[np.generic] | str
    offset: int


def _read(path: str | Path, spec: ArraySpec) -> NDArray[np.generic]:
    """Return the array, mapped."""
    try:
        check_regular(path)
        with Path(path).open("rb") as file:
            header = _header(file)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UnreadableError(f"{path}: cannot read: {error.strerror or error}") from error
    except _DamagedError as error:
        raise UnreadableError(f"{path}: not a readable .npy file of numbers: {error}") from None
    shape, dtype = header.shape, header.dtype
    if isinstance(dtype, str):
        raise InputError(f"{path}: holds {dtype} data; expected real numbers")
    _check_shape(path, shape, spec.shape)
    count, available = math.prod(shape), size - header.offset
    if count * dtype.itemsize > available:
        missing = f"its header promises {count * dtype.itemsize:,} bytes of numbers, but {available:,} follow"
        raise UnreadableError(f"{path}: not a readable .npy file of numbers: {missing}")
    if count > MOST_NUMBERS:
        raise UnreadableError(f"{path}: shape {_spell(shape)} has {count:,} numbers, expected at most {MOST_NUMBERS:,}")
    order: Literal["F", "C"] = "F" if header.fortran else "C"
    try:
        return np.memmap(path, dtype, mode="r", offset=header.offset, shape=shape, order=order)
    except (OSError, ValueError) as error:  # it has changed since
        raise UnreadableError(f"{path}: cannot read: {error}") from error


class _DamagedError(Exception):
    """A file that is not as NumPy writes it; the text says what is wrong."""


def _header(file: BinaryIO) -> _Header:
    """Read the header as numpy/lib/format.py describes it.

    Not by NumPy, whose dtypes and expressions of damaged files can end the process.
    """
    start = file.read(len(_MAGIC) + 2)
    version = tuple(start[len(_MAGIC) :])
    if start[: len(_MAGIC)] != _MAGIC or version not in _LENGTH_BYTES:
        raise _DamagedError("it does not begin as one of version 1, 2 or 3")
    length = int.from_bytes(file.read(_LENGTH_BYTES[version]), "little")
    text = file.read(min(length, _LONGEST_HEADER + 1))
    if len(text) < length:
        problem = (
            "is cut off" if length <= _LONGEST_HEADER else f"has {length:,} bytes, expected at most {_LONGEST_HEADER:,}"
        )
        raise _DamagedError(f"its header {problem}")
    try:
        header = _evaluated(text.decode("latin1" if version < (3, 0) else "utf-8"))
        descr, fortran, shape = (header.pop(key) for key in ("descr", "fortran_order", "shape"))
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        raise _DamagedError("its header is no dict of descr, fortran_order and shape") from None
    if header or not isinstance(fortran, bool) or not _is_shape(shape):
        raise _DamagedError("its header is no dict of descr, fortran_order and shape")
    return _Header(shape, fortran, _dtype(descr), file.tell())


def _evaluated(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Python thinks of a damaged header
        return ast.literal_eval(re.sub(r"(?<=\d)L\b", "", text.strip()))  # Python 2 wrote long lengths so


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)


def _dtype(descr: object) -> np.dtype[np.generic] | str:
    """Return the type of real numbers; in words if it is another."""
    if not isinstance(descr, str):
        return "structured"
    if "O" in descr:
        raise _DamagedError("it holds pickled objects")
    if not _REAL.fullmatch(descr):
        return descr if descr.isascii() and descr.isprintable() and len(descr) < _LONGEST_TYPE else "other"
    try:
        return np.dtype(descr)
    except TypeError:  # float128, where the platform has none
        return descr


def _check_shape(path: str | Path, shape: Shape, expected: Shape | None) -> None:
    found = _spell(shape)
    if 0 in shape:
        raise InputError(f"{path}: is empty, shape {shape}")
    if expected is not None:
        if _fits(shape, expected):
            return
        hint = "; drop the leading batch axis: array[0]" if shape[:1] == (1,) and _fits(shape[1:], expected) else ""
        raise InputError(f"{path}: shape {found}, expected {_spell(expected)}{hint}")
    if len(shape) in (4, 5) and shape[0] == 1:
        # With four axes it could be a volume of one channel, but hardly ever is; taken so, an image network computes
        # garbage.
        way_out = "; if it is a volume of one channel, give shape=[w,h,d,1]" if len(shape) == 4 else ""
        raise InputError(f"{path}: shape {found} has a leading batch axis: save array[0]{way_out}")
    if not 1 <= len(shape) <= 4:
        raise InputError(
            f"{path}: shape {found} has {len(shape)} axes; ncnn takes (w), (h, w), (c, h, w) or (c, d, h, w)"
        )


def _fits(shape: Shape, expected: Shape) -> bool:
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
