"""`inference.yml` of PaddleOCR and PaddleX (ppocr/data/imaug/operators.py, rec_img_aug.py; ppcls/data/preprocess).

`PreProcess.transform_ops` lists operators, each an object of one entry: its name and its arguments.
"""

from __future__ import annotations

import re
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.metadata.description import Description, described
from pyncnnq.inputs.metadata.fields import Fields, is_number, normalisation, width_height
from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import Pixel, Resize, Size, Values

_RATIO = re.compile(r"\s*(\d{1,9}\.?\d{0,9})\s*/\s*(\d{1,9}\.?\d{0,9})\s*")
"""A scale as a text, such as 1./255."""

_NOTHING = ("ToCHWImage", "KeepKeys", "ToBatch")
"""Operators that change no values."""

_LABELS = ("Label", "Encode")
"""Parts of the names of operators that are for labels."""

_OF_TEXT = ("DetResizeForTest", "RecResizeImg")
"""Operators of text detection and recognition, which read images as BGR; other networks have RGB."""

_PIXELS: dict[str, Pixel] = {"BGR": "BGR", "RGB": "RGB"}


def read_paddle(document: Any) -> Description | None:
    """Return what the file says; None if it is something else of that name.

    Raises:
        InputError: a value of another type than Paddle writes.
    """
    if not isinstance(document, dict) or not isinstance(document.get("PreProcess"), dict):
        return None
    reader = _Reader()
    operators = [_parted(operator) for operator in Fields(document).inner("PreProcess").objects("transform_ops")]
    if any(name in _OF_TEXT for name, _ in operators):
        reader.pixel = "BGR"
    for name, arguments in operators:
        reader.read(name, arguments)
    after = Fields(document["PostProcess"]) if isinstance(document.get("PostProcess"), dict) else Fields({})
    classes = after.names("character_dict") or _label_list(after)
    row = reader.row()
    return Description(
        inputs=(row,) if row != InputOptions() else (),
        notes=tuple(reader.notes),
        task=after.text("name") or None,
        classes=classes,
    )


class _Reader:
    """What the operators do together."""

    def __init__(self) -> None:
        self.pixel: Pixel = "RGB"
        self.size: Size | None = None
        self.resize: Resize | None = None
        self.numbers: tuple[float, Values, Values] | None = None
        self.notes: list[str] = []

    def row(self) -> InputOptions:
        """Return the options that the operators come to."""
        if self.numbers is None:
            self.notes.append("does not normalize: give `mean=` and `norm=`")
            mean = norm = None
        else:
            scale, means, stds = self.numbers
            mean, norm = normalisation(self.pixel, scale=scale, mean=means, std=stds)
        resize = self.resize
        if resize is not None and resize.mode == "short-side" and self.size is None:
            self.notes.append(f"makes the shorter side {resize.short_side}, so that sizes differ: give `size=`")
            resize = None
        return described(size=self.size, mean=mean, norm=norm, pixel=self.pixel, resize=resize)

    def read(self, name: str, arguments: Fields) -> None:
        """Add what one operator does."""
        if name == "DecodeImage":
            mode = arguments.text("img_mode", self.pixel)
            if mode not in _PIXELS:
                raise InputError(f"DecodeImage: img_mode: found {mode!r}, expected BGR or RGB")
            self.pixel = _PIXELS[mode]
        elif name == "NormalizeImage":
            self.numbers = _scale(arguments), _numbers(arguments, "mean", 0.0), _numbers(arguments, "std", 1.0)
        elif name == "RecResizeImg":
            self._read_lines_of_text(arguments)
        elif name == "DetResizeForTest":
            self._read_pages(arguments)
        elif name == "ResizeImage":
            if "resize_short" in arguments:
                self.resize = Resize("short-side", arguments.length("resize_short"))
            else:
                width, height = arguments.lengths("size", 2)
                self.size, self.resize = (width, height), Resize("stretch")
        elif name == "CropImage":
            self._read_crop(arguments)
        elif name not in _NOTHING and not any(part in name for part in _LABELS):
            self.notes.append(f"{name[:60]} is not done here")

    def _read_lines_of_text(self, arguments: Fields) -> None:
        channels, height, width = arguments.lengths("image_shape", 3)
        if channels != 3:
            raise InputError(f"RecResizeImg: image_shape: {channels} channels, expected 3")
        self.size, self.resize = (width, height), Resize("stretch")
        self.numbers = 1 / 255, (0.5,), (0.5,)
        self.notes.append(
            f"RecResizeImg keeps the aspect ratio of lines and fills up to {width},{height}; here they are stretched"
        )

    def _read_pages(self, arguments: Fields) -> None:
        if "image_shape" in arguments and not arguments.flag("keep_ratio", False):
            self.size, self.resize = width_height(arguments.lengths("image_shape", 2)), Resize("stretch")
            return
        how = ", ".join(
            f"{key} {arguments.raw(key)!r:.60}"
            for key in ("resize_long", "limit_side_len", "limit_type", "image_shape", "keep_ratio")
            if key in arguments
        )
        self.notes.append(
            f"DetResizeForTest ({how or 'no arguments'}) keeps the aspect ratio; here pages are stretched"
        )
        self.resize = Resize("stretch")

    def _read_crop(self, arguments: Fields) -> None:
        width, height = arguments.lengths("size", 2)
        if self.resize is None or self.resize.mode != "short-side":
            self.notes.append(f"CropImage cuts {width},{height} out of a stretched image; here all of it is stretched")
        self.size = width, height


def _parted(operator: Any) -> tuple[str, Fields]:
    """Return the name of an operator and its arguments."""
    if isinstance(operator, str):
        return operator, Fields({})
    if not isinstance(operator, dict) or len(operator) != 1:
        raise InputError("transform_ops: expected operators, each with its name and arguments")
    ((name, arguments),) = operator.items()
    return str(name), Fields(arguments if arguments is not None else {}, f"{str(name)[:60]}: ")


def _scale(arguments: Fields) -> float:
    scale = arguments.raw("scale")
    if isinstance(scale, str) and (ratio := _RATIO.fullmatch(scale)):
        upper, lower = map(float, ratio.groups())
        scale = upper / lower if lower else None
    elif isinstance(scale, str):
        try:
            scale = float(scale)
        except ValueError:
            scale = None
    elif scale is None:
        scale = 1 / 255
    if not is_number(scale):
        raise InputError(f"NormalizeImage: scale: found {arguments.raw('scale')!r:.60}, expected such as 1./255.")
    return float(scale)


def _numbers(arguments: Fields, key: str, default: float) -> Values:
    return arguments.numbers(key) if key in arguments else (default,)


def _label_list(after: Fields) -> tuple[str, ...]:
    """Return the classes of a classifier, which stand under the name of what is done with its scores."""
    inner = after.inner("Topk") if "Topk" in after else Fields({})
    return inner.names("label_list")
