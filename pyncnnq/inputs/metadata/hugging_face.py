"""`preprocessor_config.json` of Hugging Face's transformers (src/transformers/image_processing_utils.py).

A file has the attributes of an image processor.  Older ones, of feature extractors, have a number as `size` and say
nothing of rescaling, which they all did by 1/255.
"""

from __future__ import annotations

from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.metadata.description import Description, described
from pyncnnq.inputs.metadata.fields import Fields, is_length, normalisation, width_height
from pyncnnq.inputs.metadata.filters import check_filter
from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import Pixel, Resize, Size, Values

_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's, by their numbers."""

_WARPED = 384
"""ConvNeXT's processor cuts nothing off from this size on."""

_NOT_DONE = ("do_pad", "do_reduce_labels", "do_thumbnail", "do_align_long_axis", "do_image_splitting", "do_center_pad")


def read_hugging_face(document: Any) -> Description | None:
    """Return what the file says; None if it is something else of that name.

    Raises:
        InputError: a value of another type than transformers write.
    """
    if not isinstance(document, dict):
        return None
    fields = Fields(document)
    if "image_processor" in fields:  # a processor of several kinds of input
        fields = fields.inner("image_processor")
    kind = fields.text("image_processor_type") or fields.text("feature_extractor_type")
    if not any(key in fields for key in ("image_mean", "size", "do_normalize", "do_resize", "do_rescale")):
        return None  # of sound, for one
    notes = [f"{name} is not done here" for name in _NOT_DONE if name in fields and fields.flag(name, False)]
    mean, norm, pixel = _values(fields, kind, notes)
    size, resize = _fit(fields, kind, notes)
    if resize is not None and "resample" in fields:
        notes += check_filter(_filter(fields.raw("resample")))
    row = described(size=size, mean=mean, norm=norm, pixel=pixel, resize=resize)
    return Description(inputs=(row,) if row != InputOptions() else (), notes=tuple(notes))


def _values(fields: Fields, kind: str, notes: list[str]) -> tuple[Values | None, Values | None, Pixel]:
    """Return mean, norm and the order of channels."""
    scale = fields.number("rescale_factor", 1 / 255) if fields.flag("do_rescale", True) else 1.0
    offset = 1.0 if fields.flag("rescale_offset", False) else 0.0
    pixel: Pixel = "BGR" if fields.flag("do_flip_channel_order", False) else "RGB"
    if not fields.flag("do_normalize", True):
        return *normalisation(pixel, scale=scale, mean=(0.0,), std=(1.0,), offset=offset), pixel
    if "image_mean" not in fields or "image_std" not in fields:
        notes.append(f"does not state the image_mean and image_std of {kind or 'its kind'}, which are not known here")
        return None, None, pixel
    mean, std = fields.numbers("image_mean"), fields.numbers("image_std")
    if isinstance(fields.raw("image_mean"), list) and len(mean) == 1:
        pixel = "GRAY"
    if kind.startswith("EfficientNet") and fields.flag("include_top", True):  # which divides by it once more
        std = tuple(value * value for value in std)
    return *normalisation(pixel, scale=scale, mean=mean, std=std, offset=offset), pixel


def _fit(fields: Fields, kind: str, notes: list[str]) -> tuple[Size | None, Resize | None]:
    """Return the size of the input, and how an image is brought to it."""
    crop = _crop(fields)
    if not fields.flag("do_resize", True):
        if crop is not None:
            notes.append(f"cuts {crop[0]},{crop[1]} out of the image without resizing it; here it is resized")
        return crop, None
    size = fields.raw("size")
    shortest = _shortest(fields, has_crop=crop is not None, kind=kind)
    if shortest is not None and kind.startswith(("ConvNext", "ConvNeXT")) and crop is None:
        if shortest >= _WARPED:
            return (shortest, shortest), Resize("stretch")
        longer = int(shortest / (fields.number("crop_pct", 224 / 256) or 224 / 256))
        return (shortest, shortest), Resize("short-side", longer)
    if shortest is not None and kind.startswith("Levit"):
        shortest = int(256 / 224 * shortest)
    if shortest is not None:
        if crop is None:
            notes.append(f"keeps the aspect ratio, the shorter side {shortest}, so that sizes differ: give `size=`")
            return None, None
        if shortest < max(crop):
            notes.append(f"pads an image whose shorter side is {shortest} to {crop[0]},{crop[1]}; here it is larger")
        return crop, Resize("short-side", max(shortest, *crop))
    whole = _whole(fields)
    if whole is None:
        notes.append(f"size {size!r:.60} is not done here: give `size=`" if size else "states no size")
        return crop, None
    if crop is None or crop == whole:
        return whole, Resize("stretch")
    if max(crop) > min(whole):
        raise InputError(f"crop_size {crop[0]},{crop[1]} is larger than size {whole[0]},{whole[1]}")
    notes.append(
        f"stretches the image to {whole[0]},{whole[1]} and cuts {crop[0]},{crop[1]} out; here its aspect ratio is kept"
    )
    return crop, Resize("short-side", min(whole))


def _shortest(fields: Fields, *, has_crop: bool, kind: str) -> int | None:
    """Return the length of the shorter side, where the aspect ratio is kept."""
    size = fields.raw("size")
    if isinstance(size, dict):
        return fields.inner("size").length("shortest_edge") if size.get("shortest_edge") is not None else None
    # A number was the shorter side of some, such as those that cut something out after that, but for DeiT.
    keeps = has_crop or "max_size" in fields or kind.startswith(("ConvNext", "Levit", "CLIP"))
    keeps = keeps and not kind.startswith(("DeiT", "Deit"))
    return size if is_length(size) and keeps else None


def _whole(fields: Fields) -> Size | None:
    """Return the size that an image is stretched to."""
    size = fields.raw("size")
    if isinstance(size, dict):
        inner = fields.inner("size")
        return (inner.length("width"), inner.length("height")) if {"height", "width"} <= size.keys() else None
    return width_height(fields.lengths("size", 2)) if size is not None else None


def _crop(fields: Fields) -> Size | None:
    """Return the size of what is cut out of the middle."""
    if not fields.flag("do_center_crop", False) or "crop_size" not in fields:
        return None
    crop = fields.raw("crop_size")
    if not isinstance(crop, dict):
        return width_height(fields.lengths("crop_size", 2))
    inner = fields.inner("crop_size")
    if "shortest_edge" in inner:
        return (inner.length("shortest_edge"),) * 2
    return inner.length("width"), inner.length("height")


def _filter(number: Any) -> str:
    return _FILTERS[number] if isinstance(number, int) and 0 <= number < len(_FILTERS) else repr(number)[:60]
