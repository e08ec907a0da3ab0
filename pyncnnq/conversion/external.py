"""The files in which an ONNX model keeps weights that are not in its own."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyncnnq.disk.regular import open_regular

# In protobuf's encoding: a key-value pair whose key is "location", and the length of the value, 7 bits in each byte.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]{0,2}[\x00-\x7f])")


def source_files(source: Any) -> list[Path]:
    """Return the files that a model to convert is read from; none for one in memory."""
    return [Path(source), *external_files(Path(source))] if isinstance(source, str | Path) else []


def external_files(source: Path) -> list[Path]:
    """Return the files that an ONNX model names beside itself, whether they are there or not; none for what is no
    model."""
    descriptor = open_regular(source)
    if descriptor is None:
        return []
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
            names = dict.fromkeys(_locations(content))
    except (OSError, ValueError):  # an empty file, for one; whoever reads the model says what is wrong with it
        return []
    finally:
        os.close(descriptor)
    return [source.parent / os.fsdecode(name) for name in names]


def _locations(content: mmap.mmap) -> Iterator[bytes]:
    match = _LOCATION.search(content)
    while match:
        end = match.end() + _number(match.group(1))
        yield content[match.end() : end]
        match = _LOCATION.search(content, end)  # behind the name: all names together are no longer than the file


def _number(digits: bytes) -> int:
    return sum((digit & 0x7F) << 7 * place for place, digit in enumerate(digits))
