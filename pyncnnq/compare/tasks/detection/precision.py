"""Mean average precision of detections, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyncnnq.compare.tasks.detection.labels import Box
from pyncnnq.errors import InputError

Found = Sequence[tuple[int, float, float, float, float, float]]
"""Class, score and sides of each detection of an image."""


def check_available() -> None:
    """Find out before long work whether detections can be compared with the truth.

    Raises:
        InputError: pycocotools is not installed.
    """
    try:
        import pycocotools  # noqa: F401
    except ImportError:
        problem = "boxes need pycocotools, which is not installed: pip install 'pyncnnq[coco]'"
        raise InputError(problem, option="labels") from None


def average_precision(truth: Sequence[Sequence[Box]], found: Sequence[Found]) -> tuple[float, float]:
    """Return COCO's mean average precision over IoUs from 0.5 to 0.95, and that at IoU 0.5, in percent; NaN where there
    is nothing to be found.

    Args:
        truth, found: of each image, in the same units.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        known = COCO()
        known.dataset = _dataset(truth, found)
        known.createIndex()
        results = COCO()
        results.dataset = {**known.dataset, "annotations": _results(found)}
        results.createIndex()
        evaluation = COCOeval(known, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # of all areas, 100 detections for each image
    defined = precision > -1
    first = defined[0]
    return (
        float(100 * precision[defined].mean()) if defined.any() else np.nan,
        float(100 * precision[0][first].mean()) if first.any() else np.nan,
    )


def _dataset(truth: Sequence[Sequence[Box]], found: Sequence[Found]) -> dict[str, Any]:
    labels = {box[0] for image in (*truth, *found) for box in image}
    annotations = [
        {**_annotation(image, box.label, box[1:5]), "iscrowd": int(box.crowd), "ignore": int(box.crowd)}
        for image, boxes in enumerate(truth)
        for box in boxes
    ]
    return {
        "images": [{"id": image} for image in range(len(truth))],
        "categories": [{"id": label} for label in sorted(labels)],
        "annotations": _numbered(annotations),
    }


def _results(found: Sequence[Found]) -> list[dict[str, Any]]:
    rows = [
        {**_annotation(image, label, sides), "score": score}
        for image, rows in enumerate(found)
        for label, score, *sides in rows
    ]
    return _numbered(rows)


def _annotation(image: int, label: int, sides: Sequence[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = sides
    width, height = x2 - x1, y2 - y1
    return {"image_id": image, "category_id": label, "bbox": [x1, y1, width, height], "area": width * height}


def _numbered(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"iscrowd": 0, **annotation, "id": number} for number, annotation in enumerate(annotations, start=1)]
