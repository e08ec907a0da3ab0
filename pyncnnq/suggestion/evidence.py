"""How well what a network answers fits a candidate: a number for each image, larger for what is more likely.

A network that sees its images as in training answers two views of a picture alike, and different pictures differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.suggestion.outputs import Kind
from pyncnnq.suggestion.probe import VIEWS, Look

Numbers = NDArray[np.float64]

_DISCRETE = (Kind.CLASSES, Kind.STEPS)

IMPOSSIBLE = -1e9
"""The evidence for a candidate under which an output is not a number."""

SOFTENINGS = (0.1, 0.13, 0.17, 0.22, 0.28, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
"""Powers to which probabilities of classes may be raised before they are compared."""
KEPT = 0.93
"""The part of the clearest candidate's evidence that softening leaves.  A sure network says 1.00 and 0.00 under many
candidates; softened, its answers differ by what it thinks of the other classes too, and tell more.  Softened further,
they count for the size of its logits, which larger pixels make larger, more than for what it recognizes."""
LEAST = 0.5
"""The evidence of a classifier that recognizes anything."""
_FLOOR = 1e-5
"""The least probability that scores are taken to give: no network is to be trusted when it excludes something."""
_LEAST_DIFFERENCE = 1e-6
"""Scores that differ by less are the same."""
CLEAR = 0.5
"""A candidate of less than this part of the best clarity is ranked behind."""
WEIGHT_OF_NULL = 0.5
"""Patches in disorder count half: an answer is as like itself as can be, so that what they give is too large."""

LEAST_CLASSES = 8
"""A network of fewer classes answers images of other things too much alike, and is saturated too easily."""
ORDER = 0.5
"""The part of a classifier's evidence that patches in disorder may give: what answers to colours and textures alone
takes them for the image."""
SATURATED = 0.9
"""A network is saturated where, softened as far as may be, two draws from one of its answers still agree as often as
this: its logits differ by 50 and more, as those of pixels do that are 255 times too large."""

BY_MOMENTS = "what its first BatchNorm remembers of its training"
_BY_KIND = {
    Kind.CLASSES: "how well its answers tell the mirror image of each image, cut smaller, from the other images",
    Kind.STEPS: "how surely and how alike it reads images and the same a little further",
    Kind.IMAGE: "how close the images that it makes come to those that it gets",
    Kind.MAP: "how much more its maps of images and their mirror images agree than those of different images",
    Kind.BOXES: "how well its scores tell the mirror image of each image from the other images",
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


def softening_of(candidates: Sequence[Sequence[Look]]) -> float:
    """Return the least power that leaves most of the evidence for the clearest candidate.

    Args:
        candidates: for each the answers under it.
    """
    clearest = [max(evidence_of(looks, softening).mean for looks in candidates) for softening in SOFTENINGS]
    return next(
        softening
        for softening, evidence in zip(SOFTENINGS, clearest, strict=True)
        if evidence >= KEPT * max(clearest) or softening == SOFTENINGS[-1]
    )


def evidence_of(looks: Sequence[Look], softening: float) -> Evidence:
    """Return the evidence of images for a candidate; see docs/preprocessing.md.

    Args:
        looks: the answers to the images.
        softening: the power to which probabilities of classes are raised.
    """
    kinds = looks[0].kinds
    if any(look.kinds != kinds for look in looks) or not all(map(_is_finite, looks)):
        return Evidence(np.full(len(looks), IMPOSSIBLE), 0.0)
    if Kind.IMAGE in kinds:
        return Evidence(_fidelity(looks, kinds.index(Kind.IMAGE)))
    if Kind.CLASSES in kinds or Kind.STEPS in kinds:
        parts = [_discrete(looks, place, kind, softening) for place, kind in enumerate(kinds) if kind in _DISCRETE]
        return Evidence(np.mean([part.values for part in parts], axis=0), max(part.clarity for part in parts))
    scores = [_scores(_answers(looks, place), kind) for place, kind in enumerate(kinds)]
    if Kind.BOXES in kinds and any(answers is not None for answers in scores):
        return Evidence(np.sum([_telling(each) for each in scores if each is not None], axis=0))
    bounded = [answers for answers in scores if answers is not None]
    chosen = bounded or [np.tanh(_answers(looks, place)) for place in range(len(kinds))]
    recognitions = [_recognition(answers, _closeness) for answers in chosen]
    values = np.mean([part.values for part in recognitions], axis=0)
    return Evidence(values, float(np.mean([part.clarity for part in recognitions])))


def recognizing(looks: Sequence[Look]) -> bool:
    """Return whether all outputs seem to be classes."""
    return set(looks[0].kinds) == {Kind.CLASSES}


def recognizes(looks: Sequence[Look], nulls: Sequence[Look], softening: float) -> bool:
    """Return whether answers are those of a classifier of some classes that sees more in images than their patches.

    Args:
        looks: the answers to images.
        nulls: those to patches in disorder, of the first of these images.
        softening: see `evidence_of`.
    """
    if not recognizing(looks) or any(answer.size < LEAST_CLASSES for answer in looks[0].plain):
        return False
    ordered = looks[: len(nulls)]
    mixed = [replace(look, again=null.null) for look, null in zip(ordered, nulls, strict=True)]
    return evidence_of(mixed, softening).mean <= ORDER * evidence_of(ordered, softening).mean


def _is_finite(look: Look) -> bool:
    return all(bool(np.isfinite(array).all()) for answers in (look.plain, look.again, look.null) for array in answers)


def _answers(looks: Sequence[Look], place: int) -> Numbers:
    """Return the answers of one output to all views, shape (views, images, rows, numbers of a row): plain, again and,
    where it was shown, null."""
    rows = looks[0].plain[place].shape[0] if looks[0].plain[place].ndim == 2 else 1
    views = [[getattr(look, view)[place] for look in looks] for view in VIEWS if getattr(looks[0], view)]
    return np.stack([np.stack(view).astype(np.float64).reshape(len(looks), rows, -1) for view in views])


def _discrete(looks: Sequence[Look], place: int, kind: Kind, softening: float) -> Evidence:
    """Return the evidence of one output that names classes; none at all where it is saturated."""
    answers = np.maximum(_answers(looks, place), 0)
    flattened = _powers(answers[0], SOFTENINGS[0], order=1)
    if np.square(flattened).sum(axis=-1).mean() > SATURATED:
        return Evidence(np.zeros(len(looks)), 0.0)
    if kind is Kind.STEPS:
        return Evidence(_recognition(answers, _likeness).values)
    plain, again = _powers(answers[:2, :, 0], softening, order=2)
    return Evidence(_contrast(plain @ again.T))


def _powers(answers: Numbers, power: float, order: int) -> Numbers:
    """Return powers of probabilities, scaled so that each answer has the norm 1."""
    powers = answers**power
    scaled: Numbers = powers / np.maximum(np.linalg.norm(powers, order, axis=-1, keepdims=True), np.finfo(float).tiny)
    return scaled


def _scores(answers: Numbers, kind: Kind) -> Numbers | None:
    """Return what of the answers are scores, which lie between 0 and 1; None if nothing does."""
    if kind is Kind.BOXES:  # the largest and the smallest value
        are_scores = (answers[:, :, 0].max(axis=(0, 1)) <= 1) & (answers[:, :, 1].min(axis=(0, 1)) >= 0)
        return answers[:, :, :1, are_scores] if are_scores.any() else None
    return answers if answers.min() >= 0 and answers.max() <= 1 else None


def _telling(answers: Numbers) -> Numbers:
    """Return how many nats likelier an image's views make one another's scores than the views of other images; less the
    same of patches in disorder: those are one view, as like itself as can be."""
    plain, again, null = answers
    return _contrast(_likelihoods(plain, again)) - _contrast(_likelihoods(null, null))


def _likelihoods(first: Numbers, second: Numbers) -> Numbers:
    """Return the log-likelihood of what is seen by scores under others, for all pairs: the mean of both directions."""
    return (_bernoulli(first, second) + _bernoulli(second, first).T) / 2


def _bernoulli(first: Numbers, second: Numbers) -> Numbers:
    """Return the log-likelihood of what is seen by the first scores under the second, for all pairs, summed over the
    scores."""
    images = len(first)
    first, second = (np.clip(scores.reshape(images, -1), 0, 1) for scores in (first, second))
    found: Numbers = first @ np.log(second + _FLOOR).T + (1 - first) @ np.log(1 - second + _FLOOR).T
    return found


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
