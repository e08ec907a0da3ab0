"""A worker's part of going through a network layer by layer: it holds the blobs of its samples, in float and
quantized."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import active_kernels
from pyncnnq.errors import UnreadableError
from pyncnnq.inputs.loading import load_sample, owning_mat
from pyncnnq.layerwise.protocol import (
    DIFFERENCE,
    UNITS,
    VALIDATES,
    Contrast,
    Differences,
    Forget,
    Look,
    Moments,
    Step,
    Walk,
    Window,
)
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.network import Network
from pyncnnq.runtime.protocol import FailureError
from pyncnnq.statistics.channels import channel_rows

Floats = NDArray[np.float32]

_AT_ONCE = 1024
"""Columns whose products are summed in float32: 127 * 127 * 1024 is below 2^24, so that all sums are exact."""
_LARGEST = 2.0**20
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

    def answer(self, request: Look | Step | Contrast | Forget) -> Moments | Differences | None:
        """Do what is asked; None where there is nothing to say, or no sample."""
        if isinstance(request, Look):
            return _joined(self._looks(request))
        if isinstance(request, Contrast):
            return _joined(self._contrasts(request))
        if isinstance(request, Step):
            self._step(request)
        else:
            for blob in request.blobs:
                del self._float[blob], self._quantized[blob]
        return None

    def _looks(self, request: Look) -> Iterator[Moments]:
        waiting: list[list[Floats]] = []
        count = 0
        for number, mat in self._quantized[request.blob].items():
            if request.part is not None and request.part != (number % VALIDATES == 1):
                continue
            blobs = [mat, self._float[request.blob][number]] if request.crosses else [mat]
            seeds = [request.seed, number]  # for both the same
            waiting.append(
                [
                    _columns(np.asarray(blob), request.window, request.outputs, np.random.default_rng(seeds))
                    for blob in blobs
                ]
            )
            count += waiting[-1][0].shape[2]
            if count > _AT_ONCE:
                yield _moments(waiting, request.quantizer)
                waiting, count = [], 0
        if waiting:
            yield _moments(waiting, request.quantizer)

    def _contrasts(self, request: Contrast) -> Iterator[Differences]:
        for number, mat in self._float[request.blob].items():
            exact, rough = (np.asarray(one) for one in (mat, self._quantized[request.blob][number]))
            inside = (exact > request.low) & (exact < request.high)
            differences = np.where(inside, np.rint((exact.astype(np.float64) - rough) * UNITS), 0).astype(np.int64)
            yield Differences(channel_rows(inside).sum(axis=1), channel_rows(differences).sum(axis=1))

    def _step(self, request: Step) -> None:
        same = request.quantized is None and all(
            self._float[blob] is self._quantized[blob] for _, blob in request.bottoms
        )
        if request.model is not None:
            network = Network(*request.model, pooled=False)
            self._float.update(_run(network, request, self._float, {}))
        if same:
            self._quantized.update({top: self._float[top] for top in request.tops})
        else:
            quantized = network if request.quantized is None else Network(*request.quantized, pooled=False)
            self._quantized.update(_run(quantized, request, self._quantized, request.quantizers))


Sums = TypeVar("Sums", Moments, Differences)


def _joined(parts: Iterator[Sums]) -> Sums | None:
    first = next(parts, None)
    if first is not None:
        for other in parts:
            first.add(other)
    return first


def _run(
    network: Network, request: Step, blobs: dict[str, dict[int, Any]], quantizers: Any
) -> dict[str, dict[int, Any]]:
    results: dict[str, dict[int, Any]] = {top: {} for top in request.tops}
    names = [blob for _, blob in request.bottoms]
    numbers = blobs[names[0]] if names else next(iter(blobs.values()))
    for number in numbers:
        inputs = []
        for name, blob in request.bottoms:
            mat = blobs[blob][number]
            if blob in quantizers:
                mat = owning_mat(_quantized_and_back(np.asarray(mat), quantizers[blob]))
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


def _columns(blob: Floats, window: Window, outputs: int, random: np.random.Generator) -> Floats:
    """What some outputs of a layer see of its input, shape (groups, channels of a group times kernel, outputs)."""
    if blob.ndim != 3 or window.flattened:
        if blob.ndim == 2 and blob.shape[1] == window.channels:  # each row is an input of its own
            return np.ascontiguousarray(blob[_some(blob.shape[0], outputs, random)].T)[None]
        if blob.size != window.channels:
            raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {blob.shape}")
        return np.ascontiguousarray(blob).reshape(window.groups, -1, 1)
    channels, height, width = blob.shape
    if channels != window.channels:
        raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {blob.shape}")
    left, right, top, bottom = _padding(window, height, width)
    (kernel_h, kernel_w), (dilation_h, dilation_w), (stride_h, stride_w) = window.kernel, window.dilation, window.stride
    rows = (height + top + bottom - (kernel_h - 1) * dilation_h - 1) // stride_h + 1
    columns = (width + left + right - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
    if rows < 1 or columns < 1:
        raise FailureError(f"an input of shape {blob.shape} is smaller than the kernel of {kernel_w}x{kernel_h}")
    chosen = _some(rows * columns, outputs, random)
    y = (chosen // columns * stride_h - top)[:, None] + np.arange(kernel_h) * dilation_h
    x = (chosen % columns * stride_w - left)[:, None] + np.arange(kernel_w) * dilation_w
    inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
    found = blob[
        :, y.clip(0, height - 1)[:, :, None], x.clip(0, width - 1)[:, None, :]
    ]  # (channels, outputs, kernel height, width)
    if not (inside_y.all() and inside_x.all()):
        found = np.where((inside_y[:, :, None] & inside_x[:, None, :])[None], found, np.float32(window.pad_value))
    return np.ascontiguousarray(found.transpose(0, 2, 3, 1)).reshape(window.groups, -1, len(y))


def _some(count: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def _padding(window: Window, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top and bottom (ncnn's src/layer/convolution.cpp, make_padding)."""
    if window.padding[0] not in _SAME_SIZE:
        return window.padding
    needed = [
        max(0, (kernel - 1) * dilation + 1 + (size - 1) // stride * stride - size)
        for kernel, dilation, stride, size in zip(
            window.kernel, window.dilation, window.stride, (height, width), strict=True
        )
    ]
    smaller = [half // 2 if window.padding[0] == -233 else half - half // 2 for half in needed]
    return smaller[1], needed[1] - smaller[1], smaller[0], needed[0] - smaller[0]


def _moments(columns: list[list[Floats]], quantizer: Quantizer) -> Moments:
    """Of columns in the quantized branch, and in the float one if they are there too."""
    kernels = active_kernels()
    shift = np.float32(quantizer.zero_point)
    blocks: list[Floats] = [np.concatenate(parts, axis=2) - shift for parts in zip(*columns, strict=True)]
    rough, exact = blocks[0], blocks[1:]
    codes: NDArray[np.int8] = kernels.quantize_f32_s8(rough.ravel(), quantizer.scale).reshape(rough.shape)
    if len(codes) == 1:
        products = kernels.gemm_s8_s32(codes[0], codes[0]).astype(np.int64)[None]
    else:
        products = sum(
            np.matmul(part, part.transpose(0, 2, 1)).astype(np.int64)
            for part in (
                codes[:, :, first : first + _AT_ONCE].astype(np.float32) for first in range(0, codes.shape[2], _AT_ONCE)
            )
        )
    sums = codes.astype(np.int64).sum(axis=2)
    if not exact:
        return Moments(codes.shape[2], products, sums, None, None)
    # Whole numbers, of which float64 holds all sums exactly.
    differences = (
        np.rint((exact[0] * np.float32(quantizer.scale) - codes) * DIFFERENCE)
        .clip(-_LARGEST, _LARGEST)
        .astype(np.float64)
    )
    crosses = np.matmul(differences, codes.transpose(0, 2, 1).astype(np.float64)).astype(np.int64)
    return Moments(codes.shape[2], products, sums, differences.sum(axis=2).astype(np.int64), crosses)
