"""Manifests of int8 models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pyncnnq.quantization.manifest import Manifest, encode_manifest, read_manifest
from pyncnnq.quantization.storage import BlobStorage

_PARAM, _BIN = b"param", b"bin"


def seeds() -> list[bytes]:
    blobs = {"a": BlobStorage(np.array([1.0, -2.5]), np.array([0.0])), "b": BlobStorage(np.array([3.0]), np.zeros(1))}
    manifests = [
        Manifest(pyncnnq="1"),
        Manifest(techniques=("x",), blobs=blobs, recipe="best", method="kl", calibration={"samples": 3}, pyncnnq="1"),
        Manifest(fused={"a": "b"}, calibration={"a": [1, {"b": None}], "c": True}, pyncnnq="1"),
    ]
    files = [encode_manifest(manifest, _PARAM, _BIN) for manifest in manifests]
    return [*files, b'{"pyncnnq_manifest": 2}', b"{}"]


def hostile() -> list[bytes]:
    """Return files that are deep, long or odd in each of the ways that JSON has."""
    sound = json.loads(seeds()[1])
    values = [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "x",
        [],
        {},
        [[]],
        [None],
        {"": 0},
        "\ud800",
        "\0",
        10**4000,
        1e308,
        [1e308],
        -(10**300),
    ]
    texts = [json.dumps({**sound, key: value}) for key in sound for value in values]
    for part in ("gain", "offset"):
        for value in [*values, [1], [1, 2, 3], [True], [10**400], [float("nan")], [float("inf")], [1] * 100_000]:
            blob = {**sound["blobs"]["a"], part: value}
            texts.append(json.dumps({**sound, "blobs": {"a": blob}}))
    texts.append(
        json.dumps({**sound, "blobs": {f"b{number}": {"gain": [1], "offset": [0]} for number in range(30_000)}})
    )
    head = '{"pyncnnq_manifest": 1, "x": '
    for count in (500, 5000, 100_000):
        texts += [head + "[" * count + "]" * count + "}", head + '{"a":' * count + "1" + "}" * count + "}"]
        texts += [
            head + "[" * count,
            head + "9" * count + "}",
            head + "0." + "9" * count + "}",
            head + '"' + "\\u0041" * count,
        ]
        texts += [
            head + "1" + word * count + "}" for word in (" ", "\n", "\r", "\t", ",", "e1", "\x0b", "\ufeff", "\0")
        ]
    numbers = ("9" * 5000, "1e999", "NaN", "Infinity", "1_0", "\uff11", "01", "true", "1.0", "-0")
    texts += [f'{{"pyncnnq_manifest": {number}}}' for number in numbers]
    files = [text.encode("utf-8", "surrogatepass") for text in texts]
    files += [
        mark + seeds()[1].decode().encode(code) for mark in (b"", b"\xef\xbb\xbf") for code in ("utf-8", "utf-16")
    ]
    return [*files, b"", b"\0", b"\xff", b'"pyncnnq_manifest"', b'["pyncnnq_manifest"]']


def read(data: bytes, folder: Path) -> None:
    """Read a manifest with this content."""
    path = folder / "fuzzed.json"
    path.write_bytes(data)
    manifest = read_manifest(path, _PARAM, _BIN)
    if manifest is not None:
        encode_manifest(manifest, _PARAM, _BIN)
