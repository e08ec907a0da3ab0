"""What a head is: a form in which detectors write boxes, classes and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates, Floats
from pyncnnq.compare.tasks.detection.grids import Size
from pyncnnq.compare.tasks.task import Outputs


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a head has to know besides the outputs.

    Attributes:
        size: width and height of the network's input in pixels; None if it has no image.
        picked: the outputs that a layer such as DetectionOutput writes.
        forced: a user has said that the outputs are detections.
    """

    size: Size | None
    picked: frozenset[str] = frozenset()
    forced: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """How outputs are read.

    Attributes:
        decode: from outputs to candidates.  Those of an int8 model have the same shapes, but may hold any values.
        relative: boxes are in parts of the image, from 0 to 1, in place of pixels of the network's input.
        any_count: outputs have a row for each detection, so their shapes differ.
    """

    decode: Callable[[Outputs], Candidates]
    relative: bool = False
    any_count: bool = False


Head = Callable[[Outputs, Scene], Form | None]
"""A function from the outputs of a float model to how they are read; None where it is in doubt that they are of its
kind."""


def between_0_and_1(values: NDArray[np.float32]) -> bool:
    """Return whether values can be probabilities; a rounding error beyond is no matter."""
    return bool(values.size and values.min() >= -1e-4 and values.max() <= 1 + 1e-4)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)) without overflow."""
    probabilities: NDArray[np.float32] = (0.5 * (1 + np.tanh(0.5 * values))).astype(np.float32)
    return probabilities


def around(centres: Floats, sizes: Floats) -> Floats:
    """Return boxes by their corners, from their centres and their widths and heights."""
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def expected_distances(values: NDArray[np.float32]) -> Floats:
    """Return the mean of a distribution over 0, 1, 2, ... whose logits are given, for the four sides of each box.

    Args:
        values: of shape (places, 4 * bins), side by side (X. Li et al., "Generalized Focal Loss", 2020).
    """
    logits = values.reshape(len(values), 4, -1).astype(np.float64)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    mean: Floats = (weights * np.arange(logits.shape[2])).sum(axis=2) / weights.sum(axis=2)
    return mean


def beyond(points: Floats, distances: Floats) -> Floats:
    """Return boxes by their corners, from a point in each and its distances to the left, upper, right and lower
    side."""
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
