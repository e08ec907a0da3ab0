"""Weights that make up for errors of the layers before them, as far as their inputs tell.

A layer of weights W reads x + e instead of x, where e are the errors that quantization has made so far.  Other weights
W + C may come closer to W x, because e depends on x: the least squares solution is C = W M (H + damping)^-1, with H the
second moments of x + e, and M the moments of -e with x + e.  With many weights and few samples it would learn the
samples by heart, so the damping is chosen by samples that it has not seen, and C is 0 if it does not help with those.

Source: least squares with the quantized inputs, as in Zhang et al., "Qronos", 2025, and Li et al., "GPTAQ", ICML 2025;
here with a damping that is validated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import refit
from pyncnnq.layerwise.walk.look import DIFFERENCE, Moments

Floats = NDArray[np.float64]

DAMPINGS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Parts of the mean variance that are tried, until it gets worse."""

INPUTS_PER_WEIGHT = 4
"""With fewer inputs than this for each weight of an output nothing is changed."""


def covariance(moments: Moments) -> Floats:
    """Return the covariance of codes, shape (groups, size, size)."""
    sums = moments.codes
    whole: Floats = (moments.count * moments.products - sums[:, :, None] * sums[:, None, :]) / float(moments.count) ** 2
    return whole


def refit_weights(weights: Floats, look: Callable[..., Moments | None]) -> tuple[Moments | None, Floats | None]:
    """Return the moments of all inputs, and by how much to change the weights, if at all.

    Args:
        weights: shape (groups, outputs of a group, size).
        look: gives moments of a layer's inputs (see `Look`), of samples that validate or of the others.

    Returns:
        Moments, None without any samples; and changes in the shape of the weights, or None.
    """
    fit, validation = (look(part=part, crosses=True) for part in (False, True))
    if fit is None or validation is None:
        return fit or validation, None
    changes = None
    if fit.count >= INPUTS_PER_WEIGHT * weights.shape[2]:
        damping = _validated(weights, fit, validation)
        fit.add(validation)
        if damping is not None:
            changes = refit(weights, _damped(covariance(fit), damping), _crosses(fit))
    else:
        fit.add(validation)
    return fit, changes


def _validated(weights: Floats, fit: Moments, validation: Moments) -> float | None:
    """Return the damping whose solution of one part leaves the least error in the other; None if no change is better."""
    before, after = covariance(fit), covariance(validation)
    crosses = _crosses(fit)
    wanted = np.matmul(weights, _crosses(validation))
    best, least = None, 0.0
    for damping in DAMPINGS:
        changes = refit(weights, _damped(before, damping), crosses)
        error = float((np.matmul(changes, after) * changes).sum() - 2 * (changes * wanted).sum())
        if error >= least:
            break
        best, least = damping, error
    return best


def _crosses(moments: Moments) -> Floats:
    """Return the covariance of differences with codes, in units of codes, shape (groups, size, size)."""
    assert moments.crosses is not None
    assert moments.differences is not None
    product = moments.differences[:, :, None] * moments.codes[:, None, :]
    whole: Floats = (moments.count * moments.crosses - product) / (float(moments.count) ** 2 * DIFFERENCE)
    return whole


def _damped(matrices: Floats, damping: float) -> Floats:
    """Return matrices with a share of the mean of their diagonal added to each element of it."""
    result = matrices.copy()
    diagonal = np.einsum("gii->gi", result)
    spread = diagonal.mean(axis=1)
    diagonal += damping * np.where(spread > 0, spread, 1.0)[:, None]
    return result
