"""Int8 numbers for the weights of a layer, by the moments of what it sees: GPTQ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import gptq_round
from pyncnnq.calibration.weight_scales import scales_of
from pyncnnq.errors import InputError
from pyncnnq.layerwise.refitting import covariance, refit_weights
from pyncnnq.layerwise.walk.look import Moments

Floats = NDArray[np.float64]

LARGEST_SIZE = 6144
"""Layers whose outputs see more inputs than this are rounded to the nearest: their moments would fill gigabytes."""

DAMPING = 0.01
"""The share of the mean variance that is added to each variance: without it, inputs that hardly vary would take any
error (as in GPTQ's own code)."""

LARGEST_RATIO, LEAST_RATIO = 1.15, 0.8
"""Scales are tried by which 127 stands for these shares of the largest weight, at most and at least."""

MOST_CANDIDATES = 24
"""How many scales of a row are tried where it takes little time."""

OPERATIONS = 2e10
"""About how many multiplications rounding a layer may take, some ten seconds: large layers get fewer candidates."""


@dataclass(frozen=True)
class Codes:
    """Weights as int8 numbers.

    Attributes:
        numbers: what the int8 numbers stand for, shape (groups, outputs of a group, size).
        scales: of the weights.
        moments: of all inputs.
    """

    numbers: Floats
    scales: NDArray[np.float32]
    moments: Moments


def choose_codes(
    weights: Floats, absmax: NDArray[np.float32], look: Callable[..., Moments | None], *, refits: bool
) -> Codes:
    """Round weights so that errors at the outputs are small.

    Args:
        weights: shape (groups, outputs of a group, size).
        absmax: the largest magnitude of the weights that share a scale, shape (scales,).
        look: gives moments of the layer's inputs (see `refit_weights`).
        refits: whether weights change before (see `pyncnnq.layerwise.refitting`).

    Raises:
        InputError: there are no inputs.
    """
    moments, changes = refit_weights(weights, look) if refits else (look(), None)
    if moments is None:
        raise InputError("none of the samples could be read")
    groups, outputs, _ = weights.shape
    sharing = groups * outputs // absmax.size  # a scale
    candidates = _candidates(absmax, weights.shape) if sharing == 1 else scales_of(absmax, 8)[0][None]
    fitted = weights if changes is None else weights + changes
    codes, chosen, _ = gptq_round(fitted, damped(moments), np.repeat(candidates, sharing, axis=1))
    scales = candidates[chosen.reshape(absmax.size, -1)[:, 0], np.arange(absmax.size)]
    numbers = codes / np.repeat(scales, sharing).astype(np.float64).reshape(groups, outputs, 1)
    return Codes(numbers, scales, moments)


def damped(moments: Moments) -> Floats:
    """Return the covariance of codes with DAMPING of their mean variance, more where there are few inputs for their
    size."""
    result = covariance(moments)
    size = result.shape[1]
    diagonal = np.einsum("gii->gi", result)
    spread = diagonal.mean(axis=1)
    damping = DAMPING * (max(1.0, 10 * size / moments.count) if len(result) == 1 else 1.0)
    diagonal += damping * np.where(spread > 0, spread, 1.0)[:, None]
    return result


def _candidates(absmax: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return scales to try, shape (candidates, rows)."""
    count, outputs, size = shape
    tried = int(np.clip(OPERATIONS / (count * outputs * size**2), 1, MOST_CANDIDATES))
    ratios = np.linspace(LARGEST_RATIO, LEAST_RATIO, tried, dtype=np.float32) if tried > 1 else [np.float32(1)]
    return np.stack([scales_of(absmax * ratio, 8)[0] for ratio in ratios])
