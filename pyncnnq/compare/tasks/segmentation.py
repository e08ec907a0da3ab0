"""Semantic segmentation: a score for each class at each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, bootstrapped, mean_of_ratios
from pyncnnq.compare.tasks.drawing import Drawing, View
from pyncnnq.compare.tasks.task import Outputs, Sample, Task

_LEAST_CLASSES = 5
"""Without a softmax: fewer channels may be colors, or the two of a displacement."""

_GOLDEN = 0.618
"""From the hue of one class to that of the next, around the circle: the golden ratio keeps all apart."""

_SMOOTH = 0.8
"""The share of pixels that are of the class of their right neighbour, at least: areas are large, features are not."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """The class with the largest score at each pixel of one sample.

    Attributes:
        total: the number of pixels.
        counts: of each class that occurs: pixels that have it in both models, in float, and in int8.
    """

    total: int
    counts: dict[int, tuple[int, int, int]]

    @property
    def agreeing(self) -> int:
        """The number of pixels of one class in both models."""
        return sum(both for both, _, _ in self.counts.values())


class Segmentation(Task):
    """How many pixels are of the class that the float model gives them, and how well the areas of classes overlap."""

    name = "segmentation"
    summary = "a score of each class at each pixel: pixels of the same class, mean IoU of classes"

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Pixels | None:
        (name, *others) = exact
        scores = exact[name]
        if others or scores.ndim != 3 or len(scores) < 2 or not (self.forced or _are_scores(scores, sample)):
            return None
        first = scores.argmax(axis=0)
        same = rough[name].shape == scores.shape
        second = np.nan_to_num(rough[name], nan=-np.inf).argmax(axis=0) if same else np.full_like(first, -1)
        both = first[first == second]
        tallies = [np.bincount(values[values >= 0].ravel(), minlength=len(scores)) for values in (both, first, second)]
        occurring = np.flatnonzero(tallies[1] + tallies[2])
        counts = {
            int(label): (int(tallies[0][label]), int(tallies[1][label]), int(tallies[2][label])) for label in occurring
        }
        return Pixels(total=first.size, counts=counts)

    def figures(self, records: Sequence[Pixels], labels: Sequence[Any] | None, _paths: Sequence[Path]) -> list[Figure]:
        agreeing = [100.0 * record.agreeing for record in records]
        totals = [record.total for record in records]
        size = 1 + max(label for record in records for label in record.counts)
        table = np.zeros((len(records), size, 3))
        for place, record in enumerate(records):
            for label, counts in record.counts.items():
                table[place, label] = counts
        everything = np.arange(len(records))
        interval = bootstrapped(lambda chosen: _mean_iou(table[chosen]), len(records))
        mean = Figure(
            name="mean IoU of classes", unit="%", values=(None, _mean_iou(table[everything])), interval=interval
        )
        return [
            mean_of_ratios("pixels of the same class", agreeing, totals, unit="%", gated=labels is None),
            mean,
        ]

    def shown(self, records: Sequence[Pixels], names: Sequence[str]) -> list[Drawing]:  # noqa: ARG002
        parts = [record.agreeing / record.total for record in records]
        return [Drawing(loss=1 - part, caption=f"{100 * part:.1f} % of pixels of the same class") for part in parts]

    def views(self, exact: Outputs, rough: Outputs, _sample: Sample) -> list[View]:
        """Return the classes of pixels in both models in colours, and the pixels whose classes differ in white."""
        (scores,), (others,) = exact.values(), rough.values()
        first = scores.argmax(axis=0)
        shown = [View(title="float", pixels=_coloured(first))]
        if others.shape == scores.shape:
            second = np.nan_to_num(others, nan=-np.inf).argmax(axis=0)
            differs = np.repeat(255 * (first != second).astype(np.uint8)[..., None], 3, axis=2)
            shown += [View(title="int8", pixels=_coloured(second)), View(title="differ", pixels=differs)]
        return shown


SEGMENTATION = Segmentation()


def _mean_iou(table: NDArray[np.float64]) -> float:
    """Return the mean over the classes that the float model sees of their IoU over all pixels, in percent."""
    both, exact, rough = table.sum(axis=0).T
    seen = exact > 0
    return float(100 * (both[seen] / (exact + rough - both)[seen]).mean())


def _coloured(classes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return a colour for each class: the first is black, then hues far apart, every other one dark."""
    labels = np.arange(int(classes.max()) + 1)
    hues = labels[:, None] * _GOLDEN + np.array([0, 1 / 3, 2 / 3])
    palette = (0.5 + 0.5 * np.cos(2 * np.pi * hues)) * np.where(labels % 2, 255, 150)[:, None]
    palette[0] = 0
    colours: NDArray[np.uint8] = palette.astype(np.uint8)[classes]
    return colours


def _are_scores(scores: NDArray[np.float32], sample: Sample) -> bool:
    """Return whether channels are classes: they add up to 1 at each pixel, or there are many, of the image's size,
    and neighbours are of one class."""
    if sample.size is None or min(scores.shape[1:]) < 2:
        return False
    if scores.min() >= -1e-4 and np.allclose(scores.sum(axis=0), 1, atol=1e-2):
        return True
    width, height = sample.size
    if len(scores) < _LEAST_CLASSES or scores.shape[1:] != (height, width):
        return False
    best = scores.argmax(axis=0)
    return bool((best[:, 1:] == best[:, :-1]).mean() >= _SMOOTH)
