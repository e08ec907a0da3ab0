"""Plain data of JSON files, checked against the types that it is read as."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints


def read_plain(value: Any, kind: Any, place: str = "") -> Any:
    """Return plain data of JSON as what a type says: a dataclass, a tuple, a mapping, a number, a text, or one of these
    or None.

    Args:
        value: the data; keys that a dataclass has no field for are passed over.
        kind: the type.
        place: of the data, for messages.

    Raises:
        ValueError: something is of another type or missing; the message names its place.
    """
    if kind is Any:
        return value
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else read_plain(value, parts[0], place)
    if is_dataclass(kind):
        return _read_fields(_expect(value, dict, "an object", place), kind, place)
    if origin is tuple:
        entries = _expect(value, list, "a list", place)
        return tuple(read_plain(entry, parts[0], f"{place}[{number}]") for number, entry in enumerate(entries))
    if origin is Mapping:
        entries = _expect(value, dict, "an object", place)
        return {name: read_plain(entry, parts[1], f"{place}.{name}") for name, entry in entries.items()}
    if kind is float:
        number = _expect(value, (int, float), "a number", place)
        return float(number) if abs(number) <= sys.float_info.max else _fail(value, "a number", place)
    return _expect(value, kind, {int: "a whole number", bool: "true or false", str: "a text"}[kind], place)


def _read_fields(value: Mapping[str, Any], kind: Any, place: str) -> Any:
    hints, taken = get_type_hints(kind), {}
    for field in fields(kind):
        where = f"{place}.{field.name}".removeprefix(".")
        if field.name in value:
            taken[field.name] = read_plain(value[field.name], hints[field.name], where)
        elif field.default is MISSING:
            raise ValueError(f"{where} is missing")
    return kind(**taken)


def _expect(value: Any, kind: Any, words: str, place: str) -> Any:
    is_other_bool = isinstance(value, bool) and kind is not bool
    return _fail(value, words, place) if is_other_bool or not isinstance(value, kind) else value


def _fail(value: Any, words: str, place: str) -> Any:
    text = repr(value)
    raise ValueError(f"{place or 'it'} is {text if len(text) <= 60 else f'{text[:60]}...'}, expected {words}")
