"""The `key=value` words of a layer line, read as ncnn reads them (src/paramdict.cpp) and kept as they were written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

Scalar = int | float | str
Value = Scalar | tuple[int, ...] | tuple[float, ...]

KEY_LIMIT = 32  # NCNN_MAX_PARAM_COUNT
ARRAY_BASE = -23300  # key k as an array is written -23300-k
FLOAT_LIMIT = 2.0**128 - 2.0**103  # what rounds to infinity in float32

_WORD = re.compile(r'\s*(?:[^\s="]*="[^"]*"\S*|[^\s=]*=(?!")\S*|[^\s=]+)', re.ASCII)
_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


class Params:
    """The parameters of one layer, by small integer key.

    Words that are not touched keep their text and their place, whatever they are; `set` rewrites one word or appends
    one. As in ncnn, a key given twice has the value of its last word, an int serves as a float, and any other value of
    another type than the one asked for counts as absent: `1=6.0` is no int.
    """

    def __init__(self, text: str = "") -> None:
        """Parse the rest of a layer line, leading and trailing blanks included.

        Raises:
            ValueError: a word that ncnn would not read; the message names the word.
        """
        self._words: list[tuple[int, str]] = []
        self._values: dict[int, Value] = {}
        end = 0
        for match in _WORD.finditer(text):
            if match.start() != end:
                break
            key, value = _parse_word(match.group().strip())
            self._words.append((key, match.group()))
            self._values[key] = value
            end = match.end()
        self._tail = text[end:]
        if self._tail.strip():
            raise ValueError(f"{self._tail.strip()!r}: a quoted string is not closed")

    def __contains__(self, key: int) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"Params({self.text()!r})"

    def keys(self) -> list[int]:
        """Return the keys in the order of the line."""
        return list(dict.fromkeys(key for key, _ in self._words))

    def value(self, key: int) -> Value | None:
        """Return the value under `key`, of whatever type it is; None when there is none."""
        return self._values.get(key)

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
        return value if isinstance(value, tuple) else ()

    def set(self, key: int, value: Scalar) -> None:
        """Write `key=value`, in place of the key's word or at the end of the line; a float is rounded to float32."""
        self._put(key, f"{key}={_format(value)}")

    def set_array(self, key: int, values: Sequence[int] | Sequence[float]) -> None:
        """Write an array in the notation that every ncnn reads; it holds floats if any of the values is one."""
        items: Iterable[Scalar] = map(float, values) if any(isinstance(value, float) for value in values) else values
        self._put(key, ",".join([f"{ARRAY_BASE - key}={len(values)}", *map(_format, items)]))

    def remove(self, key: int) -> None:
        """Drop the key's word; nothing happens when there is none."""
        self._words = [word for word in self._words if word[0] != key]
        self._values.pop(key, None)

    def text(self) -> str:
        """Return the words as they stand on the line, with the blanks before and after them."""
        return "".join(text for _, text in self._words) + self._tail

    def copy(self) -> Params:
        """Return a copy that can be changed on its own."""
        copy = Params()
        copy._words, copy._values, copy._tail = list(self._words), dict(self._values), self._tail
        return copy

    def _put(self, key: int, word: str) -> None:
        _, self._values[key] = _parse_word(word)
        places = [place for place, (other, _) in enumerate(self._words) if other == key]
        if places:
            old = self._words[places[-1]][1]
            blanks = old[: len(old) - len(old.lstrip())]
            self._words[places[-1]] = (key, blanks + word)
        else:
            self._words.append((key, " " + word))


def _parse_word(word: str) -> tuple[int, Value]:
    key_text, equals, text = word.partition("=")
    if not equals or not _INT.fullmatch(key_text):
        raise ValueError(f"{word!r} is not key=value")
    key = int(key_text)
    is_array = key <= ARRAY_BASE
    if is_array:
        key = ARRAY_BASE - key
    if not 0 <= key < KEY_LIMIT:
        raise ValueError(f"{word!r}: key {key} is out of range, ncnn has keys 0 to {KEY_LIMIT - 1}")
    if is_array:
        length, *items = text.split(",")
        if not _INT.fullmatch(length) or int(length) != len(items):
            raise ValueError(f"{word!r}: the array says {length} elements and has {len(items)}")
        return key, _parse_array(word, items)
    if text[:1] == '"':
        if len(text) < 2 or text.find('"', 1) != len(text) - 1:
            raise ValueError(f"{word!r}: text after the closing quote")
        return key, text[1:-1]
    if text[:1].isalpha():
        return key, text
    if "," in text:
        return key, _parse_array(word, text.removesuffix(",").split(","))
    return key, _parse_number(word, text, is_float=_looks_float(text))


def _parse_array(word: str, items: list[str]) -> tuple[int, ...] | tuple[float, ...]:
    is_float = any(map(_looks_float, items))
    return tuple(_parse_number(word, item, is_float=is_float) for item in items)


def _looks_float(text: str) -> bool:
    return any(letter in text for letter in ".eE")


def _parse_number(word: str, text: str, *, is_float: bool) -> int | float:
    if is_float:
        if not _FLOAT.fullmatch(text) or abs(float(text)) >= FLOAT_LIMIT:
            raise ValueError(f"{word!r}: {text!r} is not a finite float32 number")
        return float(text)
    if not _INT.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise ValueError(f"{word!r}: {text!r} is not a 32-bit integer")
    return int(text)


def _format(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot stand in a .param file")
        # The shortest text of a float32: at most 15 characters, all that older versions of ncnn read.
        return str(np.float32(value))
    return str(int(value))
