"""The two files of a model as one: read together, and known to be of one model where a manifest beside them says so.

A manifest is NAME.json beside NAME.param (`pyncnnq.quantization.manifest`); it begins with the digests of both files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.disk.regular import open_regular
from pyncnnq.errors import ModelError
from pyncnnq.files import Kind

MARK = "pyncnnq_manifest"
"""The first key of a manifest."""

INT8 = "-int8"
"""How the names of int8 models end that are written beside a float model."""

_HEAD_BYTES = 1024
"""Of a manifest: the digests are in them."""

MANIFEST = Kind("manifest of an int8 model", lambda head: f'"{MARK}"'.encode() in head[:_HEAD_BYTES])

_HEAD = re.compile(
    rb'\{\s*"%b":\s*\d{1,9},\s*"sha256":\s*\{\s*"param":\s*"([0-9a-f]{64})",\s*"bin":\s*"([0-9a-f]{64})"\s*\}'
    % MARK.encode()
)


def manifest_path(param: Path) -> Path:
    """Return where the manifest of a model stands: beside its `.param`, as NAME.json."""
    return param.with_suffix(".json")


@dataclass(frozen=True)
class Digests:
    """The SHA-256 digests of the two files of a model, in hexadecimal digits."""

    param: str
    bin: str

    @classmethod
    def of(cls, param: bytes, bin: bytes) -> Digests:
        """Return those of the contents of two files."""
        import hashlib  # here, as `pyncnnq calibrate` has no use for it

        return cls(hashlib.sha256(param).hexdigest(), hashlib.sha256(bin).hexdigest())


def require_pair(param: Path, bin: Path, bin_bytes: bytes) -> None:
    """Make sure that both files of a model were written together, as far as a manifest beside them tells.

    A manifest that fits neither file belongs to another model.

    Args:
        param, bin: the files; `param` is read again where there is a manifest.
        bin_bytes: what was read from `bin`.

    Raises:
        ModelError: the manifest fits one of them alone.
    """
    path = manifest_path(param)
    expected = _stated_digests(path)
    if expected is None or not param.is_file():  # a pipe can be read but once
        return
    try:
        found = Digests.of(param.read_bytes(), bin_bytes)
    except OSError as error:
        raise ModelError(f"{param}: cannot read: {error.strerror}") from error
    if (found.param == expected.param) != (found.bin == expected.bin):
        other, fitting = (bin, param) if found.param == expected.param else (param, bin)
        raise ModelError(
            f"{other}: is not the file that was written together with {fitting}, as {path} shows; write the model "
            f"again, or remove {path.name} if {other.name} was edited on purpose"
        )


def _stated_digests(path: Path) -> Digests | None:
    """Return the digests at the beginning of a manifest; None where there is none."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            head = file.read(_HEAD_BYTES)
        except OSError:
            return None
    match = _HEAD.match(head)
    return Digests(*(digest.decode() for digest in match.groups())) if match else None
