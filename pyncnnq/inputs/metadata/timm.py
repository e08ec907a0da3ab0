"""`config.json` of timm, as on the Hugging Face hub (timm/models/_hub.py; timm/data/config.py, transforms_factory.py).

The numbers stand under `pretrained_cfg`, in older files at the top.
"""

from __future__ import annotations

import math
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.metadata.description import Description, described
from pyncnnq.inputs.metadata.fields import Fields, normalisation, width_height
from pyncnnq.inputs.metadata.filters import check_filter
from pyncnnq.inputs.preprocessing import Pixel, Resize, Size

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CROP_PCT = 0.875
_PIXELS: dict[int, Pixel] = {1: "GRAY", 3: "RGB"}


def read_timm(document: Any) -> Description | None:
    """Return what the file says; None if it is something else of that name.

    Raises:
        InputError: a value of another type than timm writes.
    """
    if not isinstance(document, dict) or "architecture" not in document:
        return None
    top = Fields(document)
    fields = top.inner("pretrained_cfg") if "pretrained_cfg" in top else top
    if not any(key in fields for key in ("input_size", "mean", "std")):
        return None
    channels, height, width = fields.lengths("input_size", 3) if "input_size" in fields else (3, 224, 224)
    if channels not in _PIXELS:
        return Description(notes=(f"input_size: {channels} channels, which images do not have: give .npy arrays",))
    pixel = _PIXELS[channels]
    mean, norm = normalisation(
        pixel,
        scale=1 / 255,
        mean=fields.numbers("mean") if "mean" in fields else _MEAN,
        std=fields.numbers("std") if "std" in fields else _STD,
    )
    size = width_height((height, width))
    resize, notes = _resize(size, fields.number("crop_pct", _CROP_PCT) or _CROP_PCT, fields.text("crop_mode", "center"))
    row = described(size=size, mean=mean, norm=norm, pixel=pixel, resize=resize)
    notes += check_filter(fields.text("interpolation", "bicubic"))
    return Description(
        inputs=(row,), notes=tuple(notes), classes=top.names("label_names") or fields.names("label_names")
    )


def _resize(size: Size, share: float, mode: str) -> tuple[Resize, list[str]]:
    """Return how images are fitted, and what is different from timm."""
    if not 0 < share <= 1:
        raise InputError(f"crop_pct: found {share:g}, expected more than 0 and at most 1")
    shorter = math.floor(max(size) / share)
    if mode == "squash":
        cut = f", and cuts the middle {share:.1%} out" if share < 1 else ""
        return Resize("stretch"), [f"crop_mode squash stretches the image{cut}; here it is stretched alone"] * bool(cut)
    if mode == "border":
        return Resize("letterbox"), ["crop_mode border has a border of the mean's colour; here it is of 114"]
    if mode != "center":
        raise InputError(f"crop_mode: found {mode!r}, expected center, squash or border")
    odd = [f"size {size[0]},{size[1]} is cut out of an image as large as it needs; here its shorter side is {shorter}"]
    return Resize("short-side", shorter), odd * (size[0] != size[1])
