"""The activations that ncnn's requantization knows, as the kernels do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTIVATIONS: list[tuple[int, tuple[float, float]]] = [
    (0, (0, 0)),
    (1, (0, 0)),
    (2, (0.1, 0)),
    (3, (-0.3, 6)),
    (3, (5, -5)),
    (6, (1 / 6, 0.5)),
    (6, (0.25, 0.4)),
]
"""ncnn's number of each activation, and its parameters."""


def activated(x: NDArray[Any], number: int, parameters: tuple[float, float]) -> NDArray[Any]:
    """ncnn's activation_ss (src/layer/fused_activation.h), in the precision of x."""
    zero, one, a, b = (x.dtype.type(np.float32(value)) for value in (0, 1, *parameters))
    if number == 0:
        return x
    if number == 1:
        return np.maximum(x, zero)
    if number == 2:
        return np.where(x > 0, x, x * a)
    if number == 3:
        return np.clip(x, a, b)
    lower = -b / a
    return np.where(x < lower, zero, np.where(x > one / a + lower, x, x * (x * a + b)))
