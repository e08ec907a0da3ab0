"""Profiles in files: JSON that a device writes and another machine reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyncnnq.disk.plain_data import read_plain
from pyncnnq.errors import PyncnnqError
from pyncnnq.files import Kind, read_file, write_files
from pyncnnq.latency.profile import Profile
from pyncnnq.model.model import StrPath

MARK = "pyncnnq_profile"
"""The first key of a profile; its value is the version of the format."""

FORMAT = 1
_MOST_BYTES = 1 << 26
_LONGEST = 24 * 3600 * 1000.0
"""Milliseconds that a layer may take: a day."""
_LARGEST_MARGIN = 1000

PROFILE = Kind("profile of a device", lambda head: f'"{MARK}"'.encode() in head)


def profile_facts(profile: Profile) -> dict[str, Any]:
    """Return a profile as plain data for JSON."""
    return {MARK: FORMAT, **asdict(profile)}


def profile_bytes(profile: Profile) -> bytes:
    """Return the file of a profile."""
    return f"{json.dumps(profile_facts(profile), indent=1, allow_nan=False)}\n".encode()


def save_profile(profile: Profile, path: StrPath) -> None:
    """Write a profile.

    Raises:
        PyncnnqError: the file cannot be written.
    """
    write_files({Path(path): profile_bytes(profile)})


def profile_of(device: Profile | StrPath | None) -> Profile | None:
    """Return the profile that a user gives, or that a file holds which the user names.

    Raises:
        PyncnnqError: see `load_profile`.
    """
    return device if device is None or isinstance(device, Profile) else load_profile(device)


def load_profile(path: StrPath) -> Profile:
    """Read a profile.

    Raises:
        PyncnnqError: a file that cannot be read, is none, is damaged, or was written by a newer version.
    """
    place = Path(path)
    data = read_file(place, PyncnnqError, most=_MOST_BYTES)
    try:
        content = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PyncnnqError(f"{place}: is no profile of a device: {error}; `pyncnnq profile` writes one") from None
    if not isinstance(content, dict) or MARK not in content:
        raise PyncnnqError(f"{place}: is no profile of a device: it has no key {MARK}; `pyncnnq profile` writes one")
    version = content.pop(MARK)
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        raise PyncnnqError(
            f"{place}: is a profile of format {version!r}, and this version of pyncnnq reads {FORMAT}; profile the "
            "model again with this version"
        )
    try:
        profile: Profile = read_plain(content, Profile)
        _check(profile)
    except ValueError as error:
        raise PyncnnqError(f"{place}: is a damaged profile: {error}; profile the model again") from None
    return profile


def _check(profile: Profile) -> None:
    """Make sure that the numbers make sense; ValueError where they do not."""
    names = [layer.name for layer in profile.layers]
    if len(set(names)) < len(names):
        raise ValueError("two layers have one name")
    runs_int8 = {layer.name for layer in profile.layers if layer.int8_ms is not None}
    for layer in profile.layers:
        times = (layer.float_ms, layer.int8_ms or 0.0, layer.quantize_ms, layer.dequantize_ms)
        if not 0 <= min(times) <= max(times) <= _LONGEST:
            raise ValueError(f"layer {layer.name!r} has a time below 0 or above a day")
        if layer.chained_to and not runs_int8.issuperset((layer.name, *layer.chained_to)):
            raise ValueError(f"layer {layer.name!r} is chained to {', '.join(layer.chained_to)}, not all of them int8")
    if not 0 <= profile.margin <= _LARGEST_MARGIN or profile.threads < 1:
        raise ValueError(
            f"margin {profile.margin:g} and {profile.threads} threads; expected 0 to {_LARGEST_MARGIN}, and 1 or more"
        )


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")
