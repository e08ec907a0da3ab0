"""Weight arrays as a `.bin` file stores them (ncnn src/modelbin.cpp).

A `.bin` is the arrays of all layers one after another.  An array is *tagged* (4 bytes that say the element type, then
the data), *raw* (float32 without a tag) or *packed* (bytes without a tag: the k-bit rows of a block-quantized matrix).
Data is padded to a multiple of 4 bytes.  `pyncnnq/model/model.py` reads the whole file and names the layer in errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Storage = Literal["tagged", "raw", "packed"]
Format = Literal["float32", "float16", "bfloat16", "int8", "codebook", "packed"]

FLOAT32_TAG = 0
FLOAT16_TAG = 0x01306B47
BFLOAT16_TAG = 0x01348B83  # not in the published sources; found in, and tried on, the wheel 1.0.20261020
INT8_TAG = 0x000D4B38
SCALED_FLOAT32_TAG = 0x0002C056
CODEBOOK_ENTRIES = 256  # any other tag: float32 entries, then one uint8 index per element
CODEBOOK_TAG = 1

_TAG_FORMATS: dict[int, Format] = {
    FLOAT32_TAG: "float32",
    SCALED_FLOAT32_TAG: "float32",
    FLOAT16_TAG: "float16",
    BFLOAT16_TAG: "bfloat16",
    INT8_TAG: "int8",
}
_DTYPES: dict[Format, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int8": np.dtype("i1"),
    "codebook": np.dtype("u1"),
    "packed": np.dtype("u1"),
}


class TruncatedError(Exception):
    """The buffer ends inside an array; `odd_tag` is a tag that ncnn does not know and therefore takes for a
    codebook's."""

    def __init__(self, needed: int, left: int, odd_tag: int | None = None) -> None:
        odd = f" for the odd tag {odd_tag:#010x}" if odd_tag is not None else ""
        super().__init__(f"needs {needed} bytes{odd}, {left} are left")


@dataclass(frozen=True)
class Weight:
    """One array of a layer.

    Attributes:
        name: ncnn's name for it, such as `weight_data` or `bias_data`.
        data: flat elements: float32, float16, int8, uint16 (bfloat16 bits) or uint8 (codebook indices, packed bytes).
        storage: tagged, raw or packed.
        tag: the 4-byte tag of a tagged array, 0 otherwise.
        codebook: the 256 float32 entries of codebook-coded data.
        padding: the bytes after the data, kept so that writing gives the file that was read.
    """

    name: str
    data: NDArray[Any]
    storage: Storage
    tag: int = 0
    codebook: NDArray[np.float32] | None = None
    padding: bytes = b""

    def __post_init__(self) -> None:
        if self.data.ndim != 1 or self.data.dtype != _DTYPES[self.format]:
            found = f"{self.data.ndim}-dimensional {self.data.dtype}"
            raise ValueError(f"{self.name}: {self.format} data must be flat {_DTYPES[self.format]}, this is {found}")

    @classmethod
    def tagged_float32(cls, name: str, values: ArrayLike) -> Weight:
        return cls(name, _flat(values, "float32"), "tagged", FLOAT32_TAG)

    @classmethod
    def tagged_float16(cls, name: str, values: ArrayLike) -> Weight:
        """Round to float16; a magnitude over 65504 becomes infinite, as in ncnn's tools."""
        with np.errstate(over="ignore"):
            return cls(name, _flat(values, "float16"), "tagged", FLOAT16_TAG)

    @classmethod
    def tagged_int8(cls, name: str, values: ArrayLike) -> Weight:
        return cls(name, _flat(values, "int8"), "tagged", INT8_TAG)

    @classmethod
    def raw(cls, name: str, values: ArrayLike) -> Weight:
        """Return an array of float32 without a tag: biases, scales, slopes."""
        return cls(name, _flat(values, "float32"), "raw")

    @classmethod
    def packed(cls, name: str, values: ArrayLike) -> Weight:
        return cls(name, _flat(values, "packed"), "packed")

    @property
    def format(self) -> Format:
        """How an element is stored."""
        return storage_format(self.storage, self.tag)

    def float32(self) -> NDArray[np.float32]:
        """Return the elements as float32, flat; int8 elements are not divided by any scale.

        Raises:
            ValueError: packed k-bit data, which has no values without its layer's parameters.
        """
        if self.format == "packed":
            raise ValueError(f"{self.name}: packed {self.data.size} bytes are not one value each")
        if self.format == "bfloat16":
            return (self.data.astype(np.uint32) << 16).view(np.float32)
        if self.codebook is not None:
            return self.codebook[self.data.astype(np.intp)]
        return self.data.astype(np.float32, copy=False)

    def pieces(self) -> list[bytes | memoryview]:
        """Return the array as it stands in a `.bin`, in pieces to be joined."""
        pieces: list[bytes | memoryview] = []
        if self.storage == "tagged":
            pieces.append(self.tag.to_bytes(4, "little"))
        if self.codebook is not None:
            pieces.append(np.ascontiguousarray(self.codebook).data)
        pieces.append(np.ascontiguousarray(self.data).data)
        short = -self.data.nbytes % 4
        pieces.append(self.padding if len(self.padding) == short else bytes(short))
        return pieces


def storage_format(storage: Storage, tag: int) -> Format:
    """Return how an element is stored; for ncnn, any tag that it does not know is the old codebook."""
    if storage == "packed":
        return "packed"
    return "float32" if storage == "raw" else _TAG_FORMATS.get(tag, "codebook")


def read_weight(buffer: bytes, offset: int, name: str, size: int, storage: Storage) -> tuple[Weight, int]:
    """Read an array of `size` elements at `offset`; return the array and the offset after it.

    The data is a read-only view of `buffer`, not a copy.

    Raises:
        TruncatedError: the buffer ends first.
    """
    left = len(buffer) - offset
    header = 4 if storage == "tagged" else 0
    if left < header:
        raise TruncatedError(header, left)
    tag = int.from_bytes(buffer[offset : offset + header], "little")
    layout = storage_format(storage, tag)
    entries = CODEBOOK_ENTRIES if layout == "codebook" else 0
    nbytes = size * _DTYPES[layout].itemsize
    short = -nbytes % 4
    needed = header + 4 * entries + nbytes + short
    if left < needed:
        raise TruncatedError(needed, left, tag if layout == "codebook" else None)
    offset += header
    codebook = np.frombuffer(buffer, "<f4", entries, offset) if entries else None
    offset += 4 * entries
    data = np.frombuffer(buffer, _DTYPES[layout], size, offset)
    end = offset + nbytes + short
    return Weight(name, data, storage, tag, codebook, buffer[end - short : end]), end


def _flat(values: ArrayLike, layout: Format) -> NDArray[Any]:
    return np.ascontiguousarray(values, _DTYPES[layout]).ravel()
