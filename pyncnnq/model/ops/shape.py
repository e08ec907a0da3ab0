"""Shapes of blobs, and what is wrong with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

Shape = tuple[int, ...]
"""The shape of a blob, in NumPy's order."""


@dataclass(frozen=True)
class Misfit:
    """Shapes that a layer cannot read.

    Attributes:
        words: what the layer takes and what it gets, to stand behind its name.
        excess: by how many numbers the last input is larger than the layer takes, below 0 if it is smaller; 0 where
            that says nothing.
    """

    words: str
    excess: int = 0


AXES = {1: "w", 2: "hw", 3: "chw", 4: "cdhw"}
"""The axes of a blob by ncnn's names, by the number of dimensions."""


def sizes_of(shape: Shape) -> dict[str, int]:
    """Return the sizes of a blob by ncnn's names; 1 for axes that it does not have."""
    return {"w": 1, "h": 1, "d": 1, "c": 1, **dict(zip(AXES[len(shape)], shape, strict=True))}


def spell(shape: Shape) -> str:
    """Return a shape in words, with the number of its elements."""
    product = " x ".join(map(str, shape))
    return product if len(shape) == 1 else f"{product} = {math.prod(shape)}"
