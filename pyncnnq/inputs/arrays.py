"""`.npy` files as model inputs: the array as the network takes it, without batch axis."""

from __future__ import annotations

import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import InputError, UnreadableError

Shape = tuple[int, ...]


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
    array = _read(path)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: holds {array.dtype} data; expected real numbers")
    _check_shape(path, array.shape, spec.shape)
    return _as_token_ids(path, array) if spec.integers else _as_float32(path, array)


def check_regular(path: str | Path) -> None:
    """Make sure that it is a file: opening a pipe would wait for ever.

    Raises:
        UnreadableError: it is something else.
        OSError: it is not there.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise UnreadableError(f"{path}: is not a file")


def _read(path: str | Path) -> NDArray[np.generic]:
    try:
        check_regular(path)
        # Mapped, not read: a damaged header can claim any size, and NumPy would try to allocate it.
        array: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
        return array
    except OSError as error:
        raise UnreadableError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError, OverflowError, RecursionError) as error:
        # NumPy's header parser lets all of these out for damaged files.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableError(f"{path}: not a readable .npy file of numbers: {reason}") from error


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
    with np.errstate(over="ignore"):
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
