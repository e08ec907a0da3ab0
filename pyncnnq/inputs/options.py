"""What a user says about the inputs: the option strings of the command line and ncnn2table's words, as rows of
options."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pyncnnq.errors import InputError
from pyncnnq.inputs.preprocessing import (
    Pixel,
    Resize,
    Size,
    Values,
    check_pixel,
    parse_int,
    parse_number,
    parse_pixel,
    parse_resize,
    parse_size,
    parse_values,
)
from pyncnnq.inputs.presets import find_preset
from pyncnnq.inputs.sources import Kind, exists

T = TypeVar("T")

WORDS = ("mean", "norm", "shape", "pixel", "thread", "method", "type")
WORD = re.compile(rf"({'|'.join(WORDS)})=")


@dataclass(frozen=True)
class InputOptions:
    """Everything that can be said about one model input; None is not said.

    Python users may also write what the command line takes: a text such as "640x480" or "1/58.395,1/57.12,1/57.375",
    and a number alone for a square, or for all channels.
    """

    preset: str | None = None
    size: Size | None = None
    mean: Values | None = None
    """A value for each channel, or one for all."""
    norm: Values | None = None
    """As `mean`."""
    pixel: Pixel | None = None
    resize: Resize | None = None
    shape: tuple[int, ...] | None = None
    """ncnn's order: (w), (w, h), (w, h, c) or (w, h, d, c). Size and channels of images, or the shape of `.npy`
    arrays."""
    kind: Kind | None = None
    data: tuple[Path, ...] | None = None

    def __post_init__(self) -> None:
        if self.preset is not None:
            find_preset(self.preset)
        if self.pixel is not None:
            check_pixel(self.pixel)
        # From Python, values come in forms of all kinds.
        for name, read, expected in _FORMS:
            value = getattr(self, name)
            if value is not None:
                try:
                    object.__setattr__(self, name, read(value))
                except (TypeError, ValueError, ArithmeticError):  # too large, or a fraction of 0
                    raise InputError(f"{value!r}: expected {expected}", option=name) from None

    @property
    def for_images(self) -> list[str]:
        """The names of those options given that only images can use."""
        return [
            name for name in ("preset", "size", "mean", "norm", "pixel", "resize") if getattr(self, name) is not None
        ]


def _read_size(value: Any) -> Size:
    if isinstance(value, str):
        return parse_size(value)
    width, height = map(operator.index, value if isinstance(value, Iterable) else (value, value))
    return width, height


def read_values(value: Any, name: str) -> Values:
    """Return the numbers of a text, of several numbers or texts, or of one.

    Raises:
        InputError: a text that cannot be read; the error names the option.
        TypeError, ValueError, ArithmeticError: what is no number.
    """
    if isinstance(value, str):
        return parse_values(value, name)
    values = value if isinstance(value, Iterable) else [value]
    return tuple(parse_number(item) if isinstance(item, str) else float(item) for item in values)


def _read_resize(value: Any) -> Resize:
    if isinstance(value, str):
        return parse_resize(value)
    if not isinstance(value, Resize):
        raise TypeError
    return value


_FORMS: tuple[tuple[str, Callable[[Any], Any], str], ...] = (
    ("size", _read_size, "two whole numbers, (width, height), or one for a square"),
    (
        "mean",
        lambda value: read_values(value, "mean"),
        "a number for each channel, such as (104, 117, 123), or one for all",
    ),
    ("norm", lambda value: read_values(value, "norm"), "a number for each channel, such as (1, 1, 1), or one for all"),
    ("resize", _read_resize, "stretch, letterbox or short-side:N"),
)


@dataclass(frozen=True)
class Settings:
    """Hold what a configuration file or ncnn2table's words say: a row of options per input (or one for all), and the
    options of the run."""

    inputs: tuple[InputOptions, ...] = ()
    method: str | None = None
    samples: int | None = None
    workers: int | None = None
    weight_bits: str | None = None
    strict: bool | None = None


def overlay(base: InputOptions, over: InputOptions) -> InputOptions:
    """Return `base` with everything that `over` says in its place; a shape said later replaces a size too."""
    said = {field.name: value for field in fields(over) if (value := getattr(over, field.name)) is not None}
    if over.shape is not None:
        said.setdefault("size", None)
    return replace(base, **said)


def spread(rows: Sequence[InputOptions], count: int, source: str) -> tuple[InputOptions, ...]:
    """Return one row of options per model input; a single row applies to all.

    Raises:
        InputError: neither one row nor one for each of the `count` inputs.
    """
    if len(rows) <= 1:
        return (rows[0] if rows else InputOptions(),) * count
    if len(rows) != count:
        raise InputError(
            f"{source} describes {len(rows)} inputs, the model has {count}: "
            "give each option once for all inputs, or once per input in the order of the model's Input layers"
        )
    return tuple(rows)


def parse_options(
    preset: Sequence[str] = (),
    size: Sequence[str] = (),
    mean: Sequence[str] = (),
    norm: Sequence[str] = (),
    pixel: Sequence[str] = (),
    resize: Sequence[str] = (),
) -> tuple[InputOptions, ...]:
    """Return the command line's options, each with all its occurrences in order, as rows per input.

    Raises:
        InputError: a value that cannot be read, or options repeated a different number of times (once is always
            allowed).
    """
    return _rows(
        {
            "preset": list(preset),
            "size": [parse_size(text) for text in size],
            "mean": [parse_values(text, "mean") for text in mean],
            "norm": [parse_values(text, "norm") for text in norm],
            "pixel": [parse_pixel(text) for text in pixel],
            "resize": [parse_resize(text) for text in resize],
        },
        "`{}=`".format,
    )


def split_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part a command line's positionals into (paths, ncnn2table words).

    A word is `key=value` with one of ncnn2table's keys, unless there is a file or folder of that name.
    """
    paths: list[str] = []
    words: list[str] = []
    for argument in arguments:
        (words if WORD.match(argument) and not exists(Path(argument)) else paths).append(argument)
    return paths, words


def parse_words(words: Sequence[str]) -> Settings:
    """Read ncnn2table's own words, with its meaning (tools/quantize/ncnn2table.cpp).

    `mean=[104,117,123],[0.5] norm=[..],[..] shape=[w,h,c],[..] pixel=BGR,GRAY thread=8 method=kl type=0|1`: one bracket
    per input; images are stretched to the shape's w, h, where a number of 0 or less follows the aspect ratio.  With
    `type=1` (`.npy`) the shape is the array's and mean, norm and pixel mean nothing.  `thread` is our number of
    workers.

    Raises:
        InputError: an unknown or repeated word, or a value that cannot be read.
    """
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in WORDS or not equals:
            raise InputError(f"{word!r} is not one of ncnn2table's words: {', '.join(f'{known}=' for known in WORDS)}")
        if key in values:
            raise InputError(f"{key}= is given twice: {values[key]!r} and {value!r}")
        values[key] = value
    kind = _parse_type(values["type"]) if "type" in values else None
    columns: dict[str, list[Any]] = {"shape": [_parse_shape(text) for text in _brackets("shape", values)]}
    if kind != "npy":
        for key in ("mean", "norm"):
            columns[key] = _parse_each(key, _brackets(key, values), partial(parse_values, option=key))
        columns["pixel"] = _parse_each("pixel", values["pixel"].split(","), _parse_order) if "pixel" in values else []
    columns["kind"] = [kind] if kind else []
    # from_pixels_resize is all ncnn2table knows, whatever a config file or a preset prefers.
    columns["resize"] = [Resize("stretch")] if columns["shape"] and kind != "npy" else []
    return Settings(
        inputs=_rows(columns, "{}=".format),
        method=values.get("method"),
        workers=_parse_thread(values["thread"]) if "thread" in values else None,
    )


def _rows(columns: Mapping[str, Sequence[Any]], spell: Callable[[str], str]) -> tuple[InputOptions, ...]:
    count = max(len(column) for column in columns.values())
    for name, column in columns.items():
        if 1 < len(column) < count:
            longest = next(other for other in columns if len(columns[other]) == count)
            raise InputError(
                f"{spell(name)} is given for {len(column)} inputs, {spell(longest)} for {count}: "
                "give each option once for all inputs, or once per input in the order of the model's Input layers"
            )
    return tuple(
        InputOptions(**{name: column[i if len(column) > 1 else 0] for name, column in columns.items() if column})
        for i in range(count)
    )


def _brackets(key: str, values: Mapping[str, str]) -> list[str]:
    """Return ["a,b", "c"] of `[a,b],[c]`; one array may stand without brackets."""
    if key not in values:
        return []
    text = values[key].replace(" ", "")
    if re.fullmatch(r"[^\[\]]+", text):
        return [text]
    if not re.fullmatch(r"\[[^\[\]]+\](,\[[^\[\]]+\])*", text):
        raise InputError(f"{key}={values[key]}: expected [a,b,c], or [a,b,c],[d] for several inputs")
    return text[1:-1].split("],[")


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(max(0, parse_int(word)) for word in text.split(","))
    except ValueError:
        raise InputError(f"shape=[{text}]: expected whole numbers, such as [224,224,3]") from None
    if len(shape) > 4:
        raise InputError(f"shape=[{text}]: expected at most four numbers, [w,h,d,c]")
    return shape


def _parse_each(key: str, texts: Sequence[str], parse: Callable[[str], T]) -> list[T]:
    """Return the values of a word; errors name the word and not the option."""
    try:
        return [parse(text) for text in texts]
    except InputError as error:
        raise InputError(f"{key}={error.message}") from None


def _parse_order(text: str) -> Pixel:
    if text == "RAW":
        raise InputError("RAW: ncnn2table accepts the word but then reads no image; give the network's order, as BGR")
    return parse_pixel(text)


def _parse_type(text: str) -> Kind:
    if text not in ("0", "1"):
        raise InputError(f"type={text}: expected 0 (images) or 1 (.npy)")
    return "npy" if text == "1" else "image"


def _parse_thread(text: str) -> int:
    try:
        count = parse_int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise InputError(f"thread={text}: expected a number of at least 1")
    return count
