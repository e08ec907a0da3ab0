"""A worker's part of going through a network layer by layer: it holds the blobs of its samples, in float and quantized."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import active_kernels
from pyncnnq.errors import UnreadableError
from pyncnnq.inputs.loading import load_sample
from pyncnnq.statistics.messages import DIFFERENCE, Look, Moments, Quantizer, Step, Walk, Window
from pyncnnq.statistics.network import FailureError, Network

Floats = NDArray[np.float32]

_AT_ONCE = 1024
"""Columns whose products are summed in float32: 127 * 127 * 1024 is below 2^24, so that all sums are exact."""
_SAME_SIZE = (-233, -234)


class Walker:
    """The blobs of some samples in two branches, and the layers that they go through.

    Where both branches have the same numbers, they share them.
    """

    def __init__(self, job: Walk) -> None:
        """Load the samples, leaving out those that cannot be read."""
        self._float: dict[str, dict[int, Any]] = {name: {} for name, _ in job.inputs}
        self._quantized = dict(self._float)
        for number, paths in job.samples.items():
            try:
                mats = [load_sample(path, spec) for (_, spec), path in zip(job.inputs, paths, strict=True)]
            except UnreadableError:  # the calibration has said so
                continue
            for (name, _), mat in zip(job.inputs, mats, strict=True):
                self._float[name][number] = mat

    def look(self, request: Look) -> Moments | None:
        """The moments over this worker's samples; None without any."""
        result: Moments | None = None
        for columns, codes in _chunks(self._columns(request)):
            found = _moments(columns, codes, request.quantizer)
            if result is None:
                result = found
            else:
                result.add(found)
        return result

    def _columns(self, request: Look) -> Iterator[tuple[Floats, Floats]]:
        """What some outputs of each sample see, in float and quantized: (groups, size, outputs)."""
        window = request.window
        for number, quantized in self._quantized[request.blob].items():
            blobs = [np.asarray(mat) for mat in (self._float[request.blob][number], quantized)]
            random = np.random.default_rng([request.seed, number])
            seen = _Seen(window, blobs[0].shape, request.outputs, random)
            exact, rough = (seen.columns(blob) for blob in blobs)
            yield exact, rough

    def step(self, request: Step) -> None:
        """Run the layers, and keep what they write."""
        network = Network(*request.model, pooled=False)
        quantized = network if request.quantized is None else Network(*request.quantized, pooled=False)
        before = {blob for _, blob in request.bottoms}
        same = request.quantized is None and all(self._float[blob] is self._quantized[blob] for blob in before)
        results = _run(network, request, self._float, {})
        self._float.update(results)
        self._quantized.update(results if same else _run(quantized, request, self._quantized, request.quantizers))
        for blob in request.dropped:
            del self._float[blob], self._quantized[blob]


def _run(network: Network, request: Step, blobs: dict[str, dict[int, Any]], quantizers: Any) -> dict[str, dict[int, Any]]:
    results: dict[str, dict[int, Any]] = {top: {} for top in request.tops}
    names = [blob for _, blob in request.bottoms]
    numbers = blobs[names[0]] if names else next(iter(blobs.values()))
    for number in numbers:
        inputs = []
        kept = []  # a Mat made from an array does not keep it alive
        for name, blob in request.bottoms:
            mat = blobs[blob][number]
            if blob in quantizers:
                array = _quantized_and_back(np.asarray(mat), quantizers[blob])
                kept.append(array)
                mat = ncnn.Mat(array)
            inputs.append((name, mat))
        for top, mat in network.blobs(inputs, request.tops, packed=False):
            results[top][number] = mat
    return results


def _quantized_and_back(values: Floats, quantizer: Quantizer) -> Floats:
    kernels = active_kernels()
    flat = np.ascontiguousarray(values).ravel()
    shift = np.float32(quantizer.zero_point)
    codes = kernels.quantize_f32_s8(flat - shift if shift else flat, quantizer.scale)
    result = codes.astype(np.float32)
    result /= np.float32(quantizer.scale)
    result += shift
    return result.reshape(values.shape)


class _Seen:
    """Which places of an input some outputs of a layer see."""

    def __init__(self, window: Window, shape: tuple[int, ...], outputs: int, random: np.random.Generator) -> None:
        self._window = window
        if len(shape) != 3 or window.flattened:
            if len(shape) == 2 and shape[1] == window.channels:  # each row is an input of its own
                self._rows = _some(shape[0], outputs, random)
            elif int(np.prod(shape)) != window.channels:
                raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {shape}")
            return
        height, width = shape[1:]
        if shape[0] != window.channels:
            raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {shape}")
        left, right, top, bottom = self._padding = _padding(window, height, width)
        (kernel_h, kernel_w), (dilation_h, dilation_w), (stride_h, stride_w) = window.kernel, window.dilation, window.stride
        rows = (height + top + bottom - (kernel_h - 1) * dilation_h - 1) // stride_h + 1
        columns = (width + left + right - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
        if rows < 1 or columns < 1:
            raise FailureError(f"an input of shape {shape} is smaller than the kernel of {kernel_w}x{kernel_h}")
        chosen = _some(rows * columns, outputs, random)
        self._y = (chosen // columns * stride_h - top)[:, None] + np.arange(kernel_h) * dilation_h
        self._x = (chosen % columns * stride_w - left)[:, None] + np.arange(kernel_w) * dilation_w

    def columns(self, blob: Floats) -> Floats:
        """What they see, shape (groups, channels of a group times kernel, outputs)."""
        window = self._window
        if blob.ndim != 3 or window.flattened:
            if blob.ndim == 2 and blob.shape[1] == window.channels:
                return np.ascontiguousarray(blob[self._rows].T)[None]
            return np.ascontiguousarray(blob).reshape(window.groups, -1, 1)
        height, width = blob.shape[1:]
        inside_y, inside_x = (self._y >= 0) & (self._y < height), (self._x >= 0) & (self._x < width)
        rows, columns = self._y.clip(0, height - 1)[:, :, None], self._x.clip(0, width - 1)[:, None, :]
        found = blob[:, rows, columns]  # (channels, outputs, kernel height, kernel width)
        if not (inside_y.all() and inside_x.all()):
            found = np.where((inside_y[:, :, None] & inside_x[:, None, :])[None], found, np.float32(window.pad_value))
        return np.ascontiguousarray(found.transpose(0, 2, 3, 1)).reshape(window.groups, -1, len(self._y))


def _some(count: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def _padding(window: Window, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top and bottom (ncnn's src/layer/convolution.cpp, make_padding)."""
    if window.padding[0] not in _SAME_SIZE:
        return window.padding
    needed = [
        max(0, (kernel - 1) * dilation + 1 + (size - 1) // stride * stride - size)
        for kernel, dilation, stride, size in zip(window.kernel, window.dilation, window.stride, (height, width), strict=True)
    ]
    smaller = [half // 2 if window.padding[0] == -233 else half - half // 2 for half in needed]
    return smaller[1], needed[1] - smaller[1], smaller[0], needed[0] - smaller[0]


def _chunks(columns: Iterator[tuple[Floats, Floats]]) -> Iterator[tuple[Floats, Floats]]:
    """The same columns, more of them together."""
    waiting: list[tuple[Floats, Floats]] = []
    count = 0
    for pair in columns:
        waiting.append(pair)
        count += pair[0].shape[2]
        if count > _AT_ONCE:
            yield _joined(waiting)
            waiting, count = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(pairs: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    exact, rough = (np.concatenate(parts, axis=2) for parts in zip(*pairs, strict=True))
    return exact, rough


def _moments(exact: Floats, rough: Floats, quantizer: Quantizer) -> Moments:
    kernels = active_kernels()
    scale, shift = np.float32(quantizer.scale), np.float32(quantizer.zero_point)
    groups, size, count = rough.shape
    codes = kernels.quantize_f32_s8((rough - shift).ravel(), quantizer.scale).reshape(rough.shape)
    if groups == 1:
        products = kernels.gemm_s8_s32(codes[0], codes[0]).astype(np.int64)[None]
    else:
        products = np.zeros((groups, size, size), np.int64)
        for first in range(0, count, _AT_ONCE):
            part = codes[:, :, first : first + _AT_ONCE].astype(np.float32)
            products += np.matmul(part, part.transpose(0, 2, 1)).astype(np.int64)
    differences = np.rint(((exact - shift) * scale - codes) * np.float32(DIFFERENCE)).astype(np.int64).sum(axis=2)
    return Moments(count, products, codes.astype(np.int64).sum(axis=2), differences)
