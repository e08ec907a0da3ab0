"""How well what a network answers fits a candidate: a number for each image, larger for what is more likely.

A network that sees its images as in training answers a picture and its mirror image alike, different pictures
differently, and patches in disorder less surely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pyncnnq.suggestion.outputs import Kind
from pyncnnq.suggestion.probe import Look

Numbers = NDArray[np.float64]

IMPOSSIBLE = -1e9
"""The evidence for a candidate under which an output is not a number."""


def evidence_of(looks: Sequence[Look]) -> Numbers:
    """Return the evidence that each image gives for a candidate, shape (images,); see docs/preprocessing.md."""
    kinds = looks[0].kinds
    if any(look.kinds != kinds for look in looks) or not all(map(_is_finite, looks)):
        return np.full(len(looks), IMPOSSIBLE)
    if Kind.IMAGE in kinds:
        return _fidelity(looks, kinds.index(Kind.IMAGE))
    discrete = [place for place, kind in enumerate(kinds) if kind in (Kind.CLASSES, Kind.STEPS)]
    if discrete:
        return np.mean([_recognition(looks, place, _likeness) for place in discrete], axis=0)
    return np.mean([_recognition(looks, place, _closeness) for place in range(len(kinds))], axis=0)


def _is_finite(look: Look) -> bool:
    return all(bool(np.isfinite(array).all()) for answers in (look.plain, look.again, look.null) for array in answers)


def _recognition(looks: Sequence[Look], place: int, alike: Callable[[Numbers, Numbers], Numbers]) -> Numbers:
    """Return how much more alike two views of an image are than those of different images, less the same of patches in
    disorder."""
    plain, again, null = (
        np.stack([getattr(look, view)[place].astype(np.float64).reshape(_rows(look, place), -1) for look in looks])
        for view in ("plain", "again", "null")
    )
    return _contrast(alike(plain, again)) - _contrast(alike(null, null))


def _rows(look: Look, place: int) -> int:
    return look.plain[place].shape[0] if look.kinds[place] is Kind.STEPS else 1


def _likeness(first: Numbers, second: Numbers) -> Numbers:
    """Return how probable it is that two answers name the same class, for all pairs: shape (images, images)."""
    images, steps = first.shape[:2]
    return first.reshape(images, -1) @ second.reshape(images, -1).T / steps


def _closeness(first: Numbers, second: Numbers) -> Numbers:
    """Return by how much less than their size two answers differ, for all pairs."""
    differences = np.stack([np.abs(one - second).mean(axis=(1, 2)) for one in first])
    return -differences


def _contrast(pairs: Numbers) -> Numbers:
    images = len(pairs)
    own = np.diag(pairs)
    return own - (pairs.sum(axis=1) - own) / max(1, images - 1)


def _fidelity(looks: Sequence[Look], place: int) -> Numbers:
    """Return how close an output that is an image comes to the input, in parts of the input's contrast."""
    errors = []
    for look in looks:
        output, pixels = look.plain[place].astype(np.float64), look.pixels.astype(np.float64)
        errors.append(-np.sqrt(np.square(output - pixels).mean()) / max(float(pixels.std()), 1e-12))
    return np.array(errors)
