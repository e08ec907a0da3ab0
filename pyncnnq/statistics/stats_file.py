"""Files of statistics: `.npz` archives of a header in JSON and the numbers of each blob, the same bytes for the same
statistics.

docs/statistics.md describes the format.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.disk.plain_data import read_plain
from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.files import Kind, check_regular, write_files
from pyncnnq.inputs.npy_format import read_header
from pyncnnq.inputs.npz import readable
from pyncnnq.statistics.collected import Collected, Origin
from pyncnnq.statistics.sample_id import SampleId

FORMAT = 1
"""The version of the format; larger numbers are refused."""

_HEADER = "pyncnnq_statistics"
STATISTICS = Kind("file of statistics", lambda head: f"{_HEADER}.npy".encode() in head[:200])

_ARRAYS = {"limbs": ("<i8",), "channel_absmax": ("<f4",), "counts": ("<u4", "<u8"), "values": ("<f4",)}
"""The arrays of each blob, and their types as NumPy names them."""
_STATE = (
    *("count", "zeros", "min", "max", "channels_vary", "limbs"),
    *("channel_absmax", "binned", "octave", "counts", "values"),
)
"""The fields of the state of a `BlobStatistics`, in its order."""
_DIGEST = 32
_LONGEST_REASON = 100


@dataclass(frozen=True, kw_only=True)
class _Blob:
    """What the header says of a blob: its number of dimensions, if it has one, and fields of its state."""

    name: str
    dimensions: int | None
    count: int
    zeros: int
    min: float
    max: float
    channels_vary: bool
    binned: bool
    octave: int


@dataclass(frozen=True, kw_only=True)
class _Missed:
    """A sample that could not be read."""

    id: SampleId
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Header:
    """All but the arrays."""

    format: int
    origin: Origin
    listings: tuple[str, ...]
    missed: tuple[_Missed, ...]
    blobs: tuple[_Blob, ...]


def save_statistics(statistics: Collected, path: str | Path) -> None:
    """Write a file of statistics.

    Raises:
        PyncnnqError: it cannot be written.
    """
    write_files({Path(path): encode_statistics(statistics)})


def encode_statistics(statistics: Collected) -> bytes:
    """Return the content of a file of statistics."""
    listings = sorted({id.listing for id in statistics.taken})
    arrays: dict[str, NDArray[Any]] = {}
    blobs = []
    for number, (name, blob) in enumerate(statistics.blobs.items()):
        state = dict(zip(_STATE, blob.__getstate__(), strict=True))
        arrays |= {f"{number}_{key}": state.pop(key) for key in _ARRAYS}
        blobs.append(_Blob(name=name, dimensions=statistics.dimensions.get(name), **state))
    header = _Header(
        format=FORMAT,
        origin=statistics.origin,
        listings=tuple(listings),
        missed=tuple(_Missed(id=id, reason=reason) for id, reason in statistics.missed),
        blobs=tuple(blobs),
    )
    places = {listing: place for place, listing in enumerate(listings)}
    samples = {
        "sample_listings": np.array([places[id.listing] for id in statistics.taken], np.int32),
        "sample_numbers": np.array([id.number for id in statistics.taken], np.int64),
        "sample_digests": np.frombuffer(bytes.fromhex("".join(id.digest for id in statistics.taken)), np.uint8),
    }
    text = json.dumps(asdict(header), separators=(",", ":")).encode()
    file = io.BytesIO()
    np.savez(file, **{_HEADER: np.frombuffer(text, np.uint8)}, **samples, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def load_statistics(path: str | Path) -> Collected:
    """Read a file of statistics.

    Raises:
        InputError: a file that cannot be read, is damaged or no such file, or was written by a newer version.
    """
    path = Path(path)
    check_regular(path, InputError)
    try:
        with readable(path), zipfile.ZipFile(path) as archive:
            return _decoded(_Reader(path, archive))
    except UnreadableError as error:
        raise InputError(
            f"{path}: no file of statistics, or a damaged one: {error.message.partition(': ')[2]}"
        ) from None


@dataclass(frozen=True)
class _Reader:
    """An archive of arrays, each of which is read once, whole, and checked by the archive's own sums."""

    path: Path
    archive: zipfile.ZipFile

    def __post_init__(self) -> None:
        entries = self.archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > self.path.stat().st_size:
            raise self.error("its arrays are not stored as they are written")

    def array(self, name: str, *kinds: str) -> NDArray[Any]:
        """Return an array of one dimension and of a type that NumPy names so."""
        try:
            data = self.archive.read(f"{name}.npy")
        except KeyError:
            raise self.error(f"it has no array {name}") from None
        header = read_header(io.BytesIO(data))
        if isinstance(header.dtype, str) or header.dtype.str not in kinds or len(header.shape) != 1:
            raise self.error(f"its array {name} is of another type than expected")
        if header.shape[0] * header.dtype.itemsize != len(data) - header.offset:
            raise self.error(f"its array {name} is cut off")
        # A copy, since the state of statistics must be aligned.
        return np.frombuffer(data, header.dtype, offset=header.offset).copy()

    def error(self, reason: str) -> InputError:
        """Return the error of a file that is not as we write it."""
        return InputError(f"{self.path}: no file of statistics, or a damaged one: {reason}")


def _decoded(reader: _Reader) -> Collected:
    text = reader.array(_HEADER, "|u1").tobytes()
    try:
        content = json.loads(text)
        version = content["format"]
        if isinstance(version, int) and version > FORMAT:
            raise InputError(
                f"{reader.path}: was written by a newer pyncnnq (format {version}, this one reads {FORMAT}); "
                "pip install --upgrade pyncnnq"
            )
        header: _Header = read_plain(content, _Header)
        if not all(facts.keys() >= {"name", "kind"} for facts in header.origin.inputs):
            raise ValueError("origin.inputs has an input without name or kind")
        taken = _taken(reader, header.listings)
        blobs = {blob.name: _statistics(reader, place, blob) for place, blob in enumerate(header.blobs)}
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise reader.error(" ".join(str(error).split())[:_LONGEST_REASON]) from None
    return Collected(
        blobs=blobs,
        dimensions={blob.name: blob.dimensions for blob in header.blobs if blob.dimensions is not None},
        samples=len(taken),
        numbers=[id.number for id in taken],
        skipped=[missed.reason for missed in header.missed],
        origin=header.origin,
        taken=taken,
        missed=[(missed.id, missed.reason) for missed in header.missed],
        place=str(reader.path),
    )


def _taken(reader: _Reader, listings: Sequence[str]) -> list[SampleId]:
    places, numbers = reader.array("sample_listings", "<i4"), reader.array("sample_numbers", "<i8")
    digests = reader.array("sample_digests", "|u1")
    if places.size != numbers.size or digests.size != _DIGEST * numbers.size or (places.size and places.min() < 0):
        raise ValueError("the arrays of its samples do not fit together")
    rows = digests.reshape(-1, _DIGEST)
    return [
        SampleId(listings[place], number, row.tobytes().hex())
        for place, number, row in zip(places.tolist(), numbers.tolist(), rows, strict=True)
    ]


def _statistics(reader: _Reader, place: int, blob: _Blob) -> BlobStatistics:
    state = asdict(blob) | {key: reader.array(f"{place}_{key}", *types) for key, types in _ARRAYS.items()}
    made = BlobStatistics.__new__(BlobStatistics)
    made.__setstate__(tuple(state[key] for key in _STATE))
    return made
