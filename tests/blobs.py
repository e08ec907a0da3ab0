"""Blobs as ncnn lays them out in memory, for tests of what observes them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics

Floats = NDArray[np.float32]


def observe(statistics: BlobStatistics, blob: Floats, elempack: int = 1, padding: int = 0) -> bool:
    """Observe an array of shape (w), (h, w), (c, h, w) or (c, d, h, w), packed and padded as ncnn could.

    A pack interleaves `elempack` neighbours along the first axis.  Channels (its src/mat.h) lie `padding` elements
    further apart than they are long; in between are NaNs, so that whoever reads them is found out.
    """
    packs = blob.reshape(blob.shape[0] // elempack, elempack, *blob.shape[1:])
    packed = np.moveaxis(packs, 1, -1)
    dims = blob.ndim
    c = packed.shape[0] if dims >= 3 else 1
    d = blob.shape[1] if dims == 4 else 1
    h = {1: 1, 2: packed.shape[0]}.get(dims, blob.shape[-2] if dims >= 2 else 1)
    w = packed.shape[0] if dims == 1 else blob.shape[-1]
    cstep = w * h * d + padding
    memory = np.full((c, cstep, elempack), np.nan, np.float32)
    memory[:, : w * h * d] = packed.reshape(c, w * h * d, elempack)
    return statistics.observe(memory, dims, w, h, d, c, cstep, elempack)


def collected(blobs: Iterable[Floats]) -> BlobStatistics:
    statistics = BlobStatistics()
    for blob in blobs:
        assert observe(statistics, blob)
    return statistics


def merged(parts: Sequence[BlobStatistics], order: Sequence[int]) -> BlobStatistics:
    """Merge all parts in pairs, in an order that the numbers choose; each part is sent to another process on its
    way."""
    left = [pickle.loads(pickle.dumps(part)) for part in parts]
    for number in order:
        if len(left) == 1:
            break
        taken = left.pop(number % len(left))
        left[number % len(left)].merge(taken)
    result = BlobStatistics()
    for part in left:
        result.merge(part)
    return result


def fingerprint(statistics: BlobStatistics) -> list[object]:
    """All that can be asked of statistics, to the bit."""
    return [
        _digest(statistics.channel_means()),
        _digest(statistics.channel_absmax()),
        *magnitude_fingerprint(statistics),
    ]


def magnitude_fingerprint(statistics: BlobStatistics) -> list[object]:
    """All but the means, which are the same only when the same *blobs* were observed: within a plane sums are
    rounded."""
    numbers = [statistics.count, statistics.zeros, statistics.min, statistics.max, statistics.absmax]
    return [*numbers, *(_digest(statistics.histogram(bins)) for bins in (1, 128, 2048))]


def _digest(array: NDArray[np.floating]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


finite_floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
