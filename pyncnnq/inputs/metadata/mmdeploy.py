"""`pipeline.json` of OpenMMLab's mmdeploy, for its SDK (csrc/mmdeploy/preprocess/transform).

The first task with the module `Transform` lists transforms, each an object with a `type` and its arguments.
"""

from __future__ import annotations

from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.metadata.description import Description, described
from pyncnnq.inputs.metadata.fields import Fields, is_length, normalisation
from pyncnnq.inputs.metadata.filters import check_filter
from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import Pixel, Resize, Size, Values

_NOTHING = ("ImageToTensor", "DefaultFormatBundle", "Collect", "Lift", "LoadAnnotations", "PackDetInputs")
"""Transforms that change no values."""

_GREY = ("grayscale", "unchanged_grayscale")


def read_mmdeploy(document: Any) -> Description | None:
    """Return what the file says; None if it is something else of that name.

    Raises:
        InputError: a value of another type than mmdeploy writes.
    """
    if not isinstance(document, dict) or not isinstance(document.get("pipeline"), dict):
        return None
    tasks = document["pipeline"].get("tasks")
    if not isinstance(tasks, list):
        return None
    task = next((task for task in tasks if isinstance(task, dict) and task.get("module") == "Transform"), None)
    if task is None:
        return None
    reader = _Reader()
    for transform in Fields(task).objects("transforms"):
        fields = Fields(transform)
        name = fields.text("type")
        reader.read(name, Fields(transform, f"{name[:60]}: "))
    row = reader.row()
    return Description(inputs=(row,) if row != InputOptions() else (), notes=tuple(reader.notes))


class _Reader:
    """What the transforms do together."""

    def __init__(self) -> None:
        self.grey = False
        self.numbers: tuple[Pixel, Values, Values] | None = None
        self.resized: Size | None = None
        self.shorter: int | None = None
        self.keeps_ratio = False
        self.padded: Size | None = None
        self.pads = False
        self.cut: Size | None = None
        self.notes: list[str] = []

    def read(self, name: str, arguments: Fields) -> None:
        """Add what one transform does."""
        if name == "LoadImageFromFile":
            self.grey = arguments.text("color_type", "color") in _GREY
        elif name in ("Resize", "LetterResize"):
            self._read_resize(name, arguments)
        elif name == "Pad":
            self.pads = True
            if "size" in arguments:
                height, width = arguments.lengths("size", 2)
                self.padded = width, height
        elif name == "CenterCrop":
            height, width = arguments.lengths("crop_size", 2)
            self.cut = width, height
        elif name == "Normalize":
            pixel: Pixel = "RGB" if arguments.flag("to_rgb", True) else "BGR"
            self.numbers = "GRAY" if self.grey else pixel, arguments.numbers("mean"), arguments.numbers("std")
        elif name not in _NOTHING:
            self.notes.append(f"{name[:60]} is not done here")

    def row(self) -> InputOptions:
        """Return the options that the transforms come to."""
        size, resize = self._fit()
        if self.numbers is None:
            self.notes.append("does not normalize: give `mean=` and `norm=`")
            return described(size=size, pixel="GRAY" if self.grey else None, resize=resize)
        pixel, means, stds = self.numbers
        mean, norm = normalisation(pixel, scale=1, mean=means, std=stds)
        return described(size=size, mean=mean, norm=norm, pixel=pixel, resize=resize)

    def _read_resize(self, name: str, arguments: Fields) -> None:
        self.notes += check_filter(arguments.text("interpolation", "bilinear"))
        key = "size" if "size" in arguments else "scale"
        size = arguments.raw(key)
        if isinstance(size, list) and -1 in size and len(size) == 2:  # of an image's shorter side
            self.shorter = max((length for length in size if is_length(length)), default=None)
            return
        if key not in arguments:
            raise InputError(f"{name}: found no size")
        width, height = arguments.lengths(key, 2)
        self.resized, self.keeps_ratio = (width, height), name == "LetterResize" or arguments.flag("keep_ratio", False)
        self.pads |= name == "LetterResize"

    def _fit(self) -> tuple[Size | None, Resize | None]:
        """Return the size of the input, and how an image is brought to it."""
        if self.shorter is not None:
            if self.cut is None:
                self.notes.append(f"keeps the aspect ratio, the shorter side {self.shorter}: give `size=`")
                return None, None
            return self.cut, Resize("short-side", max(self.shorter, *self.cut))
        size = self.padded or self.resized
        if self.cut is not None:
            self.notes.append(f"CenterCrop cuts {self.cut[0]},{self.cut[1]} out; here all of the image is resized")
            return self.cut, Resize("stretch")
        if size is None:
            return None, None
        if not self.keeps_ratio:
            if size[0] != size[1]:
                self.notes.append(
                    f"size {size[0]},{size[1]} is taken as width, height; old versions have them reversed"
                )
            return size, Resize("stretch")
        square = size[0] == size[1]
        if not square and self.padded is None:
            self.notes.append(f"keeps the aspect ratio within {size[0]},{size[1]}, so that sizes differ: give `size=`")
            return None, Resize("letterbox")
        self.notes.append(
            "fills up an image at its right and below; here it is in the middle of a border of 114"
            if self.pads
            else "keeps the aspect ratio, so that sizes differ; here the image is in the middle of a border of 114"
        )
        return size, Resize("letterbox")
