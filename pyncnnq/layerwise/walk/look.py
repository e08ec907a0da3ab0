"""The request for the moments of what a layer sees of its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import active_kernels
from pyncnnq.layerwise.walk.conversation import Request, Walker, joined
from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated, Convolution
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.protocol import FailureError

Floats = NDArray[np.float32]

DIFFERENCE = 64
"""Differences between the branches are counted in 1 / DIFFERENCE of a quantization step."""

VALIDATES = 4
"""One sample in so many validates."""

_AT_ONCE = 1024
"""Columns whose products are summed in float32: 127 * 127 * 1024 is below 2^24, so that all sums are exact."""

_LARGEST = 2.0**20
"""In 1 / DIFFERENCE of a step: larger differences count as so large, so that float64 holds all sums exactly."""

_SAME_SIZE = (-233, -234)
"""Paddings of an output as large as the input, the odd row behind or before (ncnn's src/layer/convolution.cpp)."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one output of a layer sees of its input.

    Attributes:
        groups: how many groups of channels are seen apart.
        channels: how many channels the input has, all groups together.
        flattened: whether a 3-D blob is taken as one vector, as an InnerProduct does.
        of_rows: whether each row of a blob, whatever its dimensions, is an input, as for a Gemm; groups are parts of
            the row.
        kernel, dilation, stride: (height, width).
        padding: (left, right, top, bottom), or ncnn's -233 or -234 in all four for a border that makes the output as
            large as the input.
        pad_value: of the border.
    """

    groups: int
    channels: int
    flattened: bool
    of_rows: bool = False
    kernel: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: float = 0.0

    @classmethod
    def of(cls, layer: Layer) -> Window:
        """Return what an output of a quantizable layer sees.

        Raises:
            ModelError: sizes that no layer can have.
        """
        op = layer.as_op(Calibrated)
        channels = op.input_channels()
        if not isinstance(op, Convolution):
            return cls(groups=op.groups, channels=channels, flattened=op.flattens)
        return cls(
            groups=op.groups,
            channels=channels,
            flattened=op.flattens,
            kernel=(op.kernel_h, op.kernel_w),
            dilation=(op.dilation_h, op.dilation_w),
            stride=(op.stride_h, op.stride_w),
            padding=op.border,
            pad_value=op.pad_value,
        )


@dataclass
class Moments:
    """Sums over inputs of a layer in the quantized branch, as integers, so that they are the same in any order.

    Attributes:
        count: how many inputs there were.
        products: of codes with each other, (groups, size, size).
        codes: of the codes, (groups, size).
        differences: of what the float branch has more, in 1 / DIFFERENCE of a quantization step, (groups, size); None
            if not asked for.
        crosses: of those differences with the codes, (groups, size, size); None if not asked for.
    """

    count: int
    products: NDArray[np.int64]
    codes: NDArray[np.int64]
    differences: NDArray[np.int64] | None
    crosses: NDArray[np.int64] | None

    def add(self, other: Moments) -> None:
        """Take in the moments of other inputs."""
        self.count += other.count
        self.products += other.products
        self.codes += other.codes
        if self.differences is not None and other.differences is not None:
            self.differences += other.differences
        if self.crosses is not None and other.crosses is not None:
            self.crosses += other.crosses


@dataclass(frozen=True, kw_only=True)
class Look(Request):
    """Ask for the moments of what a layer sees, over some of its outputs of each sample.

    Attributes:
        blob: the layer's input.
        window: what of it each output sees.
        quantizer: how the input becomes int8; None: what each output sees, by its own largest magnitude.
        outputs: how many outputs to take of each sample, at random, all if there are no more.
        seed: of that choice, together with the number of the sample.
        crosses: whether to compare with the float branch.
        part: which samples: None for all, True for those that validate, False for the others.
    """

    blob: str
    window: Window
    quantizer: Quantizer | None
    outputs: int
    seed: int
    crosses: bool
    part: bool | None

    def answer(self, walker: Walker) -> Moments | None:
        return joined(self._parts(walker))

    def _parts(self, walker: Walker) -> Iterator[Moments]:
        from pyncnnq.runtime.network import array_of  # which imports ncnn: in workers only

        waiting: list[list[Floats]] = []
        count = 0
        for number, mat in walker.rough[self.blob].items():
            if self.part is not None and self.part != (number % VALIDATES == 1):
                continue
            blobs = [mat, walker.exact[self.blob][number]] if self.crosses else [mat]
            seeds = [self.seed, number]  # for both the same
            waiting.append(
                [_columns(array_of(blob), self.window, self.outputs, np.random.default_rng(seeds)) for blob in blobs]
            )
            count += waiting[-1][0].shape[2]
            if count > _AT_ONCE:
                yield _moments(waiting, self.quantizer)
                waiting, count = [], 0
        if waiting:
            yield _moments(waiting, self.quantizer)


def _columns(blob: Floats, window: Window, outputs: int, random: np.random.Generator) -> Floats:
    """Return what some outputs of a layer see of its input, (groups, channels of a group times kernel, outputs)."""
    if window.of_rows and blob.shape[-1] == window.channels:
        rows = blob.reshape(-1, window.channels)
        seen_rows = rows[some(len(rows), outputs, random)]
        return np.ascontiguousarray(seen_rows.T).reshape(window.groups, -1, len(seen_rows))
    if blob.ndim != 3 or window.flattened or window.of_rows:
        if blob.ndim == 2 and blob.shape[1] == window.channels:  # each row is an input of its own
            return np.ascontiguousarray(blob[some(blob.shape[0], outputs, random)].T)[None]
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
    chosen = some(rows * columns, outputs, random)
    y = (chosen // columns * stride_h - top)[:, None] + np.arange(kernel_h) * dilation_h
    x = (chosen % columns * stride_w - left)[:, None] + np.arange(kernel_w) * dilation_w
    inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
    seen = blob[
        :, y.clip(0, height - 1)[:, :, None], x.clip(0, width - 1)[:, None, :]
    ]  # (channels, outputs, kernel height, width)
    if not (inside_y.all() and inside_x.all()):
        seen = np.where((inside_y[:, :, None] & inside_x[:, None, :])[None], seen, np.float32(window.pad_value))
    return np.ascontiguousarray(seen.transpose(0, 2, 3, 1)).reshape(window.groups, -1, len(y))


def some(count: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return numbers below `count`, rising: all of them, or `most` at random."""
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def _padding(window: Window, height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom (ncnn's src/layer/convolution.cpp, make_padding)."""
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


def _moments(columns: list[list[Floats]], quantizer: Quantizer | None) -> Moments:
    """Return the moments of columns in the quantized branch, and in the float one if they are there too."""
    kernels = active_kernels()
    blocks: list[Floats] = [np.concatenate(parts, axis=2) for parts in zip(*columns, strict=True)]
    if quantizer is None:
        largest = np.abs(blocks[0]).max(axis=1, keepdims=True)
        steps = (127 / np.where(largest == 0, 127, largest)).astype(np.float32)
        blocks, quantizer = [block * steps for block in blocks], Quantizer(1.0, 0.0)
    shift = np.float32(quantizer.zero_point)
    rough, *exact = (block - shift for block in blocks)
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
    crosses = _crosses(differences, codes)
    return Moments(codes.shape[2], products, sums, differences.sum(axis=2).astype(np.int64), crosses)


def _crosses(differences: NDArray[np.float64], codes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the products of whole numbers of at most _LARGEST with codes, summed over columns, exactly."""
    if len(codes) != 1:
        exact: NDArray[np.int64] = np.matmul(differences, codes.transpose(0, 2, 1).astype(np.float64)).astype(np.int64)
        return exact
    products = np.zeros((1, codes.shape[1], codes.shape[1]), np.int64)
    left, unit = differences[0].astype(np.int32), 1
    while left.any():  # digit by digit, as int8 multiplies many times as fast; most differences have two
        digits = ((left + 64) & 127) - 64
        products += active_kernels().gemm_s8_s32(digits.astype(np.int8), codes[0]).astype(np.int64) * unit
        left, unit = (left - digits) >> 7, unit << 7
    return products
