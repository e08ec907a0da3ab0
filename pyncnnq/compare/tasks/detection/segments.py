"""Instance segmentation: detections with a mask each, as ultralytics exports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, mean_of_ratios
from pyncnnq.compare.tasks.detection.boxes import Candidates, Floats
from pyncnnq.compare.tasks.detection.grids import Grid, Size
from pyncnnq.compare.tasks.detection.head import Form, between_0_and_1
from pyncnnq.compare.tasks.detection.task import Detected, Detection, figures_of, rows_of
from pyncnnq.compare.tasks.detection.yolo import Matrix, columns, in_pixels, is_decoded
from pyncnnq.compare.tasks.drawing import FLOAT_ALONE, INT8_ALONE, View
from pyncnnq.compare.tasks.task import Outputs, Sample


@dataclass(frozen=True, kw_only=True)
class Segmented(Detected):
    """What both models detect in one sample.

    Attributes:
        overlaps: intersection over union of the masks of each detection that both models have, in the order of
            `matches`.
    """

    overlaps: tuple[float, ...]


class InstanceSegmentation(Detection):
    """How many detections the int8 model keeps, and how well their masks overlap.

    YOLOv8-seg and its relatives: a matrix (4 + classes + prototypes) x places, or transposed, and prototypes of masks
    (prototypes x height x width).  A mask is where the prototypes, weighted by the numbers of a detection, are above 0
    within its box (D. Bolya et al., "YOLACT", ICCV 2019).
    """

    name = "instance-segmentation"
    summary = "detections with masks (YOLO-seg): kept, lost and new ones, overlap of masks"

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Segmented | None:
        named = _names(exact, sample.size)
        if named is None or sample.size is None:
            return None
        found = self._found(exact, rough, named)
        rows = rows_of(found[0]), rows_of(found[1]) if len(found) == 2 else ()
        boxes = Detected(size=sample.size, relative=False, rows=rows)
        overlaps = []
        for pair in boxes.matches():
            masks = [
                _mask(outputs, named, each, place, sample.size)
                for outputs, each, place in ((exact, found[0], pair.exact), (rough, found[1], pair.rough))
            ]
            either = int((masks[0] | masks[1]).sum())
            overlaps.append(float((masks[0] & masks[1]).sum() / either) if either else 1.0)
        return Segmented(size=sample.size, relative=False, rows=rows, overlaps=tuple(overlaps))

    def figures(
        self, records: Sequence[Detected], labels: Sequence[Any] | None, _paths: Sequence[Path]
    ) -> list[Figure]:
        figures = figures_of(records, labels)
        overlaps = [record.overlaps for record in records if isinstance(record, Segmented)]
        counts = [len(each) for each in overlaps]
        if sum(counts):
            figures.append(mean_of_ratios("IoU of masks of kept ones", [sum(each) for each in overlaps], counts))
        return figures

    def views(self, exact: Outputs, rough: Outputs, sample: Sample) -> list[View]:
        """Return where masks are: those of both models in white, of float alone in blue, of int8 alone in orange."""
        named = _names(exact, sample.size)
        if named is None or sample.size is None:
            return []
        covered = [np.zeros(exact[named[1]].shape[1:], bool) for _ in range(2)]
        for mask, outputs, each in zip(covered, (exact, rough), self._found(exact, rough, named), strict=False):
            for place in range(len(each.scores)):
                mask |= _mask(outputs, named, each, place, sample.size)
        pixels = np.zeros((*covered[0].shape, 3), np.uint8)
        for where, colour in (
            (covered[0] & covered[1], (255, 255, 255)),
            (covered[0] & ~covered[1], FLOAT_ALONE),
            (covered[1] & ~covered[0], INT8_ALONE),
        ):
            pixels[where] = colour
        return [View(title="masks: white in both, blue in float alone, orange in int8 alone", pixels=pixels)]

    def _found(self, exact: Outputs, rough: Outputs, named: tuple[str, str]) -> list[Candidates]:
        """Return the detections of both models, or of the float model alone where the shapes differ."""
        matrix, prototypes = named
        classes = columns({matrix: exact[matrix]}).shape[1] - 4 - len(exact[prototypes])
        form = Form(decode=lambda outputs: _decode(outputs, matrix, classes))
        sound = all(rough[name].shape == values.shape for name, values in exact.items())
        return [self.detect(form, outputs) for outputs in ((exact, rough) if sound else (exact,))]


INSTANCE_SEGMENTATION = InstanceSegmentation()


def _names(outputs: Outputs, size: Size | None) -> tuple[str, str] | None:
    """Return the names of the matrix and of the prototypes; None where outputs are not both."""
    by_dimensions = {values.ndim: name for name, values in outputs.items()}
    if len(outputs) != 2 or set(by_dimensions) != {2, 3} or size is None:
        return None
    matrix, prototypes = by_dimensions[2], by_dimensions[3]
    rows, count = columns({matrix: outputs[matrix]}), len(outputs[prototypes])
    grid = Grid.of_count(size, len(rows))
    scores = rows[:, 4 : rows.shape[1] - count]
    if grid is None or not between_0_and_1(scores) or not is_decoded(rows[:, :2], grid):
        return None
    return matrix, prototypes


def _decode(outputs: Outputs, matrix: str, classes: int) -> Candidates:
    rows = columns({matrix: outputs[matrix]})
    return in_pixels(rows, rows[:, 4 : 4 + classes])


def _mask(outputs: Outputs, names: tuple[str, str], found: Candidates, index: int, size: Size) -> NDArray[np.bool_]:
    """Return where a detection is, at the resolution of the prototypes."""
    rows: Matrix = columns({names[0]: outputs[names[0]]})
    prototypes = outputs[names[1]]
    weights = rows[found.places[index], -len(prototypes) :]
    mask: NDArray[np.bool_] = np.tensordot(weights, prototypes, axes=1) > 0
    height, width = mask.shape
    box: Floats = found.boxes[index] * np.tile([width / size[0], height / size[1]], 2)
    x, y = np.arange(width), np.arange(height)
    within = ((y >= box[1]) & (y < box[3]))[:, None] & ((x >= box[0]) & (x < box[2]))[None, :]
    inside: NDArray[np.bool_] = mask & within
    return inside
