"""What QuantizeLinear and DequantizeLinear say of a tensor and of a layer: steps, and integers without their zero
point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ActivationQuantizer:
    """How a pair of QuantizeLinear and DequantizeLinear rounds a tensor: to step * n, n an integer from `lowest` to
    `highest`.

    Attributes:
        step: ONNX calls it scale; ncnn's scale is 1 / step.
        lowest, highest: of the integer type, less the zero point: -128 and 127, or 0 and 255, or between.
    """

    step: float
    lowest: int
    highest: int

    @property
    def cuts_negatives(self) -> bool:
        """Whether it does what a ReLU does."""
        return self.lowest == 0


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A constant tensor: step * integer, element by element.

    Attributes:
        integers: less their zero points.
        steps: with as many axes; those of one element are broadcast.
    """

    integers: NDArray[np.int32]
    steps: Floats

    @property
    def values(self) -> Floats:
        return self.integers.astype(np.float32) * self.steps

    def transposed(self, axes: Sequence[int] | None = None) -> QuantizedWeight:
        return QuantizedWeight(self.integers.transpose(axes), self.steps.transpose(axes))

    def rows(self) -> QuantizedWeight:
        """Return matrices of shape (outputs, elements): the first axis is kept, all others become one."""
        steps = np.broadcast_to(self.steps, self.integers.shape)
        return QuantizedWeight(self.integers.reshape(len(steps), -1), steps.reshape(len(steps), -1))


@dataclass(frozen=True, eq=False)
class QdqLayer:
    """A layer with quantized weights, or of a quantized input.

    Attributes:
        name: the node's; of one without, that of its output.
        type: Conv, ConvTranspose, Gemm or MatMul.
        weight: of shape (outputs, elements); None if it is not a constant that has been quantized.
        input: how its input is rounded; None if it is not.
    """

    name: str
    type: str
    weight: QuantizedWeight | None
    input: ActivationQuantizer | None
