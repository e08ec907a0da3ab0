"""The `key=value` words of a layer line, read as ncnn reads them (src/paramdict.cpp) and kept as they were written."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

Scalar = int | float | str
Stored: TypeAlias = "Scalar | array[int] | array[float]"

KEY_LIMIT = 32  # NCNN_MAX_PARAM_COUNT
ARRAY_BASE = -23300  # key k as an array is written -23300-k
FLOAT_LIMIT = 2.0**128 - 2.0**103  # what rounds to infinity in float32
MOST_STRING = 255  # bytes that ncnn reads of a string
MOST_DIGITS = 127  # characters that ncnn reads of a number

BLANKS = " \t\n\v\f\r"  # for C's scanf: a no-break space is part of a word

WORD = re.compile(r"\S+", re.ASCII)

# Possessive, since no word gets longer or shorter by looking at it again.
_WORD = re.compile(r'\s*+(?:[^\s="]*+="[^"]*+"\S*+|[^\s=]*+=(?!")\S*+|[^\s=]++)', re.ASCII)
_INT = re.compile(r"[+-]?[0-9]++", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?", re.ASCII)
_NOTHING: Mapping[int, Stored] = {}


class Params:
    """The parameters of one layer, by small integer key.

    Words that are not touched keep their text and their place, whatever they are; `set` rewrites one word or appends
    one. As in ncnn, a key given twice has the value of its last word, an int serves as a float, and any other value of
    another type than the one asked for counts as absent: `1=6.0` is no int.
    """

    __slots__ = ("_text", "_values")

    def __init__(self, text: str = "") -> None:
        """Parse the rest of a layer line, leading and trailing blanks included.

        Raises:
            ValueError: a word that ncnn would not read; the message names the word.
        """
        words, tail = _split(text)
        self._text = text
        # Replaced, never changed: copies share it, and so do lines without words.
        self._values = dict(_parse_word(word.strip(BLANKS)) for word in words) if words else _NOTHING
        if tail.strip(BLANKS):
            raise ValueError(f"{_shown(tail.strip(BLANKS))}: a quoted string is not closed")

    def __contains__(self, key: int) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"Params({self.text()!r})"

    def keys(self) -> list[int]:
        """Return the keys in the order of the line."""
        return list(self._values)

    def value(self, key: int) -> Scalar | tuple[int, ...] | tuple[float, ...] | None:
        """Return the value under `key`, of whatever type it is; None when there is none."""
        value = self._values.get(key)
        return tuple(value) if isinstance(value, array) else value

    def get_int(self, key: int, default: int) -> int:
        value = self._values.get(key)
        return value if isinstance(value, int) else default

    def get_float(self, key: int, default: float) -> float:
        value = self._values.get(key)
        return float(value) if isinstance(value, int | float) else default

    def get_str(self, key: int, default: str) -> str:
        value = self._values.get(key)
        return value if isinstance(value, str) else default

    def get_array(self, key: int) -> tuple[int, ...] | tuple[float, ...]:
        """Return the array under `key`; empty when there is none."""
        value = self._values.get(key)
        return tuple(value) if isinstance(value, array) else ()

    def set(self, key: int, value: Scalar) -> None:
        """Write `key=value`, in place of the key's word or at the end of the line; a float is rounded to float32."""
        self._put(key, f"{key}={_format(value)}")

    def set_array(self, key: int, values: Sequence[int] | Sequence[float]) -> None:
        """Write an array in the notation that every ncnn reads; it holds floats if any of the values is one."""
        items: Iterable[Scalar] = map(float, values) if any(isinstance(value, float) for value in values) else values
        self._put(key, ",".join([f"{ARRAY_BASE - key}={len(values)}", *map(_format, items)]))

    def remove(self, key: int) -> None:
        """Drop the key's word; nothing happens when there is none."""
        if key in self._values:
            self._values = {other: value for other, value in self._values.items() if other != key}
            words, tail = _split(self._text)
            self._text = "".join([*(word for word in words if _key(word) != key), tail])

    def text(self) -> str:
        """Return the words as they stand on the line, with the blanks before and after them."""
        return self._text

    def copy(self) -> Params:
        """Return a copy that can be changed on its own."""
        copy = Params.__new__(Params)  # nothing is parsed again
        copy._text, copy._values = self._text, self._values
        return copy

    def _put(self, key: int, word: str) -> None:
        self._values = {**self._values, key: _parse_word(word)[1]}
        words, tail = _split(self._text)
        places = [place for place, other in enumerate(words) if _key(other) == key]
        if places:
            old = words[places[-1]]
            words[places[-1]] = old[: len(old) - len(old.lstrip(BLANKS))] + word
        else:
            words.append(" " + word)
        self._text = "".join([*words, tail])


def _split(text: str) -> tuple[list[str], str]:
    """Return the words of a line with the blanks before them, and what follows the last one."""
    words, end = [], 0
    while match := _WORD.match(text, end):
        words.append(match.group())
        end = match.end()
    return words, text[end:]


def _key(word: str) -> int:
    """Return the key of a word that has been parsed."""
    key = int(word.partition("=")[0])
    return ARRAY_BASE - key if key <= ARRAY_BASE else key


def _parse_word(word: str) -> tuple[int, Stored]:
    key_text, equals, text = word.partition("=")
    if not equals or not _INT.fullmatch(key_text):
        raise ValueError(f"{_shown(word)} is not key=value")
    key = _small(key_text)
    is_array = key <= ARRAY_BASE
    if is_array:
        key = ARRAY_BASE - key
    if not 0 <= key < KEY_LIMIT:
        raise ValueError(f"{_shown(word)}: key {_shown(key_text)} is out of range, ncnn has keys 0 to {KEY_LIMIT - 1}")
    if is_array:
        length, *items = text.split(",")
        if not _INT.fullmatch(length) or _small(length) != len(items):
            raise ValueError(f"{_shown(word)}: the array says {_shown(length)} elements and has {len(items)}")
        return key, _parse_array(word, items)
    if text[:1] == '"':
        if len(text) < 2 or text.find('"', 1) != len(text) - 1:
            raise ValueError(f"{_shown(word)}: text after the closing quote")
        return key, _checked_string(word, text[1:-1])
    if text[:1].isalpha():
        return key, _checked_string(word, text)
    if "," in text:
        return key, _parse_array(word, text.removesuffix(",").split(","))
    return key, _parse_number(word, text, is_float=_looks_float(text))


def _checked_string(word: str, text: str) -> str:
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > MOST_STRING:
        raise ValueError(f"{_shown(word)}: a string of {size} bytes, ncnn reads no more than {MOST_STRING}")
    return text


def _parse_array(word: str, items: list[str]) -> array[int] | array[float]:
    is_float = any(map(_looks_float, items))
    return array("d" if is_float else "i", (_parse_number(word, item, is_float=is_float) for item in items))


def _looks_float(text: str) -> bool:
    return any(letter in text for letter in ".eE")


def _parse_number(word: str, text: str, *, is_float: bool) -> int | float:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"{_shown(word)}: a number of {len(text)} characters, ncnn reads no more than {MOST_DIGITS}")
    if is_float:
        if not _FLOAT.fullmatch(text) or abs(float(text)) >= FLOAT_LIMIT:
            raise ValueError(f"{_shown(word)}: {text!r} is not a finite float32 number")
        return float(text)
    if not _INT.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise ValueError(f"{_shown(word)}: {text!r} is not a 32-bit integer")
    return int(text)


def _small(text: str) -> int:
    """Return an integer; where it has more digits than ncnn reads, one that is too large for everything."""
    return int(text) if len(text) <= MOST_DIGITS else 2**63


def _shown(text: str) -> str:
    """Return a text in quotes, and of a long one the beginning."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."


def _format(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot stand in a .param file")
        # The shortest text of a float32: at most 15 characters, all that older versions of ncnn read.
        return str(np.float32(value))
    return str(int(value))
