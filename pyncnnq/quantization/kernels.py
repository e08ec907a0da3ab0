"""The arithmetic of ncnn's Quantize, Dequantize and Requantize layers on NumPy arrays, by the kernels of this CPU.

All targets of the kernels give the same bits (docs/kernels.md). Arrays may have any shape, which results keep; scales
are those of the whole array, so an array with a scale for each channel takes a call for each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import active_kernels

Activation = Literal["none", "relu", "leaky relu", "clip", "hard swish"]

_ACTIVATIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "none": (0, ()),
    "relu": (1, ()),
    "leaky relu": (2, ("slope",)),
    "clip": (3, ("smallest", "largest")),
    "hard swish": (6, ("alpha", "beta")),
}
"""The number of each activation in ncnn's src/layer/fused_activation.h, and the names of its parameters."""

_LARGEST_SCALE = 2.0**126


def quantize_f32_s8(x: NDArray[np.float32], *, scale: float) -> NDArray[np.int8]:
    """Return clamp(round(x * scale), -127, 127), halves rounded away from zero.

    Source: float2int8 in ncnn's src/layer/quantize.cpp.

    Args:
        x: float32, any shape. An infinity clamps; a NaN gives 127 with its sign.
        scale: int8 steps in a unit of x: 127 / threshold.

    Raises:
        TypeError: x is not float32.
        ValueError: scale is not finite.
    """
    codes = active_kernels().quantize_f32_s8(_flat("x", x, np.float32), _finite("scale", scale))
    return codes.reshape(np.shape(x))


def dequantize_s8_f32(q: NDArray[np.int8], *, scale: float, bias: float = 0.0) -> NDArray[np.float32]:
    """Return float(q) * scale + bias, each operation rounded to float32.

    Source: ncnn's src/layer/dequantize.cpp.

    Args:
        q: int8, any shape.
        scale: the unit of the result in an int8 step: threshold / 127.
        bias: in units of the result.

    Raises:
        TypeError: q is not int8.
        ValueError: scale or bias is not finite.
    """
    values = active_kernels().dequantize_s8_f32(_flat("q", q, np.int8), _finite("scale", scale), _finite("bias", bias))
    return values.reshape(np.shape(q))


def dequantize_s32_f32(q: NDArray[np.int32], *, scale: float, bias: float = 0.0) -> NDArray[np.float32]:
    """Return float(q) * scale + bias, each operation rounded to float32; so is float(q), beyond 2^24.

    Source: ncnn's src/layer/dequantize.cpp.

    Args:
        q: int32, any shape: sums of int8 products.
        scale: the unit of the result in a step of q: 1 / (scale of the inputs * scale of the weights).
        bias: in units of the result.

    Raises:
        TypeError: q is not int32.
        ValueError: scale or bias is not finite.
    """
    values = active_kernels().dequantize_s32_f32(
        _flat("q", q, np.int32), _finite("scale", scale), _finite("bias", bias)
    )
    return values.reshape(np.shape(q))


def requantize_s32_s8(
    x: NDArray[np.int32],
    *,
    scale_in: float,
    scale_out: float,
    bias: float = 0.0,
    activation: Activation = "none",
    parameters: Sequence[float] = (),
) -> NDArray[np.int8]:
    """Return clamp(round(activation(float(x) * scale_in + bias) * scale_out), -127, 127), halves away from zero.

    Source: ncnn's src/layer/requantize.cpp and src/layer/fused_activation.h.

    Args:
        x: int32, any shape: sums of int8 products.
        scale_in: the unit of the activation in a step of x, as the scale of `dequantize_s32_f32`.
        scale_out: int8 steps in a unit of the activation, as the scale of `quantize_f32_s8`; at most 2^126.
        bias: in units of the activation.
        activation: the non-linear activation.
        parameters: of "leaky relu" (slope), "clip" (smallest, largest) and "hard swish" (alpha, beta).

    Raises:
        TypeError: x is not int32.
        ValueError: a number is not finite, scale_out is not positive or too large, alpha is 0, the activation is
            unknown, or it takes another number of parameters.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))}, found {activation!r}")
    number, names = _ACTIVATIONS[activation]
    if len(parameters) != len(names):
        raise ValueError(f"{activation!r} takes {len(names)} parameters {names}, found {len(parameters)}")
    if not 0 < _finite("scale_out", scale_out) <= _LARGEST_SCALE:
        raise ValueError(f"scale_out must be positive and at most 2^126, found {scale_out}")
    values = [_finite(name, value) for name, value in zip(names, parameters, strict=True)]
    if activation == "hard swish" and values[0] == 0:
        raise ValueError("alpha of 'hard swish' must not be 0")
    codes = active_kernels().requantize_s32_s8(
        _flat("x", x, np.int32),
        _finite("scale_in", scale_in),
        scale_out,
        _finite("bias", bias),
        number,
        [*values, 0.0, 0.0][:2],
    )
    return codes.reshape(np.shape(x))


def _flat(name: str, array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return the elements in a row, aligned and in C order."""
    found = getattr(array, "dtype", type(array).__name__)
    if found != dtype:
        raise TypeError(f"{name} must be an array of {np.dtype(dtype)}, found {found}")
    return np.require(array, dtype, ["C", "A"]).ravel()


def _finite(name: str, value: float) -> float:
    """Return a number that float32 holds."""
    try:
        number = float(value)
    except OverflowError:  # an integer beyond float64
        number = np.inf
    with np.errstate(over="ignore"):
        if not np.isfinite(np.float32(number)):
            raise ValueError(f"{name} must be finite in float32, found {value}")
    return number
