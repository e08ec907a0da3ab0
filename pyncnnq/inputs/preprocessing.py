"""How an image becomes a network's input: the description, checked, and the spelling of its options.

Value = (pixel - mean) * norm, per channel in the order of `pixel`: ncnn's `Mat::substract_mean_normalize`.  Applying it
to a file is the work of `pyncnnq.inputs.loading`; this module imports no OpenCV.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from pyncnnq.errors import InputError

Pixel = Literal["RGB", "BGR", "GRAY", "RGBA", "BGRA"]
ResizeMode = Literal["stretch", "letterbox", "short-side"]
Size = tuple[int, int]
Values = tuple[float, ...]

_MOST_DIGITS = 127
"""Characters of a number that is given as text."""

_FRACTION = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)) ?/ ?(\d+\.?\d*|\.\d+)", re.ASCII)

MOST_PIXELS = 2**26
"""Of an image as it is resized: 67 million, or 800 MB in float32."""

MOST_DECODED = 2**28
"""Pixels of an image file, 16384 x 16384, for which decoding takes up to 1.7 GB, or 4.2 GB with 16 bits and alpha.

ncnn's `from_pixels_resize` needs fewer than 2**31 bytes: it counts them in 32 bits with a sign."""

CHANNELS: dict[Pixel, int] = {"RGB": 3, "BGR": 3, "GRAY": 1, "RGBA": 4, "BGRA": 4}


@dataclass(frozen=True)
class Resize:
    """How an image is brought to the network's size.

    `stretch`: to the size, whatever the aspect ratio, by ncnn's `Mat::from_pixels_resize`. `letterbox`: as large as
    fits, aspect kept, centred on a border of 114 (YOLO). `short-side:N`: the shorter side to N, the longer one to its N
    * long / short rounded down, then the centre of the size.
    """

    mode: ResizeMode = "stretch"
    short_side: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(ResizeMode):
            raise InputError(f"resize {self.mode!r}: expected stretch, letterbox or short-side")
        if self.mode == "short-side" and self.short_side < 1:
            raise InputError(f"resize short-side needs a length of at least 1, not {self.short_side}")

    def __str__(self) -> str:
        return f"short-side:{self.short_side}" if self.mode == "short-side" else self.mode


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every image of one model input.

    size: (width, height) in pixels. With `stretch` a 0 follows the other by the aspect ratio, and (0, 0) leaves images
        as they are (ncnn2table's rule).
    mean, norm: one value per channel, in the order of `pixel`, on the 0..255 scale.

    Raises:
        InputError: the values do not fit each other.
    """

    size: Size
    mean: Values
    norm: Values
    pixel: Pixel
    resize: Resize = Resize()

    def __post_init__(self) -> None:
        check_pixel(self.pixel)
        channels = CHANNELS[self.pixel]
        for name, values in (("mean", self.mean), ("norm", self.norm)):
            if len(values) != channels:
                for_all = ", or one for all" if channels > 1 else ""
                raise InputError(
                    f"{name} has {_count(len(values), 'value')}, pixel {self.pixel} has {_count(channels, 'channel')}: "
                    f"give {_count(channels, 'number')}{for_all}"
                )
            if not all(math.isfinite(value) for value in values):
                raise InputError(f"{name} has a value that is not a finite number: {_plain(values)}")
        if 0 in self.norm:
            raise InputError(f"norm is multiplied, so 0 erases a channel: {_plain(self.norm)}")
        width, height = self.size
        if min(self.size) < 0:
            raise InputError(f"size {width},{height} is negative: give width and height in pixels")
        if width * height > MOST_PIXELS or self.resize.short_side**2 > MOST_PIXELS:
            raise InputError(
                f"size {width},{height} with resize {self.resize} is too large: no more than {MOST_PIXELS:,} pixels"
            )
        if self.resize.mode != "stretch" and 0 in self.size:
            raise InputError(
                f"size {width},{height} with resize {self.resize}: only stretch can leave a side open with 0"
            )
        if self.resize.mode == "short-side" and self.resize.short_side < max(self.size):
            raise InputError(
                f"resize {self.resize} is too small to cut {width},{height} out of it: "
                f'N must be at least {max(self.size)}, or use `resize="stretch"`'
            )

    def __str__(self) -> str:
        width, height = self.size
        mean, norm = _plain(self.mean), _plain(self.norm)
        return f"{self.pixel}, size {width},{height}, mean {mean}, norm {norm}, resize {self.resize}"


def parse_int(text: str) -> int:
    """Return a whole number in plain digits: Python's int also takes 1_000, digits of other scripts, and thousands.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if not text.isascii() or "_" in text or len(text) > _MOST_DIGITS:
        raise ValueError(f"{text[:60]!r} is not a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Return a number in plain digits (see `parse_int`).

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if not text.isascii() or "_" in text or len(text) > _MOST_DIGITS:
        raise ValueError(f"{text[:60]!r} is not a number")
    return float(text)


def parse_number(text: str) -> float:
    """Return a number in plain digits, or a fraction of two decimals: `0.017`, `1/58.395`.

    Raises:
        ValueError: it is neither.
        ZeroDivisionError: it is a fraction of 0.
    """
    fraction = _FRACTION.fullmatch(text.strip()) if len(text) <= _MOST_DIGITS else None
    return float(fraction[1]) / float(fraction[2]) if fraction else parse_float(text)


def parse_values(text: str, option: str) -> Values:
    """Return the numbers of `104,117,123`, `1/58.395,1/57.12,1/57.375`, or of `127.5`; errors name the option."""
    try:
        return tuple(map(parse_number, text.split(",")))
    except ZeroDivisionError:
        raise InputError(f"{text!r}: divides by 0", option=option) from None
    except ValueError:
        raise InputError(
            f"{text!r}: expected numbers separated by commas, such as 104,117,123 or 1/58.395,1/57.12,1/57.375, or "
            "one for all channels",
            option=option,
        ) from None


def parse_size(text: str) -> Size:
    """Return (width, height) in pixels of `640,480`, of `640x480`, or of `640`, which is a square."""
    try:
        width, *rest = map(parse_int, text.lower().replace("x", ",").split(","))
        (height,) = rest or [width]
    except ValueError:
        raise InputError(
            f"{text!r}: expected width,height in pixels, such as 640,480 or 640x480, or one number for a square",
            option="size",
        ) from None
    if width < 0 or height < 0:
        raise InputError(f"{text!r}: width and height cannot be negative", option="size")
    return width, height


def parse_pixel(text: str) -> Pixel:
    """Return the channel order, which may be in lower case."""
    return check_pixel(text.upper())


def check_pixel(text: str) -> Pixel:
    """Return `text` if it is a channel order.

    Raises:
        InputError: it is none.
    """
    if text not in CHANNELS:
        raise InputError(f"{text!r}: expected one of {', '.join(CHANNELS)}", option="pixel")
    return text


def parse_resize(text: str) -> Resize:
    """Return the resizing that `stretch`, `letterbox` or `short-side:N` names."""
    mode, colon, number = text.partition(":")
    if mode in get_args(ResizeMode) and (mode == "short-side") == bool(colon):
        if not colon:
            return Resize(cast(ResizeMode, mode))
        if number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS and int(number) > 0:
            return Resize("short-side", int(number))
    raise InputError(f"{text!r}: expected stretch, letterbox or short-side:N, such as short-side:256", option="resize")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(values: Values) -> str:
    return ",".join(f"{value:g}" for value in values)
