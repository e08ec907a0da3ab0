"""True boxes: from a COCO file, or from a folder of text files as YOLO has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyncnnq.errors import InputError
from pyncnnq.files import read_file
from pyncnnq.inputs.preprocessing import Preprocessing, Size

_MOST_BYTES = 2**30
"""Of a COCO file: twice as much as COCO's own of 2017 for training."""


class Box(NamedTuple):
    """A thing that is in an image: its class, and the sides of its box from 0 to 1.

    Attributes:
        crowd: it stands for many things of the class: finding or missing it does not count.
    """

    label: int
    x1: float
    y1: float
    x2: float
    y2: float
    crowd: bool = False


def find_boxes(source: str, paths: Sequence[Path]) -> list[tuple[Box, ...]]:
    """Return what is in each image, in parts of its width and height.

    Args:
        source: a COCO file (.json), in which images are found by their file names, and classes are its categories in
            the order of their numbers; or a folder with a file NAME.txt for each image NAME that shows anything, with
            lines `class x y width height` or `class x1 y1 x2 y2 x3 y3 ...` (an outline), in parts of the image.
        paths: the images.

    Raises:
        InputError: a source that cannot be read, or says nothing of an image.
    """
    if Path(source).suffix.lower() == ".json":
        return _by_coco(source, paths)
    if not Path(source).is_dir():
        problem = f"{source}: expected a COCO file (.json) or a folder of YOLO's .txt files"
        raise InputError(problem, option="labels")
    files = [Path(source) / f"{path.stem}.txt" for path in paths]
    if not any(file.is_file() for file in files):
        raise InputError(f"{source}: has no file for any image, such as {files[0].name}", option="labels")
    return [tuple(_by_text(file)) if file.is_file() else () for file in files]


def as_network_sees(boxes: Iterable[Box], image: Size, preprocessing: Preprocessing) -> tuple[Box, ...]:
    """Return boxes in parts of the network's input, as far as they are not cut off.

    Args:
        boxes: in parts of the image.
        image: its width and height.
        preprocessing: how it becomes the network's input.
    """
    mode, size = preprocessing.resize.mode, preprocessing.size
    if mode == "stretch" or not all(size):
        return tuple(boxes)
    if mode == "letterbox":
        scale = min(size[0] / image[0], size[1] / image[1])
        inner = [max(1, round(side * scale)) for side in image]
        offsets = [(outer - whole) // 2 for outer, whole in zip(size, inner, strict=True)]
    else:
        inner = [preprocessing.resize.short_side * side // min(image) for side in image]
        offsets = [-((whole - outer) // 2) for outer, whole in zip(size, inner, strict=True)]

    def seen(value: float, axis: int) -> float:
        return min(1.0, max(0.0, (value * inner[axis] + offsets[axis]) / size[axis]))

    moved = [
        Box(box.label, seen(box.x1, 0), seen(box.y1, 1), seen(box.x2, 0), seen(box.y2, 1), box.crowd) for box in boxes
    ]
    return tuple(box for box in moved if box.x2 > box.x1 and box.y2 > box.y1)


def size_of(path: Path) -> Size | None:
    """Return the width and height of an image as it is shown; None for one that cannot be decoded."""
    import cv2  # only here: it takes long to import

    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])


def _by_text(file: Path) -> Iterable[Box]:
    lines = _text(file).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            label, *values = (float(word) for word in line.split())
        except ValueError:
            label, values = math.nan, []
        outline = len(values) >= 6 and len(values) % 2 == 0
        sound = label >= 0 and label.is_integer() and all(map(math.isfinite, values))
        if not sound or not (outline or len(values) == 4):
            raise InputError(
                f"{file}: line {number}: expected `class x y width height` in parts of the image, found {line[:80]!r}",
                option="labels",
            )
        if outline:
            x, y = values[::2], values[1::2]
            yield Box(int(label), min(x), min(y), max(x), max(y))
        else:
            middle_x, middle_y, width, height = values
            left, top = middle_x - width / 2, middle_y - height / 2
            yield Box(int(label), left, top, left + width, top + height)


def _by_coco(source: str, paths: Sequence[Path]) -> list[tuple[Box, ...]]:
    try:
        told = json.loads(_text(Path(source)))
        classes = {number: place for place, number in enumerate(sorted(each["id"] for each in told["categories"]))}
        images = {Path(str(each["file_name"])).name: each for each in told["images"]}
        sizes = {each["id"]: (float(each["width"]), float(each["height"])) for each in told["images"]}
        boxes: dict[Any, list[Box]] = {}
        for each in told["annotations"]:
            width, height = sizes[each["image_id"]]
            x, y, w, h = (float(value) for value in each["bbox"])
            sides = x / width, y / height, (x + w) / width, (y + h) / height
            crowd = bool(each.get("iscrowd"))
            boxes.setdefault(each["image_id"], []).append(Box(classes[each["category_id"]], *sides, crowd))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        problem = f"{source}: is no COCO file of images, annotations and categories: {type(error).__name__}: {error}"
        raise InputError(problem, option="labels") from None
    for path in paths:
        if path.name not in images:
            raise InputError(f"{source}: has no image of the name {path.name}", option="labels")
    return [tuple(boxes.get(images[path.name]["id"], ())) for path in paths]


def _text(file: Path) -> str:
    try:
        return read_file(file, InputError, most=_MOST_BYTES).decode("utf-8-sig").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: cannot read: {error}", option="labels") from None
    except InputError as error:
        raise InputError(error.message, option="labels") from None
