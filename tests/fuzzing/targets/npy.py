"""Arrays as inputs: `.npy` files."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np

from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import ArraySpec, load_npy

_SPECS = (ArraySpec(), ArraySpec((2, 3)), ArraySpec((0, 3)), ArraySpec(integers=True))


def seeds() -> list[bytes]:
    """Return arrays as NumPy writes them: of all types of numbers and of others, in both orders, by each version."""
    contents = []
    arrays = [
        np.arange(6).reshape(2, 3).astype(kind) for kind in ("<f4", ">f4", "f2", "f8", "g", "u1", "i8", "?", "c8")
    ]
    arrays += [np.asfortranarray(arrays[0]), np.zeros((1, 2, 2, 3)), np.zeros(3, "S2"), np.zeros(2, "i4,f4")]
    for array in arrays:
        for version in ((1, 0), (2, 0), (3, 0)):
            file = io.BytesIO()
            np.lib.format.write_array(file, array, version, allow_pickle=False)
            contents.append(file.getvalue())
    return contents


def read(data: bytes, folder: Path) -> None:
    """Load a file with this content, whatever is expected of it."""
    path = folder / "fuzzed.npy"
    path.write_bytes(data)
    for spec in _SPECS:
        with suppress(PyncnnqError):
            load_npy(path, spec)
