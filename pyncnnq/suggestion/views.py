"""What is shown of one image: itself, its mirror image, the same narrower or a little further, its patches in disorder.

All are arrays of the pixels as the network's input takes them, shape (channels, height, width).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

_PATCHES = 16
"""Along the longer side of a scrambled image."""
_MARGIN = 8
"""A 1 / this of an image is cut off at either side."""
_SHIFT = 32
"""A shifted image is moved by a part of 1 / this of its width: less than a step of what reads text."""


def mirrored(pixels: Pixels) -> Pixels:
    """Return the mirror image, left and right changed."""
    return pixels[:, :, ::-1]


def narrowed(pixels: Pixels) -> Pixels:
    """Return the image without its left and right margin, as wide as before (bilinear)."""
    width = pixels.shape[2]
    cut = width // _MARGIN
    places = np.clip(cut + (np.arange(width) + 0.5) * (width - 2 * cut) / width - 0.5, 0, width - 1)
    left = np.minimum(places.astype(int), max(0, width - 2))
    part = (places - left).astype(np.float32)
    result: Pixels = pixels[:, :, left] * (1 - part) + pixels[:, :, np.minimum(left + 1, width - 1)] * part
    return result


def shifted(pixels: Pixels) -> Pixels:
    """Return the image moved to the right, its left edge repeated."""
    width = pixels.shape[2]
    return pixels[:, :, np.maximum(np.arange(width) - max(1, width // _SHIFT), 0)]


def scrambled(pixels: Pixels) -> Pixels:
    """Return the image's patches in disorder, the same for every image: its pixels, edges and colours without what is
    seen in them."""
    channels, height, width = pixels.shape
    side = max(1, max(height, width) // _PATCHES)
    rows, columns = height // side, width // side
    patches = pixels[:, : rows * side, : columns * side].reshape(channels, rows, side, columns, side)
    patches = patches.transpose(1, 3, 0, 2, 4).reshape(rows * columns, channels, side, side)
    patches = patches[np.random.default_rng(0).permutation(rows * columns)]
    whole = patches.reshape(rows, columns, channels, side, side).transpose(2, 0, 3, 1, 4)
    result = pixels.copy()  # keeps what no whole patch covers
    result[:, : rows * side, : columns * side] = whole.reshape(channels, rows * side, columns * side)
    return result
