"""Images: the output is a picture, such as the input in a higher resolution, without noise, or in another style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, mean_of_ratios
from pyncnnq.compare.tasks.drawing import Drawing, View, as_pixels
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.inputs.preprocessing import Preprocessing
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model

MOST_PSNR = 100.0
"""Decibels that equal images are given, so that means stay finite."""

_FACTORS = range(1, 9)
"""By how much an output may be larger than the input."""

_MOST_BORDER = 80
"""Pixels of the output that both sides lose together; in known networks up to 72."""

_SHOWN = 320
"""Pixels of a side of what reports show of larger pictures: pixel for pixel, since a smaller one hides errors."""

_COMMON = 0.99
"""The share of differences that are shown as they are; the others are white, and do not make the rest invisible."""

_MOST_FACTOR = 8
"""The power of two by which differences are multiplied at most: 256 shows less than half a step of 255."""

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How close the int8 model's picture is to the float model's, in one sample.

    Attributes:
        psnr: peak signal-to-noise ratio in dB, at most 100.
        ssim: structural similarity, up to 1; None for pictures smaller than its window of 11x11.
    """

    psnr: float
    ssim: float | None


class Images(Task):
    """How close pictures are, by noise and by structure."""

    name = "image"
    summary = "pictures, as of super-resolution: PSNR and SSIM to float"

    def __init__(self) -> None:
        self._is_bgr = False

    def prepared(self, model: Model, inputs: Sequence[InputSpec] = (), *, forced: bool = False) -> Self:
        """Return the task that knows the order of colors."""
        prepared = super().prepared(model, inputs, forced=forced)
        prepared._is_bgr = any(isinstance(spec, Preprocessing) and spec.pixel.startswith("BGR") for spec in inputs)
        return prepared

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Picture | None:
        (name, *others) = exact
        picture = exact[name]
        if others or picture.ndim != 3 or not (self.forced or _is_picture(picture.shape, sample)):
            return None
        if rough[name].shape != picture.shape:
            return Picture(psnr=-math.inf, ssim=0.0)
        low, high = value_range(picture)
        first, second = (np.clip(values.astype(np.float64), low, high) for values in (picture, rough[name]))
        second = np.nan_to_num(second, nan=low)
        return Picture(psnr=psnr(first, second, high - low), ssim=ssim(first, second, high - low))

    def figures(
        self, records: Sequence[Picture], _labels: Sequence[Any] | None, _paths: Sequence[Path]
    ) -> list[Figure]:
        ones = [1] * len(records)
        figures = [mean_of_ratios("PSNR to float", [record.psnr for record in records], ones, unit="dB")]
        similar = [record.ssim for record in records if record.ssim is not None]
        if len(similar) == len(records):
            figures.append(mean_of_ratios("SSIM to float", similar, ones))
        return figures

    def shown(self, records: Sequence[Picture], names: Sequence[str]) -> list[Drawing]:  # noqa: ARG002
        return [Drawing(loss=-record.psnr, caption=_caption(record)) for record in records]

    def views(self, exact: Outputs, rough: Outputs, _sample: Sample) -> list[View]:
        """Return both pictures, and their difference, where they differ most."""
        (picture,), (other,) = exact.values(), rough.values()
        low, high = value_range(picture)
        if other.shape != picture.shape:
            return [View(title="float", pixels=self._pixels(picture, low, high))]
        first, second = (np.nan_to_num(np.clip(values, low, high), nan=low) for values in (picture, other))
        difference = np.abs(first - second)
        part = (slice(None), *map(_around, _worst(difference), difference.shape[1:]))
        common = float(np.quantile(difference[part], _COMMON)) / (high - low)
        factor = 2 ** min(max(0, math.floor(-math.log2(common))), _MOST_FACTOR) if common else 2**_MOST_FACTOR
        return [
            View(title="float", pixels=self._pixels(first[part], low, high)),
            View(title="int8", pixels=self._pixels(second[part], low, high)),
            View(title=f"difference x {factor}", pixels=self._pixels(difference[part], 0.0, (high - low) / factor)),
        ]

    def _pixels(self, values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
        return as_pixels(values[::-1] if self._is_bgr else values, low, high)


IMAGES = Images()


def _caption(record: Picture) -> str:
    similar = f", SSIM {record.ssim:.3f}" if record.ssim is not None else ""
    return f"PSNR {record.psnr:.1f} dB{similar}" if math.isfinite(record.psnr) else "of another shape in int8"


def _worst(difference: NDArray[np.float32]) -> tuple[int, int]:
    """Return row and column of the largest of differences (channels, height, width)."""
    flat = int(difference.sum(axis=0).argmax())
    return flat // difference.shape[2], flat % difference.shape[2]


def _around(place: int, size: int) -> slice:
    """Return a piece of an axis with a place in its middle, as far as the axis goes."""
    start = min(max(place - _SHOWN // 2, 0), max(size - _SHOWN, 0))
    return slice(start, start + _SHOWN)


def value_range(picture: NDArray[np.float32]) -> tuple[float, float]:
    """Return from which to which value pixels go, by those of a picture: 0 to 1, -1 to 1, or 0 to 255.

    Networks overshoot a little; programs clip.
    """
    if picture.max() > 4:
        return 0.0, 255.0
    return (-1.0, 1.0) if picture.min() < -0.5 else (0.0, 1.0)


def psnr(exact: NDArray[np.float64], rough: NDArray[np.float64], span: float) -> float:
    """Return the peak signal-to-noise ratio in dB, at most 100."""
    noise = float(np.square(exact - rough).mean())
    return min(MOST_PSNR, 10 * math.log10(span**2 / noise)) if noise else MOST_PSNR


def ssim(exact: NDArray[np.float64], rough: NDArray[np.float64], span: float) -> float | None:
    """Return the mean structural similarity over channels and windows of 11x11 (Z. Wang et al., IEEE Transactions on
    Image Processing 13 (2004) 600-612); None for pictures smaller than a window.

    Args:
        exact, rough: of shape (channels, height, width).
        span: of the values.
    """
    if min(exact.shape[1:]) < _WINDOW:
        return None
    small, little = (_K1 * span) ** 2, (_K2 * span) ** 2
    values = []
    for x, y in zip(exact, rough, strict=True):
        mean_x, mean_y = _local_mean(x), _local_mean(y)
        variance_x = _local_mean(x * x) - mean_x**2
        variance_y = _local_mean(y * y) - mean_y**2
        covariance = _local_mean(x * y) - mean_x * mean_y
        likeness = (2 * mean_x * mean_y + small) * (2 * covariance + little)
        likeness /= (mean_x**2 + mean_y**2 + small) * (variance_x + variance_y + little)
        values.append(likeness.mean())
    return float(np.mean(values))


def _local_mean(channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean in each window that lies within the picture, weighted by a Gaussian."""
    import cv2  # only here: it takes long to import

    border = _WINDOW // 2
    means = cv2.GaussianBlur(channel, (_WINDOW, _WINDOW), _SIGMA)[border:-border, border:-border]
    return np.asarray(means, np.float64)


def _is_picture(shape: tuple[int, ...], sample: Sample) -> bool:
    """Return whether a shape is that of the one image which goes in, its width and height the same number of times,
    less a border that is the same on all sides (waifu2x, Real-CUGAN)."""
    if sample.size is None or len(sample.shapes) != 1:
        return False
    (channels, height, width) = sample.shapes[0]
    if shape[0] not in (1, 3) or shape[0] > channels or (shape[0] == 1 and channels != 1):
        return False
    borders = [(factor * height - shape[1], factor * width - shape[2]) for factor in _FACTORS]
    return any(low == left and 0 <= low <= _MOST_BORDER and low % 2 == 0 for low, left in borders)
