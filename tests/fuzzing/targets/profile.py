"""Profiles of devices."""

from __future__ import annotations

import json
from pathlib import Path

from pyncnnq.latency.profile import LayerTime, Profile, WholeTime
from pyncnnq.latency.profile_file import load_profile, profile_bytes

_VALUES = [None, True, 0, -1, 1.5, "", "\ud800", [], {}, [[]], [None], {"": 0}, 10**4000, 1e308, -(10**300)]


def _sound() -> bytes:
    layers = (
        LayerTime(
            name="a",
            type="Convolution",
            shape=(8, 4, 4),
            float_ms=2.0,
            int8_ms=1.0,
            dequantize_ms=0.2,
            chained_to=("b",),
        ),
        LayerTime(name="b", type="Convolution", shape=(8, 4, 4), float_ms=1.0, int8_ms=1.5, quantize_ms=0.1),
        LayerTime(name="pool", type="Pooling", shape=(8,), float_ms=0.1),
    )
    wholes = (
        WholeTime(name="float", margin=None, in_float=2, ms=3.1, predicted_ms=3.0),
        WholeTime(name="int8", margin=0.0, in_float=0, ms=2.6, predicted_ms=2.5),
    )
    profile = Profile(
        cpu="a CPU",
        threads=1,
        ncnn="1.0",
        options={"use_packing_layout": True},
        inputs={"in0": (3, 4, 4)},
        layers=layers,
        explained={"float": 1.0, "int8": 0.98},
        wholes=wholes,
        margin=0.0,
        runs=9,
    )
    return profile_bytes(profile)


def seeds() -> list[bytes]:
    return [_sound()]


def hostile() -> list[bytes]:
    """Return profiles of all kinds of values, deep ones and long ones."""
    sound = json.loads(_sound())
    texts = [json.dumps({**sound, key: value}) for key in sound for value in _VALUES]
    layer = sound["layers"][0]
    texts += [json.dumps({**sound, "layers": [{**layer, key: value}]}) for key in layer for value in _VALUES]
    texts += [json.dumps({**sound, "layers": [layer] * 20_000}), "[" * 100_000, '{"a":' * 50_000, "9" * 10_000, "NaN"]
    return [text.encode(errors="replace") for text in texts]


def read(data: bytes, folder: Path) -> None:
    """Read a profile with this content, use it and write it."""
    path = folder / "fuzzed.json"
    path.write_bytes(data)
    profile = load_profile(path)
    profile.predicted(profile.in_float())
    profile_bytes(profile)
