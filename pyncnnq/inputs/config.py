"""Configuration files (TOML): options in a file, with a table `[[input]]` for each model input."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.files import read_file
from pyncnnq.inputs.options import InputOptions, Settings, read_values
from pyncnnq.inputs.preprocessing import parse_pixel, parse_resize, parse_size
from pyncnnq.inputs.presets import find_preset

_MOST_BYTES = 1 << 18
_MOST_DOTS = 20
_MOST_NUMBER = 1 << 31
# tomllib's time and memory grow with the square of the parts of a key. What may hold dots besides keys goes first.
_TEXTS = re.compile(r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+'|\#[^\n]*+""", re.DOTALL)
_PART = re.compile(r"[=,\[\]{}\n]")


def read_config(path: str | Path) -> Settings:
    """Read a configuration file.

    Keys: `method`, `samples`, `workers`, `weight-bits`, `strict`, and in each `[[input]]` `preset`, `size`, `mean`,
    `norm`, `pixel`, `resize`, `data` (a path or several, relative to the file's folder or else to the working
    directory) and `shape` (of `.npy` arrays, [w, h, c] as in ncnn2table).  One `[[input]]` applies to all inputs.

    Raises:
        InputError: unreadable, not TOML, an unknown key, or a value of the wrong type; with file and key.
    """
    path = Path(path)
    data = read_file(path, InputError, most=_MOST_BYTES)
    try:
        text = data.decode("utf-8-sig")
        if any(part.count(".") > _MOST_DOTS for part in _PART.split(_TEXTS.sub("''", text))):
            raise ValueError(f"a key of more than {_MOST_DOTS} parts")
        document = tomllib.loads(text)
    except ValueError as error:  # numbers of thousands of digits too
        raise InputError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    tables = document.pop("input", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: input: expected a table for each model input, headed [[input]]")
    run = _convert(document, RUN_KEYS, str(path), "")
    rows = tuple(_read_input(table, path, number) for number, table in enumerate(tables, start=1))
    return Settings(inputs=rows, **{key.replace("-", "_"): value for key, value in run.items()})


def _read_input(table: Mapping[str, Any], path: Path, number: int) -> InputOptions:
    values = _convert(table, INPUT_KEYS, str(path), f"[[input]] {number}: ")
    if "data" in values:
        beside = (os.path.join(path.parent, item) for item in values["data"])  # noqa: PTH118 - there may be many
        values["data"] = tuple(
            Path(near if os.path.exists(near) else item)  # noqa: PTH110
            for near, item in zip(beside, values["data"], strict=True)
        )
    return InputOptions(**values)


def _convert(
    table: Mapping[str, Any], keys: Mapping[str, Callable[[Any], Any]], file: str, where: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            elsewhere = "; it belongs under [[input]]" if key in INPUT_KEYS else ""
            raise InputError(f"{file}: {where}unknown key {_shown(key)}{elsewhere}; known here: {', '.join(keys)}")
        try:
            values[key] = keys[key](value)
        except _UnexpectedError as error:
            raise InputError(f"{file}: {where}{key}: found {_shown(value)}, expected {error}") from None
        except InputError as error:
            raise InputError(f"{file}: {where}{error}") from None
    return values


def _shown(value: Any) -> str:
    """Return a value as it is written in Python, and of a long one the beginning."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}..."


class _UnexpectedError(Exception):
    """A value of the wrong type; the message says what was expected."""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _UnexpectedError("a string")
    return value


def _positive(value: Any) -> int:
    # bool is an int to Python, and `workers = true` is a slip.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _UnexpectedError("a whole number of at least 1")
    if value >= _MOST_NUMBER:
        raise _UnexpectedError("a smaller number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnexpectedError("true or false")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(value: Any, name: str) -> tuple[float, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(_is_number(item) or isinstance(item, str) for item in items):
        raise _UnexpectedError('numbers, such as [104, 117, 123] or "1/255"')
    try:
        return read_values(value, name)
    except OverflowError:
        raise _UnexpectedError("numbers that are not so large") from None
    except (ValueError, ZeroDivisionError):
        raise _UnexpectedError('numbers, or fractions such as "1/58.395"') from None


def _size(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return parse_size(value)
    sides = value if isinstance(value, list) else [value, value]
    return _lengths(sides, range(2, 3), "[640, 480] (width, height), or 640 for a square")


def _lengths(value: Any, counts: range, example: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < _MOST_NUMBER for item in value
    )
    if not whole or len(value) not in counts:
        raise _UnexpectedError(f"whole numbers such as {example}")
    return tuple(value)


def _preset(value: Any) -> str:
    find_preset(_string(value))
    return _string(value)


def _data(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        raise _UnexpectedError("a path or a list of paths")
    return tuple(items)


RUN_KEYS: dict[str, Callable[[Any], Any]] = {
    "method": _string,
    "samples": _positive,
    "workers": _positive,
    "weight-bits": _string,
    "strict": _boolean,
}
INPUT_KEYS: dict[str, Callable[[Any], Any]] = {
    "preset": _preset,
    "size": _size,
    "mean": lambda value: _numbers(value, "mean"),
    "norm": lambda value: _numbers(value, "norm"),
    "pixel": lambda value: parse_pixel(_string(value)),
    "resize": lambda value: parse_resize(_string(value)),
    "shape": lambda value: _lengths(value, range(1, 5), "[224, 224, 3] (w, h, c)"),
    "data": _data,
}
