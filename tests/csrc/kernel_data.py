"""Values for tests of the kernels: of many magnitudes, with ties, zeros and specials, at odd addresses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq import _core

Floats = NDArray[np.float32]
F32 = np.float32

# Around each vector width, the block of 16 lanes, and the stretches of 2048 and 4096 that the code walks in.
SIZES = (
    0,
    1,
    3,
    4,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    47,
    63,
    65,
    100,
    1023,
    1024,
    1025,
    2047,
    2049,
    4095,
    4096,
    4097,
    4113,
    9001,
)

SMALL = [0.0, -0.0, 1e-45, -1e-45, 1.17549435e-38, -1.17549421e-38]
TIES = [
    0.5,
    -0.5,
    np.nextafter(F32(0.5), F32(0)),
    1.5,
    -2.5,
    126.5,
    -126.5,
    127.5,
    -127.5,
    np.nextafter(F32(127.5), F32(0)),
]
LARGE = [128.0, -129.0, 1e20, -1e20, 3.4e38, -3.4e38, 8388607.5, 2**31]
SPECIAL = np.array([*SMALL, *TIES, 1.0, -1.0, *LARGE], np.float32)
NOT_FINITE = np.array([np.inf, -np.inf, np.nan, -np.nan], np.float32)
SCALES = (1.0, 127 / 3.7, 1e-3, 1e30, 3e38, -2.0)
ERROR_SCALES = np.array([0.5, 30, 127, 1e4], np.float32)
OCTAVES = (254, 135, 127, 100, _core.LOWEST_OCTAVE)
"""Bins end at the end of such an octave, named by the exponent field of its floats."""


def values(size: int, seed: int = 0) -> Floats:
    """Return random values of many magnitudes, a third of them zero or special, at an odd address."""
    rng = np.random.default_rng([size, seed])
    x = (rng.standard_normal(size) * 10.0 ** rng.uniform(-6, 4, size)).astype(np.float32)
    x[rng.random(size) < 0.2] = 0
    where = rng.random(size) < 0.15
    x[where] = rng.choice(SPECIAL, int(where.sum()))
    return unaligned(x)


def unaligned(x: Floats, offset: int = 1) -> Floats:
    """Return a copy that lies `offset` floats behind an address that every vector width is aligned to."""
    room = np.empty(x.size + 16 + offset, np.float32)
    start = (-room.ctypes.data % 64) // 4 + offset
    view = room[start : start + x.size]
    view[:] = x
    assert x.size == 0 or view.ctypes.data % 64 == 4 * offset
    return view


def below(x: Floats, octave: int) -> Floats:
    """Return the values, with zeros for those beyond the end of the octave."""
    return unaligned(np.where(magnitude_bits(x) >> 23 <= octave, x, F32(0)))


def moderate(x: Floats) -> Floats:
    """Return the values, clipped so that no error overflows."""
    return unaligned(np.clip(x, -1e6, 1e6))


def some_weights(x: Floats) -> NDArray[np.float64]:
    return np.arange(x.size) % 7 + 0.3


def magnitude_bits(x: Floats) -> NDArray[np.uint32]:
    return x.view(np.uint32) & np.uint32(0x7FFFFFFF)
