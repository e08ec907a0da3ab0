"""Boxes as rows: how much they overlap, which of them a program keeps, and which of two models are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a detector says of each place: the class with the largest score, that score, and the box.

    Attributes:
        classes: of shape (n,).
        scores: of shape (n,), from 0 to 1.
        boxes: left, top, right and bottom, of shape (n, 4).
        places: which of the detector's places each is, of shape (n,): there stands what else it says, such as a mask.
    """

    classes: NDArray[np.int64]
    scores: Floats
    boxes: Floats
    places: NDArray[np.int64]

    @classmethod
    def best(cls, scores: NDArray[np.float32], boxes: Floats) -> Candidates:
        """Return the class with the largest score at each place; of equals the first.

        Args:
            scores: of shape (places, classes).
            boxes: of shape (places, 4).
        """
        classes = scores.argmax(axis=1)
        places = np.arange(len(scores))
        return cls(classes=classes, scores=scores[places, classes].astype(np.float64), boxes=boxes, places=places)

    def take(self, indices: NDArray[np.int64]) -> Candidates:
        """Return some of them."""
        return Candidates(
            classes=self.classes[indices],
            scores=self.scores[indices],
            boxes=self.boxes[indices],
            places=self.places[indices],
        )


class Match(NamedTuple):
    """A detection that two models have: its place in the lists of both, and how much the boxes overlap."""

    exact: int
    rough: int
    iou: float


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Return the intersection over union of each of n boxes with each of m others, of shape (n, m).

    It does not change if both axes are scaled, so it does not matter whether boxes are in pixels or in parts of the
    image.  Boxes without an area overlap with nothing.
    """
    first, second = boxes[:, None, :], others[None, :, :]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    union = _areas(boxes)[:, None] + _areas(others)[None, :] - common
    ratios: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return ratios


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    return areas


def suppress(candidates: Candidates, *, threshold: float, most_iou: float, most: int) -> Candidates:
    """Return the candidates that a program shows, the highest score first: those with a score above the threshold
    that do not overlap with a better one of their class (non-maximum suppression).

    What is not finite is left out.

    Args:
        candidates: of one image.
        threshold: scores must be above it.
        most_iou: boxes of one class that overlap by more are one thing.
        most: how many to return at most.
    """
    sound = (candidates.scores > threshold) & np.isfinite(candidates.boxes).all(axis=1)
    left = candidates.take(np.flatnonzero(sound))
    left = left.take(np.argsort(-left.scores, kind="stable"))
    kept: list[int] = []
    alive = np.ones(len(left.scores), bool)
    for index in range(len(left.scores)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        same = overlaps(left.boxes[index : index + 1], left.boxes)[0] > most_iou
        alive[same & (left.classes == left.classes[index])] = False
    return left.take(np.array(kept, np.int64))


def match(
    exact: tuple[NDArray[np.int64], Floats], rough: tuple[NDArray[np.int64], Floats], least_iou: float
) -> list[Match]:
    """Return which detections two models have in common: of the same class, and overlapping by more than a bound.

    Each of the first model, in the given order (the highest score first), takes the one of the second that it overlaps
    with most and that is not taken yet.

    Args:
        exact, rough: classes and boxes of both.
        least_iou: the bound.
    """
    same = np.where(exact[0][:, None] == rough[0][None, :], overlaps(exact[1], rough[1]), 0.0)
    matches = []
    for index, row in enumerate(same):
        if row.size and row.max() > least_iou:
            partner = int(row.argmax())
            matches.append(Match(index, partner, float(row[partner])))
            same[:, partner] = 0.0
    return matches
