"""Samples of a report: where boxes, texts and pictures lie; the template makes SVG of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyncnnq.compare.tasks.drawing import DrawnBox, DrawnPoint, Piece, View
from pyncnnq.evaluation.evaluate import EvaluatedSample
from pyncnnq.evaluation.showing import LONGEST, ShownSample

MODELS = ("float", "int8")

_MOST_BOXES = 200
"""Of a sample: text detectors find up to a thousand, and a page with all of them would be slow."""

_MOST_POINTS = 2000
"""The same of keypoints: 17 of 100 people."""

_MOST_TAGS = 8
"""Of a sample: where more is lost or new, words would cover it."""

_TAG_HEIGHT, _LETTER = 12, 7.0
"""Of the drawing: how high a line of a tag is, and how wide a letter, wide ones too."""


@dataclass(frozen=True, kw_only=True)
class LaidBox:
    """A box in a drawing.

    Attributes:
        model: "float" or "int8".
        x, y, width, height: in the drawing.
        title: what it says when pointed at.
        alone: whether the other model lacks it.
        tag: what stands beside it; mostly nothing.
        tag_x, tag_y: where that begins, and its base line.
    """

    model: str
    x: float
    y: float
    width: float
    height: float
    title: str
    alone: bool
    tag: str
    tag_x: float
    tag_y: float


@dataclass(frozen=True, kw_only=True)
class LaidPoint:
    """A keypoint in a drawing.

    Attributes:
        model: "float" or "int8".
        x, y: in the drawing.
        title: what it says when pointed at.
    """

    model: str
    x: float
    y: float
    title: str


@dataclass(frozen=True, kw_only=True)
class LaidView:
    """A picture as a data URL, and what it is."""

    title: str
    image: str


@dataclass(frozen=True, kw_only=True)
class LaidSample:
    """A sample as the page shows it.

    Attributes:
        sample: what the evaluation says of it.
        caption: what differs.
        width, height: of the drawing; the longer one is LONGEST, whatever the size of the image.
        image: what the network sees, as a data URL; None where that is no image.
        boxes: over the image, those that one model lacks last.
        points: over the image.
        texts: "float" and "int8" with the pieces of their texts, and whether these differ; none without texts.
        views: pictures of the outputs.
    """

    sample: EvaluatedSample
    caption: str
    width: int
    height: int
    image: str | None
    boxes: list[LaidBox]
    points: list[LaidPoint]
    texts: list[tuple[str, list[tuple[str, bool]]]]
    views: list[LaidView]


def laid_out(shown: ShownSample) -> LaidSample:
    """Return how the page shows a sample that has a drawing."""
    drawing = shown.drawing
    assert drawing is not None
    height, width = shown.seen.pixels.shape[:2] if shown.seen else (LONGEST, LONGEST)
    scale = LONGEST / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    boxes = sorted(drawing.boxes, key=lambda box: box.overlap is None)[-_MOST_BOXES:]
    has_tags = sum(box.overlap is None for box in boxes) <= _MOST_TAGS
    return LaidSample(
        sample=shown.sample,
        caption=drawing.caption,
        width=size[0],
        height=size[1],
        image=_url(shown.seen),
        boxes=_apart([_laid(box, size, has_tag=has_tags and box.overlap is None) for box in boxes]),
        points=[_laid_point(point, size) for point in drawing.points[:_MOST_POINTS]],
        texts=_texts(drawing.text),
        views=[LaidView(title=view.title, image=image) for view in shown.views if (image := _url(view))],
    )


def jpeg(pixels: Any) -> str:
    """Return an image (blue, green and red, as OpenCV has them) as a data URL."""
    import cv2  # only here: it takes long to import

    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _url(view: View | None) -> str | None:
    return jpeg(view.pixels[..., ::-1].copy()) if view is not None else None


def _laid(box: DrawnBox, size: tuple[int, int], *, has_tag: bool) -> LaidBox:
    width, height = size
    x1, y1, x2, y2 = map(_near, box.sides)
    left, top = round(x1 * width, 1), round(y1 * height, 1)
    fate = f"IoU {box.overlap:.2f}" if box.overlap is not None else "new" if box.model else "lost"
    tag = f"{fate} {box.title}".strip() if has_tag else ""
    return LaidBox(
        model=MODELS[box.model],
        x=left,
        y=top,
        width=max(round(x2 * width - left, 1), 0.0),
        height=max(round(y2 * height - top, 1), 0.0),
        title=f"{MODELS[box.model]}: {', '.join(filter(None, (box.title, fate)))}",
        alone=box.overlap is None,
        tag=tag,
        tag_x=round(max(min(left, width - _LETTER * len(tag)), 2.0), 1),
        tag_y=round(top - 3 if top > _TAG_HEIGHT else max(top, 0.0) + _TAG_HEIGHT, 1),
    )


def _laid_point(point: DrawnPoint, size: tuple[int, int]) -> LaidPoint:
    model, (width, height) = MODELS[point.model], size
    x, y = round(_near(point.x) * width, 1), round(_near(point.y) * height, 1)
    return LaidPoint(model=model, x=x, y=y, title=f"{model}: {point.title}")


def _near(place: float) -> float:
    """Return a place in the image: what an int8 model sees may lie anywhere, and far outside is as good as just
    outside."""
    return min(max(place, -0.5), 1.5)


def _apart(boxes: Sequence[LaidBox]) -> list[LaidBox]:
    """Return boxes whose tags do not cover each other: those that would are moved down."""
    taken: list[LaidBox] = []
    placed = []
    for box in boxes:
        while box.tag and any(_cover(box, other) for other in taken):
            box = replace(box, tag_y=round(box.tag_y + 1, 1))
        taken += [box] * bool(box.tag)
        placed.append(box)
    return placed


def _cover(box: LaidBox, other: LaidBox) -> bool:
    first, second = sorted((box, other), key=lambda each: each.tag_x)
    return abs(box.tag_y - other.tag_y) < _TAG_HEIGHT and second.tag_x < first.tag_x + _LETTER * len(first.tag)


def _texts(pieces: Sequence[Piece]) -> list[tuple[str, list[tuple[str, bool]]]]:
    if not pieces:
        return []
    sides = ([piece.exact for piece in pieces], [piece.rough for piece in pieces])
    differs = [piece.exact != piece.rough for piece in pieces]
    return [
        (model, [(text, other) for text, other in zip(side, differs, strict=True) if text])
        for model, side in zip(MODELS, sides, strict=True)
    ]
