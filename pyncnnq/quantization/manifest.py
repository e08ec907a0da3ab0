"""The manifest of an int8 model: how it was made and how it stores blobs; a file NAME.json beside the model's."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.errors import ModelError
from pyncnnq.files import read_file
from pyncnnq.model.pair import MARK, Digests
from pyncnnq.model.pair import manifest_path as manifest_path
from pyncnnq.quantization.storage import BlobStorage

FORMAT = 1
"""The version of the file format; larger numbers are refused."""

_MOST_BYTES = 1 << 24
_MOST_DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """How an int8 model was made and how it stores blobs.

    Attributes:
        techniques: the names of the techniques that were applied, in order.
        blobs: the storage of blobs by their names in the float model (after fusing); all other blobs are stored as they
            are.
        recipe: the recipe that chose the model; None if there was none.
        method: the calibration method of the table; None if it is not known.
        calibration: facts about the calibration, plain data for JSON: samples, preprocessing, what was tried, scales.
        fused: by the name of a layer that was fused or removed, what became of it.
        pyncnnq: the version that made the model.
    """

    techniques: tuple[str, ...] = ()
    blobs: Mapping[str, BlobStorage] = field(default_factory=dict)
    recipe: str | None = None
    method: str | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    fused: Mapping[str, str] = field(default_factory=dict)
    pyncnnq: str = field(default_factory=lambda: _version())

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain data for JSON."""
        blobs = {
            name: {"gain": storage.gain.tolist(), "offset": storage.offset.tolist()}
            for name, storage in self.blobs.items()
            if not storage.is_plain
        }
        return {
            "pyncnnq": self.pyncnnq,
            "recipe": self.recipe,
            "method": self.method,
            "techniques": list(self.techniques),
            "fused": dict(self.fused),
            "blobs": blobs,
            "calibration": dict(self.calibration),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], place: str) -> Manifest:
        """Return the manifest that plain data stands for.

        Args:
            data: what `to_json` returns; other keys are passed over.
            place: where it comes from, for messages.

        Raises:
            ModelError: a value that is missing or of another type; the message names it.
        """
        read = _Reader(data, place)
        blobs = {name: read.storage(name, stored) for name, stored in read.mapping("blobs").items()}
        return cls(
            techniques=read.texts("techniques"),
            blobs=blobs,
            recipe=read.text_or_none("recipe"),
            method=read.text_or_none("method"),
            calibration=read.mapping("calibration"),
            fused=read.mapping("fused"),
            pyncnnq=read.text_or_none("pyncnnq") or "",
        )


def _version() -> str:
    from importlib.metadata import version  # here, as it takes longer to import than all of this package

    return version("pyncnnq")


def encode_manifest(manifest: Manifest, param: bytes, bin: bytes) -> bytes:
    """Return the file of a manifest, with the digests of the two files of the model that it belongs to."""
    content = {MARK: FORMAT, "sha256": asdict(Digests.of(param, bin)), **manifest.to_json()}
    return f"{_pretty(content)}\n".encode()


def read_manifest(path: Path, param: bytes, bin: bytes) -> Manifest | None:
    """Read the manifest of a model.

    Args:
        path: its file.
        param, bin: the contents of the model's files.

    Returns:
        None where there is no file, the file is no manifest, or the digests are those of another model.

    Raises:
        ModelError: a file that cannot be read, is damaged, or was written by a newer version.
    """
    if not path.exists():
        return None
    text = read_file(path, ModelError).decode(errors="replace")
    if f'"{MARK}"' not in text:
        return None
    advice = "quantize the model again, or remove this file"
    try:
        if len(text) > _MOST_BYTES:
            raise ValueError("it is larger than any")
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if _is_deeper(content, _MOST_DEPTH):
            raise RecursionError
    except ValueError as error:
        raise ModelError(f"{path}: is a damaged manifest: {error}; {advice}") from None
    except RecursionError:
        raise ModelError(f"{path}: is a damaged manifest: it is nested too deeply; {advice}") from None
    if not isinstance(content, dict) or MARK not in content:
        return None
    number = content[MARK]
    if not isinstance(number, int) or number < 1:
        raise ModelError(f"{path}: is a damaged manifest: {MARK} is {_shown(number)}, expected a number; {advice}")
    if number > FORMAT:
        raise ModelError(
            f"{path}: is a manifest of format {_shown(number)}, and this version of pyncnnq reads {FORMAT}; take a "
            "newer one, or remove this file"
        )
    if content.get("sha256") != asdict(Digests.of(param, bin)):
        return None
    return Manifest.from_json(content, f"{path}: is a damaged manifest")


def _pretty(value: Any, indent: str = "") -> str:
    """Return JSON with a line for each entry; lists of numbers stand on one line."""
    inner = f"{indent}  "
    if isinstance(value, Mapping) and value:
        lines = [f"{inner}{json.dumps(name)}: {_pretty(entry, inner)}" for name, entry in value.items()]
        return "\n".join(["{", ",\n".join(lines), f"{indent}}}"])
    if isinstance(value, list | tuple) and any(not isinstance(entry, int | float) for entry in value):
        lines = [inner + _pretty(entry, inner) for entry in value]
        return "\n".join(["[", ",\n".join(lines), f"{indent}]"])
    return json.dumps(value, allow_nan=False)


def _finite(text: str) -> float:
    """Return the number that JSON spells; NaN and infinity, which it does not have, are refused."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{_shown(text)} is not a finite number")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether plain data has lists and objects in each other to more than a depth."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(entry, depth - 1) for entry in entries)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


class _Reader:
    """Takes values of the expected types out of plain data."""

    def __init__(self, data: Mapping[str, Any], place: str) -> None:
        self._data, self._place = data, place

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._data.get(key)
        return value if isinstance(value, dict) else self._fail(key, value, "an object")

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._data.get(key)
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        return self._fail(key, value, "a list of texts")  # type: ignore[no-any-return]

    def text_or_none(self, key: str) -> str | None:
        value = self._data.get(key)
        return value if value is None or isinstance(value, str) else self._fail(key, value, "a text or null")

    def storage(self, name: str, stored: Any) -> BlobStorage:
        key = f"blobs, {name}"
        if not isinstance(stored, dict):
            self._fail(key, stored, "an object")
        arrays = []
        for part in ("gain", "offset"):
            numbers = stored.get(part)
            if not _is_numbers(numbers):
                self._fail(f"{key}, {part}", numbers, "a list of numbers")
            arrays.append(np.array(numbers, np.float64))
        gain, offset = arrays
        if gain.size != offset.size and 1 not in (gain.size, offset.size):
            self._fail(key, f"{gain.size} gains and {offset.size} offsets", "as many of both")
        return BlobStorage(gain, offset)

    def _fail(self, key: str, value: Any, expected: str) -> Any:
        raise ModelError(
            f"{self._place}: {key} is {_shown(value)}, expected {expected}; "
            "quantize the model again, or remove this file"
        )


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_finite, value))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
