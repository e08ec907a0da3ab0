"""Values of the expected types, out of the objects of a document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.preprocessing import CHANNELS, MOST_PIXELS, Pixel, Size, Values

_SHOWN = 60
_MOST_LENGTH = MOST_PIXELS


class Fields:
    """The fields of an object; a field that is null is as good as missing."""

    def __init__(self, data: Any, place: str = "") -> None:
        """Take an object of a document.

        Args:
            data: the object.
            place: where it stands in the document, for messages.

        Raises:
            InputError: it is no object.
        """
        self._place = place
        self._data = data if isinstance(data, Mapping) else self._fail("", data, "an object")

    def __contains__(self, key: str) -> bool:
        return self._data.get(key) is not None

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        return value if isinstance(value, bool) else bool(self._fail(key, value, "true or false"))

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        value = self._value(key, default)
        return value if isinstance(value, str) else str(self._fail(key, value, "a text"))

    def number(self, key: str, default: float) -> float:
        """Return a finite number."""
        value = self._value(key, default)
        return float(value) if is_number(value) else float(self._fail(key, value, "a number"))

    def numbers(self, key: str) -> Values:
        """Return a list of finite numbers; one number is a list of one."""
        value = self._value(key, None)
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if not values or not all(map(is_number, values)):
            self._fail(key, value, "numbers")
        return tuple(map(float, values))

    def length(self, key: str) -> int:
        """Return a length in pixels."""
        value = self._value(key, None)
        return value if is_length(value) else int(self._fail(key, value, "a length in pixels"))

    def lengths(self, key: str, count: int) -> tuple[int, ...]:
        """Return so many lengths in pixels; one number stands for all."""
        value = self._value(key, None)
        values = [value] * count if is_length(value) else value
        if not isinstance(values, Sequence) or len(values) != count or not all(map(is_length, values)):
            self._fail(key, value, f"{count} lengths in pixels")
        return tuple(values)

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of names, or the values of an object whose keys count from 0; nothing if it is missing."""
        value = self._value(key, [])
        if isinstance(value, Mapping):
            numbered = {int(number): name for number, name in value.items() if str(number).isdecimal()}
            if len(numbered) != len(value):
                self._fail(key, value, "names by their numbers")
            value = [numbered[number] for number in sorted(numbered)]
        if not isinstance(value, Sequence) or isinstance(value, str):
            self._fail(key, value, "a list of names")
        return tuple(map(str, value))

    def objects(self, key: str) -> list[Any]:
        """Return a list."""
        value = self._value(key, None)
        return value if isinstance(value, list) else list(self._fail(key, value, "a list"))

    def inner(self, key: str) -> Fields:
        """Return the fields of an object in this one; of a missing one there are none."""
        return Fields(self._value(key, {}), f"{self._place}{key}: ")

    def raw(self, key: str) -> Any:
        """Return a value of any type; None if it is missing."""
        return self._data.get(key)

    def _value(self, key: str, default: Any) -> Any:
        value = self._data.get(key)
        return default if value is None else value

    def _fail(self, key: str, value: Any, expected: str) -> Any:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise InputError(f"{self._place}{key and f'{key}: '}found {shown}, expected {expected}")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_length(value: Any) -> bool:
    """Return whether a value is a length in pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_LENGTH


def width_height(height_width: Sequence[int]) -> Size:
    """Return (width, height) of (height, width)."""
    height, width = height_width
    return width, height


def normalisation(pixel: Pixel, *, scale: float, mean: Values, std: Values, offset: float = 0) -> tuple[Values, Values]:
    """Return the mean and norm of value = (pixel * scale - offset - mean) / std, a number for each channel.

    Raises:
        InputError: a scale or a std of 0, or numbers for other channels than there are.
    """
    channels = CHANNELS[pixel]
    means, stds = (values * channels if len(values) == 1 else values for values in (mean, std))
    for name, values in (("mean", means), ("std", stds)):
        if len(values) != channels:
            raise InputError(f"{name} has {len(values)} numbers, and {pixel} has {channels} channels")
    if not scale or not all(stds):
        raise InputError("a std, or the scale of pixels, is 0")
    return tuple((value + offset) / scale for value in means), tuple(scale / value for value in stds)
