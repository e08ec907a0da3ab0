"""How a job travels to workers that may be on other machines: files by their content, all else as it is."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyncnnq.runtime.protocol import Job


@dataclass(frozen=True)
class Parcel:
    """A job without its samples.

    Attributes:
        job: the digest of the job itself.
        contents: by digest the job, and the content of each file that it names.
    """

    job: str
    contents: Mapping[str, bytes]


def pack(job: Job) -> Parcel:
    """Return a job as it travels; files that it names, such as those of models, are read now."""
    stream = io.BytesIO()
    packer = _Packer(stream)
    packer.dump(replace(job, samples=()))
    own = stream.getvalue()
    return Parcel(_digest(own), {_digest(own): own, **packer.contents})


def unpack(own: bytes, place: Callable[[str, str], Path]) -> Job:
    """Return a job that was packed.

    Args:
        own: the job itself.
        place: returns where the content of a digest lies, under the name that the file has elsewhere.
    """
    unpacker = _Unpacker(io.BytesIO(own))
    unpacker.place = place
    job: Job = unpacker.load()
    return job


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Packer(pickle.Pickler):
    """Writes for each path of a file its digest and its path."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.contents: dict[str, bytes] = {}

    def persistent_id(self, thing: Any) -> tuple[str, str] | None:
        if not isinstance(thing, Path) or not thing.is_file():
            return None
        content = thing.read_bytes()
        digest = _digest(content)
        self.contents[digest] = content
        return digest, str(thing)


class _Unpacker(pickle.Unpickler):
    place: Callable[[str, str], Path]

    def persistent_load(self, identity: Any) -> Path:
        return self.place(*identity)
