"""Regions: a map of one channel that says where something is, such as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, bootstrapped, mean_of_ratios
from pyncnnq.compare.source import source
from pyncnnq.compare.tasks.detection.boxes import Floats, Match, match
from pyncnnq.compare.tasks.drawing import Drawing, DrawnBox
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.model import Model

THRESHOLD = 0.3
"""Of the map: that of DB text detectors (M. Liao et al., AAAI 2020) as PaddleOCR runs them."""

_LEAST_SIDE = 3
"""Pixels of the map: smaller boxes are dropped, as PaddleOCR does."""

LEAST_IOU = 0.5

MOST = 1000
"""Boxes of one map."""

Box = tuple[int, int, int, int]
Boxes = tuple[tuple[Box, ...], tuple[Box, ...]]
"""Of the float and of the int8 model."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Where the maps of both models are above the threshold, in one sample.

    Attributes:
        common: pixels in both.
        either: pixels in at least one.
        boxes: around each connected region, of the float and of the int8 model: left, upper, right and lower side in
            pixels of the map.
        same: how many boxes both have, overlapping by more than a half.
        size: width and height of the map.
    """

    common: int
    either: int
    boxes: Boxes
    same: int
    size: tuple[int, int]


class FindingRegions(Task):
    """How well regions agree, pixel by pixel and box by box."""

    name = "regions"
    summary = "a map of one channel, as of text detectors: overlap of maps and of boxes around regions"

    def fits(self, model: Model) -> bool:
        """Return whether a Sigmoid writes the one output."""
        if len(model.outputs) != 1:
            return False
        writer = source(model.graph(), model.outputs[0])
        return writer is not None and (writer.type == "Sigmoid" or writer.op.activation.kind == "sigmoid")

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Regions | None:
        (name, *others) = exact
        maps = [_map(outputs[name]) for outputs in (exact, rough)]
        if others or maps[0] is None or not (self.forced or _lies_over(maps[0].shape, sample)):
            return None
        if maps[1] is None or maps[1].shape != maps[0].shape:
            maps[1] = np.zeros_like(maps[0])
        binary = [values > THRESHOLD for values in maps if values is not None]
        boxes = _boxes(binary[0]), _boxes(binary[1])
        return Regions(
            common=int((binary[0] & binary[1]).sum()),
            either=int((binary[0] | binary[1]).sum()),
            boxes=boxes,
            same=len(_matches(boxes)),
            size=(maps[0].shape[1], maps[0].shape[0]),
        )

    def figures(self, records: Sequence[Regions], labels: Sequence[Any] | None, _paths: Sequence[Path]) -> list[Figure]:
        before, after = (sum(len(record.boxes[model]) for record in records) for model in (0, 1))
        figures = [Figure(name="boxes", unit="", values=(before, after))]
        if before:
            figures.append(_hmean(records, gated=labels is None))
        common, either = ([getattr(record, part) for record in records] for part in ("common", "either"))
        if sum(either):
            figures.append(mean_of_ratios(f"IoU of maps above {THRESHOLD}", common, either))
        return figures

    def shown(self, records: Sequence[Regions], names: Sequence[str]) -> list[Drawing]:  # noqa: ARG002
        return [_drawing(record) for record in records]


REGIONS = FindingRegions()


def _hmean(records: Sequence[Regions], *, gated: bool) -> Figure:
    """Return the harmonic mean of the shares of the float model's boxes that int8 has, and of int8's that float has."""
    same = np.array([record.same for record in records])
    counts = np.array([len(record.boxes[0]) + len(record.boxes[1]) for record in records])

    def of(chosen: NDArray[np.int64]) -> float:
        total = counts[chosen].sum()
        return float(200 * same[chosen].sum() / total) if total else np.nan

    everything = np.arange(len(records))
    interval = bootstrapped(of, len(records))
    name = f"hmean of boxes at IoU {LEAST_IOU}"
    return Figure(name=name, unit="%", values=(None, of(everything)), interval=interval, gated=gated)


def _map(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the height and width of an array that has no other axes; None if it has."""
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    return values if values.ndim == 2 and min(values.shape) > 1 else None


def _lies_over(shape: tuple[int, ...], sample: Sample) -> bool:
    """Return whether a map has the aspect of a color image, and its size or a whole part of it."""
    channels = [each[0] for each in sample.shapes if len(each) == 3]
    if sample.size is None or channels[0] < 3:
        return False
    width, height = sample.size
    return height % shape[0] == 0 and width % shape[1] == 0 and height // shape[0] == width // shape[1]


def _boxes(binary: NDArray[np.bool_]) -> tuple[Box, ...]:
    import cv2  # only here: it takes long to import

    _, _, found, _ = cv2.connectedComponentsWithStats(binary.astype(np.uint8), connectivity=8)
    boxes = [
        (int(x), int(y), int(x + width), int(y + height))
        for x, y, width, height, _ in found[1:]  # the first is what is no region
        if min(width, height) >= _LEAST_SIDE
    ]
    return tuple(boxes[:MOST])


def _matches(boxes: Boxes) -> list[Match]:
    return match(_of_one_class(boxes[0]), _of_one_class(boxes[1]), LEAST_IOU)


def _drawing(record: Regions) -> Drawing:
    """Return the boxes of both models; where they have the same ones, pixels of the maps that differ count."""
    kept = _matches(record.boxes)
    shared = {(0, pair.exact): pair.iou for pair in kept} | {(1, pair.rough): pair.iou for pair in kept}
    width, height = record.size
    boxes = []
    for model in (0, 1):
        for place, (x1, y1, x2, y2) in enumerate(record.boxes[model]):
            sides = (x1 / width, y1 / height, x2 / width, y2 / height)
            boxes.append(DrawnBox(model=model, sides=sides, title="", overlap=shared.get((model, place))))
    lost, new = (len(each) - record.same for each in record.boxes)
    overlap = record.common / record.either if record.either else 1.0
    counts = f"{len(record.boxes[0])} in float, {len(record.boxes[1])} in int8: {lost} lost, {new} new"
    return Drawing(
        loss=lost + new + 1 - overlap,
        caption=f"{counts}; IoU of maps {overlap:.2f}",
        boxes=tuple(boxes),
        empty=not boxes,
    )


def _of_one_class(boxes: tuple[Box, ...]) -> tuple[NDArray[np.int64], Floats]:
    return np.zeros(len(boxes), np.int64), np.array(boxes, np.float64).reshape(-1, 4)
