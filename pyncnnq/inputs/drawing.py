"""Images that are made from their names, with the statistics of photographs, for when there are no photographs.

Dead leaves, textured: shapes that hide one another, sizes r with a density of r^-3, which looks the same at every scale
(Ruderman 1997, Origins of scaling in natural images; Lee, Mumford and Huang 2001, Occlusion models for natural images),
each with a texture whose amplitude falls as 1/f (Field 1987, Relations between the statistics of natural images and the
response properties of cortical cells).  Colours vary along luminance, yellow-blue and red-green, which are uncorrelated
in photographs (Buchsbaum and Gottschalk 1983, Trichromacy, opponent colours coding and optimum colour information
transmission), by the square roots of the variances of ImageNet's colours along these axes (found as in Krizhevsky,
Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks; the numbers are those of
fb.resnet.torch).  What kind of image does best, `python -m benchmarks synthetic` measures.

The bytes are the same on every machine: PCG64's raw stream, and of floats no more than sums, products, quotients and
square roots one by one, which IEEE 754 rounds alike everywhere.  OpenCV draws polygons in whole numbers.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs.preprocessing import Size

Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]

_AXES = np.array([[1, 1, 1], [-2, 1, 1], [0, -1, 1]], np.float32) / np.sqrt(np.array([[3], [6], [2]], np.float32))
"""Luminance, yellow-blue, red-green: unit vectors of B, G, R."""
_DEVIATIONS = np.array([0.466, 0.137, 0.067], np.float32) / np.float32(0.466)
"""Along the axes: the roots of the variances 0.2175, 0.0188 and 0.0045, relative to luminance."""
_COLOURS = _AXES * _DEVIATIONS[:, np.newaxis]

_RADII = 0.02, 0.5
"""Of leaves, in shorter sides of the image."""
_LEAVES = 100, 600
"""How many leaves an image has."""
_FRAME = 0.1
"""How far outside of the image leaves may have their middle, in sides of the image."""
_CORNERS = np.array(
    # In whole numbers, since the sines of machines differ.
    [(4096, 0), (3784, 1567), (2896, 2896), (1567, 3784), (0, 4096), (-1567, 3784), (-2896, 2896), (-3784, 1567)],
    np.int64,
)
_CIRCLE = np.concatenate([_CORNERS, -_CORNERS])
"""Sixteen directions, of length 4096."""
_TEXTURE = 0.6
"""The most contrast of a leaf's texture, where that between leaves is 1."""
_BRIGHTNESS = 118, 36
"""The mean of images, and its deviation: pixels of ImageNet have a mean of 118."""
_CONTRAST = 50, 150
"""The least and the most deviation in an image along luminance: 0.466 * 255 = 119 over all images."""
_OCTAVE = 0.68 / 74
"""For a byte of noise, whose deviation is 74, so that all octaves together, smoothed, have 1."""


def draw(name: str, size: Size) -> Pixels:
    """Return an image: (height, width, 3), in the order B, G, R.

    Args:
        name: the seed: other names give other images.
        size: width and height in pixels; one name in four gives an image that is turned, and higher than wide.
    """
    stream = _Stream(name)
    width, height = size if stream.uniform() < 0.75 else size[::-1]
    shape = height, width
    leaves = _leaves(stream, shape)
    count = int(leaves.max()) + 1
    contrast = np.float32(_CONTRAST[0]) + stream.uniform() * np.float32(_CONTRAST[1] - _CONTRAST[0])
    colours = _coloured(stream.normal(3, count)) * contrast
    grain = stream.uniform(count) * stream.uniform(count) * np.float32(_TEXTURE) * contrast
    image = _texture(stream, shape)
    image *= grain.take(leaves)
    image += colours.take(leaves, axis=1)
    brightness, deviation = _BRIGHTNESS
    # Half a step more, since what follows drops what is behind the point.
    image += np.float32(brightness + 0.5) + stream.normal(1)[0] * np.float32(deviation)
    return np.ascontiguousarray(np.moveaxis(np.clip(image, 0, 255, out=image).astype(np.uint8), 0, 2))


class _Stream:
    """Random numbers that depend on a name alone: NumPy promises the raw stream of PCG64, and not what a Generator
    makes of it."""

    def __init__(self, name: str) -> None:
        self._raw = np.random.PCG64(np.random.SeedSequence(list(name.encode())))

    def uniform(self, *shape: int) -> _Floats:
        """Return numbers from 0 to 1, without 1."""
        whole = (self._take(math.prod(shape)) >> np.uint64(40)).astype(np.float32)
        numbers: _Floats = whole.reshape(shape) * np.float32(2**-24)
        return numbers

    def bytes(self, *shape: int) -> _Floats:
        """Return whole numbers from 0 to 255."""
        count = math.prod(shape)
        little = self._take(-(-count // 8)).astype("<u8")
        numbers: _Floats = little.view(np.uint8)[:count].astype(np.float32).reshape(shape)
        return numbers

    def normal(self, *shape: int) -> _Floats:
        """Return numbers of mean 0 and variance 1 that are nearly normal: sums of four."""
        first, second, third, fourth = self.uniform(4, *shape)
        numbers: _Floats = ((first + second) + (third + fourth) - np.float32(2)) * np.sqrt(np.float32(3))
        return numbers

    def _take(self, count: int) -> NDArray[np.uint64]:
        raw: NDArray[np.uint64] = self._raw.random_raw(count)
        return raw


def _coloured(values: _Floats) -> _Floats:
    """Return planes of B, G, R, of planes along the axes; no matrix product, whose sums differ between machines."""
    luminance, yellow, red = values
    planes = ((luminance * first + yellow * second) + red * third for first, second, third in _COLOURS.T)
    return np.stack(list(planes))


def _leaves(stream: _Stream, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return for each pixel the number of the leaf that is seen there; 0 is the ground."""
    height, width = shape
    count = _LEAVES[0] + int(stream.uniform() * np.float32(_LEAVES[1] - _LEAVES[0]))
    least, most = (np.float32(radius * min(shape)) for radius in _RADII)
    few, many = (np.float32(1) / (radius * radius) for radius in (most, least))
    radii = np.float32(1) / np.sqrt(many - stream.uniform(count) * (many - few))
    middles = (stream.uniform(count, 2) * np.float32(1 + 2 * _FRAME) - np.float32(_FRAME)) * np.array([width, height])
    narrow = np.float32(0.3) + np.float32(0.7) * stream.uniform(count)
    turns, kinds, starts = ((stream.uniform(count) * np.float32(16)).astype(np.int64) for _ in range(3))
    steps = np.where(kinds < 8, 1, np.where(kinds < 12, 4, 5))  # ellipses, quadrangles, triangles
    corners = _CIRCLE[(starts[:, np.newaxis] + np.arange(16)) % 16] * radii[:, np.newaxis, np.newaxis]
    x, y = corners[..., 0], corners[..., 1] * narrow[:, np.newaxis]
    cosines, sines = (_CIRCLE[turns, place, np.newaxis] for place in range(2))
    turned = np.stack([x * cosines - y * sines, x * sines + y * cosines], 2) / 4096**2
    points = np.rint((turned + middles[:, np.newaxis]) * 16).astype(np.int32)
    image = np.zeros(shape, np.int32)
    for leaf, step in enumerate(steps.tolist()):
        outline = points[leaf, : 16 // step * step : step].copy()  # OpenCV passes over strides
        cv2.fillConvexPoly(image, outline, leaf + 1, cv2.LINE_8, 4)
    return image


def _texture(stream: _Stream, shape: tuple[int, int]) -> _Floats:
    """Return noise whose amplitude falls as 1/f: octaves of the same variance; (3, height, width) with a deviation of
    about 1 along luminance."""
    sizes = [shape]
    while min(sizes[-1]) > 8:
        sizes.append(((sizes[-1][0] + 1) // 2 + 2, (sizes[-1][1] + 1) // 2 + 2))
    noise = np.zeros((3, *sizes[-1]), np.float32)
    for octave in range(len(sizes) - 1, 0, -1):
        noise += _coloured(stream.bytes(3, *sizes[octave]) - np.float32(127.5)) * np.float32(_OCTAVE)
        height, width = sizes[octave - 1]
        noise = np.ascontiguousarray(_doubled(_doubled(noise, 1), 2)[:, :height, :width])
    return noise


def _doubled(values: _Floats, axis: int) -> _Floats:
    """Return values at twice as many places along an axis, but for two on either side: quadratic B-splines."""
    shape = list(values.shape)
    shape[axis] = 2 * (shape[axis] - 2)
    doubled = np.empty(shape, np.float32)
    source, target = values.swapaxes(0, axis), doubled.swapaxes(0, axis)
    middle = source[1:-1] * np.float32(0.75)
    np.add(middle, source[:-2] * np.float32(0.25), out=target[0::2])
    np.add(middle, source[2:] * np.float32(0.25), out=target[1::2])
    return doubled
