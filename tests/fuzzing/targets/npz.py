"""Archives of arrays: `.npz` files, of which every array is a sample."""

from __future__ import annotations

import io
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import ArraySpec, find_samples, load_npy, pair_samples
from pyncnnq.inputs.unpacking import share_by_name, unpack

_SPECS = (ArraySpec(), ArraySpec((2, 3)), ArraySpec(integers=True))
_MOST_LOADED = 20


def seeds() -> list[bytes]:
    """Return archives as NumPy writes them, stored and compressed, and of other programs."""
    contents = []
    array = np.arange(24, dtype="<f4").reshape(4, 2, 3)
    several = {"in0": array, "in1": np.asfortranarray(array), "a/b": array[0], "text": np.zeros(2, "S3")}
    for save in (np.savez, np.savez_compressed):
        for arrays in (several, {"in0": array, "in1": array[0]}, {}):
            file = io.BytesIO()
            save(file, **arrays)  # type: ignore[arg-type]
            contents.append(file.getvalue())
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("in0.npy", contents[0])
            archive.writestr("readme.txt", b"")
        contents.append(file.getvalue())
    return contents


def hostile() -> list[bytes]:
    """Return archives of many arrays, of one that is large when it is unpacked, and of names of all kinds."""
    contents = []
    header = b"\x93NUMPY\x01\x00" + (70).to_bytes(2, "little")
    names = ["", "a" * 60_000, "../a", "/a", "a\0b", "a\nb", "\x1b[2J", "a[3]", "a][0", "%2F", ".", "ä", "\U0001f600"]
    for many in ([f"{number}.npy" for number in range(2000)], [f"{name}.npy" for name in names], ["x.npy"] * 3):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings(action="ignore"):  # of equal names
            for name in many:
                archive.writestr(zipfile.ZipInfo(name), header)
        contents.append(file.getvalue())
    for shape in ((2**26, 2, 3), (2**40,), (2**60, 2, 3), (1, 1, 2**26)):
        array = io.BytesIO()
        np.lib.format.write_array_header_1_0(array, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", array.getvalue() + bytes(2**24))
        contents.append(file.getvalue())
    return [*contents, b"", b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 18, contents[1] * 2]


def read(data: bytes, folder: Path) -> None:
    """Unpack a file with this content, and load what it holds, whatever is expected of it."""
    path = folder / "fuzzed.npz"
    path.write_bytes(data)
    for spec in _SPECS:
        with suppress(PyncnnqError):
            for array in unpack(find_samples(path), spec).paths[:_MOST_LOADED]:
                with suppress(PyncnnqError):
                    load_npy(array, spec)
    with suppress(PyncnnqError):
        pair_samples([unpack(each, _SPECS[0]) for each in share_by_name([find_samples(path)], ["in0", "in1"])])
