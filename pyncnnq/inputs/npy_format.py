"""The `.npy` format: the header of an array, read without NumPy, whose dtypes and expressions of damaged files can end
the process."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Literal

import numpy as np

Shape = tuple[int, ...]

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
"""By version of the format, how many bytes hold the length of the header."""
_LONGEST_HEADER = 1024
"""NumPy writes 118 bytes for plain numbers, some others pad to more."""
_REAL = re.compile(r"[<>=|]?(f(2|4|8|12|16)|[iu][1248]|b1)|[<>=|]?[?bBhHiIlLqQefdg]")
_LONGEST_TYPE = 100


@dataclass(frozen=True)
class Header:
    """What a .npy file says of its array, and where that begins; the type in words if it is not of real numbers."""

    shape: Shape
    fortran: bool
    dtype: np.dtype[np.generic] | str
    offset: int

    @property
    def order(self) -> Literal["F", "C"]:
        """The order of the numbers, as NumPy names it."""
        return "F" if self.fortran else "C"


class DamagedError(Exception):
    """A file that is not as NumPy writes it; the text says what is wrong."""


def read_header(file: IO[bytes]) -> Header:
    """Read the header as numpy/lib/format.py describes it.

    Raises:
        DamagedError: it is not as NumPy writes it.
    """
    start = file.read(len(_MAGIC) + 2)
    version = tuple(start[len(_MAGIC) :])
    if start[: len(_MAGIC)] != _MAGIC or version not in _LENGTH_BYTES:
        raise DamagedError("it does not begin as one of version 1, 2 or 3")
    length = int.from_bytes(file.read(_LENGTH_BYTES[version]), "little")
    text = file.read(min(length, _LONGEST_HEADER + 1))
    if len(text) < length:
        problem = (
            "is cut off" if length <= _LONGEST_HEADER else f"has {length:,} bytes, expected at most {_LONGEST_HEADER:,}"
        )
        raise DamagedError(f"its header {problem}")
    shape, fortran, dtype = _fields(text, "latin1" if version < (3, 0) else "utf-8")
    return Header(shape, fortran, dtype, file.tell())


@lru_cache(maxsize=32)  # of many files of the same shape
def _fields(text: bytes, encoding: str) -> tuple[Shape, bool, np.dtype[np.generic] | str]:
    """Return shape, order and type of what a header says."""
    try:
        header = _evaluated(text.decode(encoding))
        descr, fortran, shape = (header.pop(key) for key in ("descr", "fortran_order", "shape"))
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        raise DamagedError("its header is no dict of descr, fortran_order and shape") from None
    if header or not isinstance(fortran, bool) or not _is_shape(shape):
        raise DamagedError("its header is no dict of descr, fortran_order and shape")
    return shape, fortran, _dtype(descr)


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
        raise DamagedError("it holds pickled objects")
    if not _REAL.fullmatch(descr):
        return descr if descr.isascii() and descr.isprintable() and len(descr) < _LONGEST_TYPE else "other"
    try:
        return np.dtype(descr)
    except TypeError:  # float128, where the platform has none
        return descr
