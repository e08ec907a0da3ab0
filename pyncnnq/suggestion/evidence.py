"""How well what a network answers fits a candidate: a number for each image, larger for what is more likely.

A network that sees its images as in training answers a picture and its mirror image alike, different pictures
differently, and patches in disorder less surely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.suggestion.outputs import Kind
from pyncnnq.suggestion.probe import Look

Numbers = NDArray[np.float64]

IMPOSSIBLE = -1e9
"""The evidence for a candidate under which an output is not a number."""

_LEAST_DIFFERENCE = 1e-6
"""Scores that differ by less are the same."""
CLEAR = 0.5
"""A candidate of less than this part of the best clarity is ranked behind."""
WEIGHT_OF_NULL = 0.5
"""Patches in disorder count half: an answer is as like itself as can be, so that what they give is too large."""

LEAST_CLASSES = 8
"""A network of fewer classes answers images of other things too much alike, and is saturated too easily."""
SURER = 0.9
"""The part of its sureness of images that a classifier may have of patches in disorder."""

BY_MOMENTS = "what its first BatchNorm remembers of its training"
_BY_KIND = {
    Kind.CLASSES: "how surely and how alike it names the classes of images and their mirror images",
    Kind.STEPS: "how surely and how alike it reads images and the same a little further",
    Kind.IMAGE: "how close the images that it makes come to those that it gets",
    Kind.MAP: "how much more its maps of images and their mirror images agree than those of different images",
    Kind.BOXES: "how much more its scores of images and their mirror images agree than those of different images",
}


def basis_of(looks: Sequence[Look]) -> str:
    """Return in words what the evidence rests on."""
    kinds = looks[0].kinds
    return _BY_KIND[next(kind for kind in (Kind.IMAGE, Kind.CLASSES, Kind.STEPS, *kinds) if kind in kinds)]


@dataclass(frozen=True)
class Evidence:
    """What speaks for a candidate.

    Attributes:
        values: from each image, larger for what is more likely.
        clarity: what part of all differences between answers is that between different images.
    """

    values: Numbers
    clarity: float = 1.0

    @property
    def mean(self) -> float:
        """The mean over the images."""
        return float(self.values.mean())


def ranking(evidence: Sequence[Evidence]) -> list[int]:
    """Return the places of candidates, the likeliest first; those behind that are far less clear than the clearest, as
    what saturates the network is."""
    clearest = max((each.clarity for each in evidence), default=0.0)
    return sorted(
        range(len(evidence)), key=lambda place: (evidence[place].clarity < CLEAR * clearest, -evidence[place].mean)
    )


def evidence_of(looks: Sequence[Look]) -> Evidence:
    """Return the evidence of images for a candidate; see docs/preprocessing.md."""
    kinds = looks[0].kinds
    if any(look.kinds != kinds for look in looks) or not all(map(_is_finite, looks)):
        return Evidence(np.full(len(looks), IMPOSSIBLE), 0.0)
    if Kind.IMAGE in kinds:
        return Evidence(_fidelity(looks, kinds.index(Kind.IMAGE)))
    discrete = [place for place, kind in enumerate(kinds) if kind in (Kind.CLASSES, Kind.STEPS)]
    if discrete:
        parts = [_recognition(_answers(looks, place), _likeness) for place in discrete]
        return Evidence(np.mean([part.values for part in parts], axis=0))
    scores = [_scores(_answers(looks, place), kind) for place, kind in enumerate(kinds)]
    bounded = [answers for answers in scores if answers is not None]
    chosen = bounded or [np.tanh(_answers(looks, place)) for place in range(len(kinds))]
    parts = [_recognition(answers, _closeness) for answers in chosen]
    values = np.mean([part.values for part in parts], axis=0)
    return Evidence(values, float(np.mean([part.clarity for part in parts])))


def recognizing(looks: Sequence[Look]) -> bool:
    """Return whether all outputs seem to be classes."""
    return set(looks[0].kinds) == {Kind.CLASSES}


def recognizes(looks: Sequence[Look]) -> bool:
    """Return whether answers are those of a classifier of some classes that is surer of images than of their patches in
    disorder; what saturates it makes it sure of everything."""
    if not recognizing(looks) or any(answer.size < LEAST_CLASSES for answer in looks[0].plain):
        return False
    own = sum(float(a @ b) for look in looks for a, b in zip(look.plain, look.again, strict=True))
    null = sum(float(a @ a) for look in looks for a in look.null)
    return null <= SURER * own


def _is_finite(look: Look) -> bool:
    return all(bool(np.isfinite(array).all()) for answers in (look.plain, look.again, look.null) for array in answers)


def _answers(looks: Sequence[Look], place: int) -> Numbers:
    """Return the answers of one output to all views, shape (3 views, images, rows, numbers of a row)."""
    rows = looks[0].plain[place].shape[0] if looks[0].plain[place].ndim == 2 else 1
    views = ([getattr(look, view)[place] for look in looks] for view in ("plain", "again", "null"))
    return np.stack([np.stack(view).astype(np.float64).reshape(len(looks), rows, -1) for view in views])


def _scores(answers: Numbers, kind: Kind) -> Numbers | None:
    """Return what of the answers are scores, which lie between 0 and 1; None if nothing does."""
    if kind is Kind.BOXES:  # the largest and the smallest value
        are_scores = (answers[:, :, 0].max(axis=(0, 1)) <= 1) & (answers[:, :, 1].min(axis=(0, 1)) >= 0)
        return answers[:, :, :1, are_scores] if are_scores.any() else None
    return answers if answers.min() >= 0 and answers.max() <= 1 else None


def _recognition(answers: Numbers, alike: Callable[[Numbers, Numbers], Numbers]) -> Evidence:
    """Return how much more alike two views of an image are than those of different images, less the same of patches in
    disorder."""
    plain, again, null = answers
    pairs = alike(plain, again)
    values = _contrast(pairs) - WEIGHT_OF_NULL * _contrast(alike(null, null))
    own = np.diag(pairs)
    differences = -float(own.mean() + (pairs.sum() - own.sum()) / max(1, pairs.size - own.size))
    return Evidence(values, float(values.mean()) / max(differences, _LEAST_DIFFERENCE))


def _likeness(first: Numbers, second: Numbers) -> Numbers:
    """Return how probable it is that two answers name the same class, for all pairs: shape (images, images)."""
    images, steps = first.shape[:2]
    products: Numbers = first.reshape(images, -1) @ second.reshape(images, -1).T / steps
    return products


def _closeness(first: Numbers, second: Numbers) -> Numbers:
    """Return how little two answers differ, for all pairs."""
    return -np.stack([np.abs(one - second).mean(axis=(1, 2)) for one in first])


def _contrast(pairs: Numbers) -> Numbers:
    images = len(pairs)
    own = np.diag(pairs)
    contrast: Numbers = own - (pairs.sum(axis=1) - own) / max(1, images - 1)
    return contrast


def _fidelity(looks: Sequence[Look], place: int) -> Numbers:
    """Return how close an output that is an image comes to the input, in parts of the input's contrast."""
    errors = []
    for look in looks:
        output, pixels = look.plain[place].astype(np.float64), look.pixels.astype(np.float64)
        errors.append(-np.sqrt(np.square(output - pixels).mean()) / max(float(pixels.std()), 1e-12))
    return np.array(errors)
