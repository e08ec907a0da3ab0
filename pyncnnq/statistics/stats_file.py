"""Files of statistics: `.npz` archives of a header in JSON and the numbers of each blob, the same bytes for the same
statistics.

docs/statistics.md describes the format.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.files import Kind, check_regular
from pyncnnq.inputs.npy_format import read_header
from pyncnnq.inputs.npz import readable
from pyncnnq.model.pair import Digests
from pyncnnq.statistics.collected import Collected, Origin
from pyncnnq.statistics.sample_id import SampleId

T = TypeVar("T")

FORMAT = 1
"""The version of the format; larger numbers are refused."""

_HEADER = "pyncnnq_statistics"
STATISTICS = Kind("file of statistics", lambda head: f"{_HEADER}.npy".encode() in head[:200])

_SCALARS = ("count", "zeros", "min", "max", "channels_vary", "binned", "octave")
_ARRAYS = ("limbs", "channel_absmax", "counts", "values")
_STATE = (
    "count",
    "zeros",
    "min",
    "max",
    "channels_vary",
    "limbs",
    "channel_absmax",
    "binned",
    "octave",
    "counts",
    "values",
)
"""The fields of the state of a `BlobStatistics`, in its order."""
_DIGEST = 32


def encode_statistics(statistics: Collected) -> bytes:
    """Return the content of a file of statistics."""
    listings = sorted({id.listing for id in statistics.taken})
    arrays: dict[str, NDArray[Any]] = {}
    blobs = []
    for number, (name, blob) in enumerate(statistics.blobs.items()):
        state = dict(zip(_STATE, blob.__getstate__(), strict=True))
        blobs.append(
            {"name": name, "dimensions": statistics.dimensions.get(name), **{key: state[key] for key in _SCALARS}}
        )
        arrays |= {f"{number}_{key}": state[key] for key in _ARRAYS}
    header = {
        "format": FORMAT,
        "origin": asdict(statistics.origin),
        "listings": listings,
        "missed": [[*asdict(id).values(), reason] for id, reason in statistics.missed],
        "blobs": blobs,
    }
    samples = {
        "sample_listings": np.array([listings.index(id.listing) for id in statistics.taken], np.int32),
        "sample_numbers": np.array([id.number for id in statistics.taken], np.int64),
        "sample_digests": np.frombuffer(bytes.fromhex("".join(id.digest for id in statistics.taken)), np.uint8),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
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
        header = json.loads(text)
        version = header["format"]
        if isinstance(version, int) and version > FORMAT:
            raise InputError(
                f"{reader.path}: was written by a newer pyncnnq (format {version}, this one reads {FORMAT}); "
                "pip install --upgrade pyncnnq"
            )
        origin = _origin(header["origin"])
        listings = [_typed(entry, str) for entry in _typed(header["listings"], list)]
        missed = [
            (SampleId(_typed(listing, str), _typed(number, int), _typed(digest, str)), _typed(reason, str))
            for listing, number, digest, reason in _typed(header["missed"], list)
        ]
        blobs = [_typed(blob, dict) for blob in _typed(header["blobs"], list)]
        taken = _taken(reader, listings)
        statistics = {_typed(blob["name"], str): _statistics(reader, place, blob) for place, blob in enumerate(blobs)}
        dimensions = {blob["name"]: _typed(blob["dimensions"], int) for blob in blobs if blob["dimensions"] is not None}
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise reader.error(f"its header or its numbers are not as they are written ({type(error).__name__})") from None
    return Collected(
        blobs=statistics,
        dimensions=dimensions,
        samples=len(taken),
        numbers=[id.number for id in taken],
        skipped=[reason for _, reason in missed],
        origin=origin,
        taken=taken,
        missed=missed,
        place=str(reader.path),
    )


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_typed(entry, str) for entry in _typed(value, list))


def _origin(stored: Mapping[str, Any]) -> Origin:
    inputs = tuple(_typed(entry, dict) for entry in _typed(stored["inputs"], list))
    if not all("name" in entry for entry in inputs):
        raise KeyError("name")
    model = stored["model"]
    return Origin(
        model=Digests(_typed(model["param"], str), _typed(model["bin"], str)),
        network=_typed(stored["network"], str),
        fused=_typed(stored["fused"], bool),
        inputs=inputs,
        comments=_texts(stored["comments"]),
        warnings=_texts(stored["warnings"]),
        ncnn=_typed(stored["ncnn"], str),
    )


def _taken(reader: _Reader, listings: list[str]) -> list[SampleId]:
    places, numbers = reader.array("sample_listings", "<i4"), reader.array("sample_numbers", "<i8")
    digests = reader.array("sample_digests", "|u1")
    if places.size != numbers.size or digests.size != _DIGEST * numbers.size or (places.size and places.min() < 0):
        raise ValueError("samples")
    rows = digests.reshape(-1, _DIGEST)
    return [
        SampleId(listings[place], number, row.tobytes().hex())
        for place, number, row in zip(places.tolist(), numbers.tolist(), rows, strict=True)
    ]


def _statistics(reader: _Reader, place: int, blob: Mapping[str, Any]) -> BlobStatistics:
    types = {"limbs": ("<i8",), "channel_absmax": ("<f4",), "counts": ("<u4", "<u8"), "values": ("<f4",)}
    state = {key: blob[key] for key in _SCALARS}
    state |= {key: reader.array(f"{place}_{key}", *types[key]) for key in _ARRAYS}
    made = BlobStatistics.__new__(BlobStatistics)
    made.__setstate__(tuple(state[key] for key in _STATE))
    return made
