"""The request for the moments of what a layer sees of its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import DIFFERENCE_UNITS, add_input_moments, gather_inputs
from pyncnnq.layerwise.walk.conversation import Request, Walker
from pyncnnq.model import Layer
from pyncnnq.model.ops import Calibrated, Convolution
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.protocol import FailureError

Floats = NDArray[np.float32]

DIFFERENCE = DIFFERENCE_UNITS
"""Differences between the branches are counted in 1 / DIFFERENCE of a quantization step."""

VALIDATES = 4
"""One sample in so many validates."""

_AT_ONCE = 1024
"""Columns, about, that are added at once: sums of large layers are matrices of millions of numbers."""

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

    @property
    def size(self) -> int:
        """How many inputs an output sees: the channels of a group times the kernel."""
        return self.channels // self.groups * math.prod(self.kernel)

    def places(self, height: int, width: int, outputs: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Return what some outputs see of a plane, shape (kernel, outputs): numbers of its places, row by row, and -1
        for the border.

        Args:
            height, width: of the plane.
            outputs: how many, chosen at random; all if there are no more.
            random: chooses them.

        Raises:
            FailureError: the plane is smaller than the kernel.
        """
        left, right, top, bottom = _padding(self, height, width)
        (kernel_h, kernel_w), (dilation_h, dilation_w), (stride_h, stride_w) = self.kernel, self.dilation, self.stride
        rows = (height + top + bottom - (kernel_h - 1) * dilation_h - 1) // stride_h + 1
        columns = (width + left + right - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
        if rows < 1 or columns < 1:
            raise FailureError(f"an input of {width}x{height} is smaller than the kernel of {kernel_w}x{kernel_h}")
        chosen = some(rows * columns, outputs, random)
        y = chosen // columns * stride_h - top + np.arange(kernel_h)[:, None, None] * dilation_h
        x = chosen % columns * stride_w - left + np.arange(kernel_w)[:, None] * dilation_w
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return np.where(inside, y * width + x, -1).reshape(-1, len(chosen))


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

    @classmethod
    def none(cls, groups: int, size: int, *, crosses: bool) -> Moments:
        """Return the moments of no inputs."""
        vectors, matrices = (groups, size), (groups, size, size)
        return cls(
            count=0,
            products=np.zeros(matrices, np.int64),
            codes=np.zeros(vectors, np.int64),
            differences=np.zeros(vectors, np.int64) if crosses else None,
            crosses=np.zeros(matrices, np.int64) if crosses else None,
        )

    def add_columns(self, columns: Sequence[Columns], quantizer: Quantizer | None) -> None:
        """Take in columns in the quantized branch, and in the float one if they are there too, as `Look` says."""
        count = columns[0].count
        rough, *exact = (each.array for each in columns)
        if quantizer is None:
            largest = np.abs(rough).max(axis=1, keepdims=True)
            steps = (127 / np.where(largest == 0, 127, largest)).astype(np.float32)
            rough, exact, quantizer = rough * steps, [block * steps for block in exact], Quantizer(1.0, 0.0)
        self.count += count
        sums = self.products, self.codes, self.differences, self.crosses
        add_input_moments(rough, exact[0] if exact else None, count, quantizer.scale, quantizer.zero_point, *sums)

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
        from pyncnnq.runtime.network import array_of  # which imports ncnn: in workers only

        window = self.window
        moments: Moments | None = None
        columns = [Columns(window, _AT_ONCE + self.outputs) for _ in range(1 + self.crosses)]
        for number, mat in walker.rough[self.blob].items():
            if self.part is not None and self.part != (number % VALIDATES == 1):
                continue
            moments = moments or Moments.none(window.groups, window.size, crosses=self.crosses)
            for each, blob in zip(columns, (mat, walker.exact[self.blob][number]), strict=False):
                random = np.random.default_rng([self.seed, number])  # for both the same
                each.take(array_of(blob), self.outputs, random)
            if columns[0].count > _AT_ONCE:
                moments.add_columns(columns, self.quantizer)
                for each in columns:
                    each.count = 0
        if moments is not None:
            moments.add_columns(columns, self.quantizer)
        return moments


class Columns:
    """What some outputs of a layer see of its input, each as a column.

    Attributes:
        array: of shape (groups, inputs of a group, room).
        count: how many columns there are.
    """

    def __init__(self, window: Window, room: int) -> None:
        """Make room for so many outputs."""
        self._window = window
        self.array = np.zeros((window.groups, window.size, room), np.float32)
        self.count = 0

    def take(self, blob: Floats, outputs: int, random: np.random.Generator) -> None:
        """Add the columns of so many outputs, or of all there are.

        Args:
            blob: the input of one sample.
            outputs: how many; there must be room for them.
            random: chooses them.

        Raises:
            FailureError: the blob is not what the layer takes.
        """
        window = self._window
        rows = self._rows(blob)
        if rows is not None:
            chosen = some(len(rows), outputs, random)
            self.array[:, :, self.count : self.count + len(chosen)] = (
                rows[chosen].reshape(len(chosen), window.groups, -1).transpose(1, 2, 0)
            )
            self.count += len(chosen)
            return
        if len(blob) != window.channels:
            raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {blob.shape}")
        places = window.places(blob.shape[1], blob.shape[2], outputs, random)
        gather_inputs(blob.reshape(len(blob), -1), places, window.pad_value, self.array, self.count)
        self.count += places.shape[1]

    def _rows(self, blob: Floats) -> Floats | None:
        """Return all that the layer sees, a row for each output; None where outputs see windows of a plane."""
        window = self._window
        if window.of_rows and blob.shape[-1] == window.channels:
            return blob.reshape(-1, window.channels)
        if blob.ndim == 3 and not (window.flattened or window.of_rows):
            return None
        if blob.ndim == 2 and blob.shape[1] == window.channels:  # each row is an input of its own
            return blob
        if blob.size != window.channels:
            raise FailureError(f"an input of {window.channels} channels was expected, found one of shape {blob.shape}")
        return blob.reshape(1, -1)


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
