"""The channels of a blob: what one input weight of a layer sees.

A channel is an element of a vector, a column of a matrix, and a channel of a blob of three or four dimensions.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def channel_axis(dims: int) -> int:
    """Return the axis, in NumPy's order, along which the channels of a blob of so many dimensions lie."""
    return 1 if dims == 2 else 0


def channel_rows(blob: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the values of each channel, shape (channels, values), as a view where NumPy can make one."""
    channels = blob.shape[channel_axis(blob.ndim)]
    return np.moveaxis(blob, channel_axis(blob.ndim), 0).reshape(channels, blob.size // max(channels, 1))


def along_channels(values: NDArray[Scalar], blob: NDArray[Any]) -> NDArray[Scalar]:
    """Return a number for each channel, shape (channels,) or (1,), in a shape that meets the values of a blob."""
    shape = [1] * blob.ndim
    shape[channel_axis(blob.ndim)] = -1
    return values.reshape(shape)
