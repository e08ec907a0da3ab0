"""Profiles in files: JSON that a device writes and another machine reads."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

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
        profile: Profile = _read(content, Profile, "")
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


def _read(value: Any, kind: Any, place: str) -> Any:
    """Return plain data as what a type says; ValueError names the place of what is not."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _read(value, parts[0], place)
    if is_dataclass(kind):
        return _read_fields(_expect(value, dict, "an object", place), kind, place)
    if origin is tuple:
        entries = _expect(value, list, "a list", place)
        return tuple(_read(entry, parts[0], f"{place}[{number}]") for number, entry in enumerate(entries))
    if origin is Mapping:
        entries = _expect(value, dict, "an object", place)
        return {name: _read(entry, parts[1], f"{place}.{name}") for name, entry in entries.items()}
    if kind is float:
        number = _expect(value, (int, float), "a number", place)
        return float(number) if abs(number) <= sys.float_info.max else _fail(value, "a number", place)
    return _expect(value, kind, {int: "a whole number", bool: "true or false", str: "a text"}[kind], place)


def _read_fields(value: Mapping[str, Any], kind: Any, place: str) -> Any:
    hints, taken = get_type_hints(kind), {}
    for field in fields(kind):
        where = f"{place}.{field.name}".removeprefix(".")
        if field.name in value:
            taken[field.name] = _read(value[field.name], hints[field.name], where)
        elif field.default is MISSING:
            raise ValueError(f"{where} is missing")
    return kind(**taken)


def _expect(value: Any, kind: Any, words: str, place: str) -> Any:
    is_other_bool = isinstance(value, bool) and kind is not bool
    return _fail(value, words, place) if is_other_bool or not isinstance(value, kind) else value


def _fail(value: Any, words: str, place: str) -> Any:
    text = repr(value)
    raise ValueError(f"{place or 'it'} is {text if len(text) <= 60 else f'{text[:60]}...'}, expected {words}")


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")
