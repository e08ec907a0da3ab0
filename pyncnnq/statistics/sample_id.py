"""What tells a sample from all others, on whatever machine its files lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.inputs.data import CalibrationData

_CHUNK = 2**20
_NOTHING = "0" * 64


@dataclass(frozen=True, order=True)
class SampleId:
    """A sample of a run.

    Attributes:
        listing: the SHA-256 digest of the names of all samples of the run, of which it may have taken a part.
        number: of the sample in the run.
        digest: the SHA-256 digest of its content, in hexadecimal digits; zeros for a file that is not there.
    """

    listing: str
    number: int
    digest: str


def sample_ids(data: CalibrationData, numbers: Sequence[int]) -> list[SampleId]:
    """Return what tells samples apart.

    Args:
        data: of the whole run.
        numbers: of its samples.
    """
    names = "\n".join("\t".join(path.name for path in sample) for sample in data.samples)
    listing = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
    return [SampleId(listing, number, _digest(data, number)) for number in numbers]


def _digest(data: CalibrationData, number: int) -> str:
    if data.is_synthetic:
        return hashlib.sha256(f"synthetic {number}".encode()).hexdigest()
    whole = hashlib.sha256()
    for path in data.samples[number]:
        array = ArrayPath.parse(path)
        content = _content(array.file)
        if content == _NOTHING:
            return content
        whole.update(f"{content} {array.name} {array.index}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


@lru_cache(maxsize=64)  # of stacks, and of files that stand for all samples
def _content(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError:  # the run says so of this sample
        return _NOTHING
    return digest.hexdigest()
