"""Files of statistics."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from pyncnnq._core import BlobStatistics
from pyncnnq.model.pair import Digests
from pyncnnq.statistics.collected import Collected, Origin, merge_statistics
from pyncnnq.statistics.sample_id import SampleId
from pyncnnq.statistics.stats_file import encode_statistics, load_statistics


@cache
def _sound(values: int) -> bytes:
    blobs = {"a": BlobStatistics(), "b": BlobStatistics()}
    for name, blob in blobs.items():
        numbers = np.linspace(-3, len(name), values, dtype=np.float32)
        blob.observe(numbers, 1, values, 1, 1, 1, values, 1)
    origin = Origin(
        model=Digests("0" * 64, "1" * 64),
        network="2" * 64,
        fused=True,
        inputs=({"name": "in0", "kind": "image", "mean": [0.0]},),
        comments=("input in0: RGB",),
        warnings=(),
        ncnn="1.0",
    )
    ids = [SampleId("3" * 64, number, f"{number:064x}") for number in range(3)]
    statistics = Collected(
        blobs=blobs, dimensions={"a": 1}, origin=origin, taken=ids[:2], missed=[(ids[2], "unreadable")]
    )
    return encode_statistics(statistics)


def seeds() -> list[bytes]:
    return [_sound(40), _sound(200_000)]


def hostile() -> list[bytes]:
    """Return headers of all kinds, and archives that are larger than they seem."""
    with zipfile.ZipFile(io.BytesIO(_sound(40))) as archive:
        arrays = {name.removesuffix(".npy"): np.load(archive.open(name)) for name in archive.namelist()}
    header = json.loads(arrays["pyncnnq_statistics"].tobytes())
    texts = [json.dumps({**header, key: value}) for key in header for value in (None, [], {}, [[]], 9**99, "x", [None])]
    texts += ["[" * 100_000, "{}", "[]", "1", "9" * 10_000, '{"format": NaN}', '{"a":' * 5000, "\ud800"]
    contents = []
    for save in (np.savez, np.savez_compressed):
        for text in texts:
            file = io.BytesIO()
            encoded = np.frombuffer(text.encode(errors="replace"), np.uint8)
            save(file, **{**arrays, "pyncnnq_statistics": encoded})  # type: ignore[arg-type]
            contents.append(file.getvalue())
    return [*contents, b"", _sound(40)[:-30], _sound(40) * 2]


def read(data: bytes, folder: Path) -> None:
    """Read a file with this content, write it, and merge it with a sound one."""
    path = folder / "fuzzed.stats"
    path.write_bytes(data)
    encode_statistics(load_statistics(path))
    sound = folder / "sound.stats"
    sound.write_bytes(_sound(40))
    merge_statistics(map(load_statistics, (sound, path)))
