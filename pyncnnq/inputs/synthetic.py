"""Synthetic images as calibration data, for when there are no photographs: how many, and how large.

What they look like is the work of `pyncnnq.inputs.drawing`; this module imports no OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyncnnq.errors import InputError
from pyncnnq.inputs.preprocessing import Preprocessing, Size

WARNING = (
    "the data is synthetic, for a first try: a model calibrated on real images is better, by 1 to 10 dB where it was "
    "measured (docs/preprocessing.md), and figures on synthetic images say little of real ones; take a few hundred "
    "images of your own before you ship it"
)

MOST_IMAGES = 10_000
"""More would tell nothing new: scales hardly change after a few hundred."""

_OVERSIZE = 1.5
"""How much longer an image is than the network's input, so that resizing has work as with photographs."""
_SIDES = 16, 2048
"""The least and the most pixels of the longer side."""
_OPEN_SIDE = 500
"""The longer side where the size is the image's own: that of most photographs of ImageNet."""


@dataclass(frozen=True)
class Synthetic:
    """So many synthetic images as calibration data, for all inputs of a model.

    Raises:
        InputError: there are to be none, or too many.
    """

    count: int

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or isinstance(self.count, bool) or not 1 <= self.count <= MOST_IMAGES:
            raise InputError(f"expected 1 to {MOST_IMAGES:,} images, not {self.count!r}", option="synthetic")

    def __str__(self) -> str:
        return f"{self.count} synthetic images"

    def names(self, place: int) -> tuple[Path, ...]:
        """Return the names of the images for one of the model's inputs: they stand for the images everywhere."""
        of_input = f" of input {place}" if place else ""
        return tuple(Path(f"synthetic {number:04d}{of_input}") for number in range(self.count))


class SyntheticImages(Preprocessing):
    """What is done to every image of one model input, where images are drawn from their names."""

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> SyntheticImages:
        """Return the same preprocessing for synthetic images."""
        return cls(**vars(preprocessing))


def photograph_size(preprocessing: Preprocessing) -> Size:
    """Return the width and height in pixels, 4:3, of photographs for a network."""
    longest = max(*preprocessing.size, preprocessing.resize.short_side)
    longer = round(_OVERSIZE * longest) if longest else _OPEN_SIDE
    least, most = _SIDES
    longer = min(max(longer, least), most)
    return longer, longer * 3 // 4
