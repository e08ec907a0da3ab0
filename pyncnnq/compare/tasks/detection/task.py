"""The task: what both models detect, and how much of it is the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, mean_of_ratios, share
from pyncnnq.compare.source import source
from pyncnnq.compare.tasks.class_labels import FOLDERS
from pyncnnq.compare.tasks.detection.anchors import anchored
from pyncnnq.compare.tasks.detection.boxes import Candidates, Floats, Match, match, suppress
from pyncnnq.compare.tasks.detection.grids import Size
from pyncnnq.compare.tasks.detection.head import Form, Head, Scene
from pyncnnq.compare.tasks.detection.labels import Box, as_network_sees, find_boxes, size_of
from pyncnnq.compare.tasks.detection.nanodet import nanodet, nanodet_plus
from pyncnnq.compare.tasks.detection.picked import PICKING, picked
from pyncnnq.compare.tasks.detection.precision import average_precision, check_available
from pyncnnq.compare.tasks.detection.retinaface import retinaface
from pyncnnq.compare.tasks.detection.scrfd import scrfd
from pyncnnq.compare.tasks.detection.yolo import distributions, ultralytics, with_objectness, yolox
from pyncnnq.compare.tasks.drawing import Drawing, DrawnBox
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.errors import InputError
from pyncnnq.inputs.preprocessing import Preprocessing
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model

HEADS: Sequence[Head] = (
    picked,
    nanodet,
    nanodet_plus,
    scrfd,
    retinaface,
    with_objectness,
    yolox,
    ultralytics,
    distributions,
    anchored,
)
"""In the order in which they are tried."""

MOST = 100
"""Detections of one image, as COCO counts them."""

IOUS = (0.5, 0.75)


class Row(NamedTuple):
    """One detection: its class, score, and the left, upper, right and lower side of its box."""

    label: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What both models detect in one sample.

    Attributes:
        size: width and height of the network's input; None where it has no image.
        relative: whether boxes are in parts of the network's input, from 0 to 1, in place of its pixels.
        rows: of the float and of the int8 model, the highest score first, at most 100 of each.
    """

    size: Size | None
    relative: bool
    rows: tuple[tuple[Row, ...], tuple[Row, ...]]

    def matches(self, least_iou: float = IOUS[0]) -> list[Match]:
        """Return which detections of the float model the int8 model has too: of the same class, boxes overlapping by
        more than a bound."""
        exact, rough = (_arrays(rows) for rows in self.rows)
        return match(exact, rough, least_iou)

    def relative_rows(self, model: int) -> list[Row]:
        """Return the detections of the float (0) or the int8 model (1), boxes in parts of the network's input."""
        if self.relative or self.size is None:
            return list(self.rows[model])
        width, height = self.size
        return [
            Row(label, score, x1 / width, y1 / height, x2 / width, y2 / height)
            for label, score, x1, y1, x2, y2 in self.rows[model]
        ]


class Detection(Task):
    """How many of the float model's detections the int8 model keeps.

    Attributes:
        threshold: scores of detections are above it.  Programs show those above 0.25 to 0.5; a little below, what is
            near their thresholds counts, and noise does not.
        most_iou: boxes of one class that overlap by more are one detection; 0.45 as in ncnn's examples and YOLOv5.
    """

    name = "detection"
    summary = "boxes with classes and scores: kept, lost and new ones; `detection:0.25` sets the least score"

    def __init__(self, threshold: float = 0.2, most_iou: float = 0.45) -> None:
        self.threshold = threshold
        self.most_iou = most_iou
        self._picked: frozenset[str] = frozenset()
        self._input: InputSpec | None = None

    def fits(self, model: Model) -> bool:
        """Return whether a model has an output that is no copy of what it is given: values decide the rest."""
        return bool(model.outputs)

    def prepared(self, model: Model, inputs: Sequence[InputSpec] = (), *, forced: bool = False) -> Self:
        """Return the task that knows which outputs a layer writes that picks detections, and how images are resized."""
        prepared = super().prepared(model, inputs, forced=forced)
        writers = {name: source(model.graph(), name) for name in model.outputs}
        prepared._picked = frozenset(name for name, layer in writers.items() if layer and layer.type in PICKING)
        prepared._input = inputs[0] if inputs else None
        return prepared

    def with_setting(self, text: str) -> Self:
        """Return the task with another threshold."""
        try:
            threshold = float(text)
        except ValueError:
            threshold = math.nan
        if not 0 <= threshold < 1:
            raise InputError(
                f"{self.name}:{text}: expected the score that detections have at least, from 0 to 1, such as "
                f"{self.name}:0.25",
                option="task",
            )
        return type(self)(threshold, self.most_iou)

    def takes_labels(self, source: str) -> bool:
        """Return whether labels are a COCO file or a folder."""
        return source != FOLDERS and (Path(source).suffix.lower() == ".json" or Path(source).is_dir())

    def read_labels(self, source: str, paths: Sequence[Path]) -> list[tuple[Box, ...]]:
        """Return what is in each image, in parts of the network's input."""
        found = find_boxes(source, paths)
        check_available()
        spec = self._input
        if not isinstance(spec, Preprocessing) or spec.resize.mode == "stretch":
            return found
        return [
            as_network_sees(boxes, size, spec) if boxes and (size := size_of(path)) else ()
            for boxes, path in zip(found, paths, strict=True)
        ]

    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Detected | None:
        scene = Scene(size=sample.size, picked=self._picked, forced=self.forced)
        form = next((form for head in HEADS if (form := head(exact, scene))), None)
        if form is None:
            return None
        sound = form.any_count or all(rough[name].shape == values.shape for name, values in exact.items())
        rows = rows_of(self.detect(form, exact)), rows_of(self.detect(form, rough)) if sound else ()
        return Detected(size=sample.size, relative=form.relative, rows=rows)

    def detect(self, form: Form, outputs: Outputs) -> Candidates:
        """Return what a program would show of a model's outputs."""
        found = form.decode(outputs)
        return suppress(found, threshold=self.threshold, most_iou=self.most_iou, most=MOST)

    def figures(
        self, records: Sequence[Detected], labels: Sequence[Any] | None, _paths: Sequence[Path]
    ) -> list[Figure]:
        return figures_of(records, labels)

    def shown(self, records: Sequence[Detected], names: Sequence[str]) -> list[Drawing]:
        return [_drawing(record, names) for record in records]


DETECTION = Detection()


def figures_of(records: Sequence[Detected], labels: Sequence[Sequence[Box]] | None) -> list[Figure]:
    """Return how many detections both models have, how many are the same, and by how much these differ; with labels,
    the average precision of both."""
    counts = [(len(record.rows[0]), len(record.rows[1])) for record in records]
    before, after = sum(exact for exact, _ in counts), sum(rough for _, rough in counts)
    figures = [Figure(name="detections", unit="", values=(before, after))]
    matches = [record.matches() for record in records]
    kept = [len(each) for each in matches]
    exact_counts = [exact for exact, _ in counts]
    if before + after:
        # What is new counts too: scores that rise keep all detections.
        halves = [(exact + rough) / 2 for exact, rough in counts]
        hits = [100.0 * count for count in kept]
        figures.append(mean_of_ratios(f"F1 to float at IoU {IOUS[0]}", hits, halves, unit="%", gated=labels is None))
    if before:
        figures.append(share(f"kept at IoU {IOUS[0]}", kept, exact_counts))
        stricter = [len(record.matches(IOUS[1])) for record in records]
        figures.append(share(f"kept at IoU {IOUS[1]}", stricter, exact_counts))
    figures.append(Figure(name="lost", unit="", values=(None, before - sum(kept))))
    figures.append(Figure(name="new", unit="", values=(None, after - sum(kept))))
    if sum(kept):
        pairs = list(zip(records, matches, strict=True))
        drifts = [
            math.fsum(record.rows[1][pair.rough].score - record.rows[0][pair.exact].score for pair in each)
            for record, each in pairs
        ]
        figures.append(mean_of_ratios("score of kept ones, int8 minus float", drifts, kept))
        overlap = [math.fsum(pair.iou for pair in each) for each in matches]
        figures.append(mean_of_ratios("IoU of kept ones", overlap, kept))
    return figures if labels is None else figures + _precisions(records, labels)


def _precisions(records: Sequence[Detected], labels: Sequence[Sequence[Box]]) -> list[Figure]:
    pairs = [average_precision(labels, [record.relative_rows(model) for record in records]) for model in (0, 1)]
    return [
        Figure(name=name, unit="%", values=(pairs[0][place], pairs[1][place]), gated=place == 0)
        for place, name in enumerate(("mean AP at IoU 0.5 to 0.95", "mean AP at IoU 0.5"))
    ]


def _drawing(record: Detected, names: Sequence[str]) -> Drawing:
    """Return the boxes of both models: those of one alone weigh most, and of kept ones the change of the score."""
    kept = record.matches()
    partners = {(0, pair.exact): pair for pair in kept} | {(1, pair.rough): pair for pair in kept}
    boxes = []
    for model in (0, 1):
        for place, row in enumerate(record.relative_rows(model)):
            pair = partners.get((model, place))
            name = names[row.label] if row.label < len(names) else f"class {row.label}"
            sides = (row.x1, row.y1, row.x2, row.y2)
            title = f"{name} {row.score:.2f}"
            boxes.append(DrawnBox(model=model, sides=sides, title=title, overlap=pair.iou if pair else None))
    lost, new = (len(rows) - len(kept) for rows in record.rows)
    drift = math.fsum(abs(record.rows[1][pair.rough].score - record.rows[0][pair.exact].score) for pair in kept)
    return Drawing(
        loss=lost + new + drift,
        caption=f"{len(record.rows[0])} in float, {len(record.rows[1])} in int8: {lost} lost, {new} new",
        boxes=tuple(boxes),
        empty=not boxes,
    )


def rows_of(found: Candidates) -> tuple[Row, ...]:
    """Return detections as plain data."""
    return tuple(
        Row(int(label), float(score), *map(float, box))
        for label, score, box in zip(found.classes, found.scores, found.boxes, strict=True)
    )


def _arrays(rows: Sequence[Row]) -> tuple[NDArray[np.int64], Floats]:
    labels = np.array([row.label for row in rows], np.int64)
    return labels, np.array([row[2:] for row in rows], np.float64).reshape(-1, 4)
