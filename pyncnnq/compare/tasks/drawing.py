"""How a sample is shown to people: boxes, texts and pictures as plain data, which a report draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sides = tuple[float, float, float, float]
"""Left, upper, right and lower side of a box, in parts of the network's input: from 0 to 1."""

FLOAT_ALONE, INT8_ALONE = (86, 180, 233), (240, 160, 0)
"""Colours of what one model alone has, as in the page's style sheet: blue and orange, which all eyes tell apart."""


@dataclass(frozen=True, kw_only=True)
class DrawnBox:
    """Where a model sees something.

    Attributes:
        model: 0 for float, 1 for int8.
        sides: where it is.
        title: what it is, in a few words; may be empty.
        overlap: intersection over union with the other model's box of the same thing; None where that has none.
    """

    model: int
    sides: Sides
    title: str
    overlap: float | None


@dataclass(frozen=True, kw_only=True)
class DrawnPoint:
    """Where a model sees a keypoint.

    Attributes:
        model: 0 for float, 1 for int8.
        x, y: in parts of the network's input, from 0 to 1.
        title: what it is, in a few words.
    """

    model: int
    x: float
    y: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a text in both models; empty in the one that lacks it."""

    exact: str
    rough: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What both models make of a sample.

    Attributes:
        loss: how much they differ: samples with the largest are shown.
        caption: what differs, in a few words.
        boxes, points: lie over the network's input.
        text: the whole text, piece by piece.
        empty: there is nothing to look at in either model.
    """

    loss: float
    caption: str
    boxes: tuple[DrawnBox, ...] = ()
    points: tuple[DrawnPoint, ...] = ()
    text: tuple[Piece, ...] = ()
    empty: bool = False


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture to look at.

    Attributes:
        title: what it is.
        pixels: of shape (height, width, 3), red, green and blue from 0 to 255.
    """

    title: str
    pixels: NDArray[np.uint8]


def as_pixels(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Return values of shape (channels, height, width) as pixels, grey where there are not three channels or more.

    Args:
        values: red, green and blue first; what is not a number is black.
        low, high: what becomes 0 and 255; the rest is clipped.
    """
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num((values.astype(np.float64) - low) * (255 / max(high - low, 1e-30)), nan=0.0)
    channels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    chosen = channels[:3] if len(channels) >= 3 else np.repeat(channels[:1], 3, axis=0)
    return np.ascontiguousarray(chosen.transpose(1, 2, 0))
