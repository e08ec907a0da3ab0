"""The C++ core: kernels, statistics of blobs, thresholds, weights (csrc/bindings).

Arrays must have the type that is named here, be in C order and be aligned to their elements: else TypeError or, for the
alignment, ValueError. Functions that say so raise ValueError for other shapes and values. All of them release the GIL:
arrays must not change meanwhile, nor may two threads change the same statistics.
"""

from collections.abc import Sequence
from typing import Any, TypedDict, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

KERNELS: list[str]
"""The names of csrc/kernels/kernels.def; each is a method of `Kernels`."""
LANES: int
"""Sums of kernels run in so many interleaved lanes."""
BINS: int
"""The bins of the histogram of magnitudes: BINS_PER_OCTAVE equal bins in each of the highest OCTAVES octaves, and as
many over all the rest down to zero."""
BINS_PER_OCTAVE: int
OCTAVES: int
LOWEST_OCTAVE: int
"""The exponent field of the lowest octave that a histogram may end with."""
KL_ERROR: float
"""The greatest error of `Kernels.kl_cross_entropies`."""
MASS_UNITS: float
"""The mass of a whole histogram for `Kernels.kl_cross_entropies`."""

def available_cores() -> int:
    """Return the number of cores that this process may use, by its affinity mask where the system has one."""

def supported_targets() -> list[str]:
    """Return the kernel targets that this CPU runs, best first."""

def active_kernels() -> Kernels:
    """Return the kernels in use: those of the best target, or of the target that PYNCNNQ_TARGET names.

    Raises:
        ValueError: PYNCNNQ_TARGET names a target that is unknown or that this CPU does not run.
    """

def kernels(target: str) -> Kernels:
    """Return the kernels of a target.

    Raises:
        ValueError: the target is unknown, or this CPU does not run it; the message names the valid ones.
    """

DIFFERENCE_UNITS: int
"""`add_input_moments` counts differences in 1 / DIFFERENCE_UNITS of a quantization step."""
CONTRAST_UNITS: int
"""`add_differences` counts in 1 / CONTRAST_UNITS of the blobs' own unit."""

def gather_inputs(
    blob: NDArray[np.float32],
    places: NDArray[np.int64],
    outside: float,
    columns: NDArray[np.float32],
    first: int,
) -> None:
    """Write what outputs of a layer see of a blob, each as a column.

    Args:
        blob: shape (channels, numbers); channels may lie apart.
        places: shape (taps, outputs), each a number of a channel; negative where the layer sees its border.
        outside: what it sees there.
        columns: changed, shape (groups, channels of a group times taps, room).
        first: where in `columns` the first output goes.

    Raises:
        ValueError: shapes do not fit, a place is beyond the blob, or an array cannot be written.
    """

def add_input_moments(
    rough: NDArray[np.float32],
    exact: NDArray[np.float32] | None,
    places: int,
    scale: float,
    shift: float,
    products: NDArray[np.int64],
    codes: NDArray[np.int64],
    differences: NDArray[np.int64] | None,
    crosses: NDArray[np.int64] | None,
) -> None:
    """Add to sums over the inputs of a layer; csrc/core/input_moments.hpp says of what.

    Args:
        rough: what the layer sees in the quantized branch, shape (groups, inputs, room).
        exact: the same in the float branch; None together with `differences` and `crosses`.
        places: how many there are in `rough` and `exact`, from the first on.
        scale, shift: finite; a value is the code (value - shift) * scale.
        products: changed, sums of codes with each other, shape (groups, inputs, inputs).
        codes: changed, sums of codes, shape (groups, inputs).
        differences, crosses: changed, sums of exact minus rough in 1 / DIFFERENCE_UNITS of a step, and of that with
            the codes; shapes of codes and products.

    Raises:
        ValueError: shapes do not fit, scale or shift is not finite, or an array cannot be written.
    """

def add_differences(
    exact: NDArray[np.float32],
    rough: NDArray[np.float32],
    low: float,
    high: float,
    counts: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> None:
    """Add by how much blobs differ where the exact one is between two bounds, these not included.

    Args:
        exact, rough: shape (channels, numbers); channels may lie apart.
        counts: changed, how many numbers lie between the bounds, shape (channels,).
        sums: changed, the sum of exact minus rough in 1 / CONTRAST_UNITS, shape (channels,).

    Raises:
        ValueError: shapes do not fit, the numbers of a channel are not dense, or an array cannot be written.
    """

def absmax_rows(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest magnitude of each row, shape (rows,), of weights (rows, columns).

    It is infinite or NaN where the row holds such a value, and 0 for rows without elements.

    Raises:
        ValueError: weights do not have two dimensions.
    """

def quantize_rows(weights: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return clamp(round(weights * scale), -127, 127), halves away from zero, of weights (rows, columns).

    Args:
        weights: shape (rows, columns).
        scales: finite, int8 steps in a unit of the weights, shape (rows,).

    Raises:
        ValueError: shapes do not fit, or a scale is not finite.
    """

def least_error_scales(
    weights: NDArray[np.float32], candidates: NDArray[np.float32], means: NDArray[np.float64], variance: float
) -> NDArray[np.float32]:
    """Return for each row the candidate scale with the least error at the outputs, shape (rows,).

    csrc/core/weight_search.hpp says how it is computed.

    Args:
        weights: finite, shape (rows, columns); a row holds the weights of one or more outputs, one after the other.
        candidates: positive scales, shape (rows, candidates).
        means: of the inputs of each weight of an output, shape (rows, inputs), or (1, inputs) for all rows alike.
        variance: of the inputs around their means.

    Raises:
        ValueError: shapes do not fit, a scale is not positive and finite, or weights, means or the variance are not
            finite.
    """

def gptq_round(
    weights: NDArray[np.float64], moments: NDArray[np.float64], scales: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float64]]:
    """Round weights to int8 so that errors at the outputs are small, by the best of several scales: GPTQ.

    csrc/core/gptq.hpp names the sources.

    Args:
        weights: shape (groups, outputs of a group, inputs of a group).
        moments: the mean of x x' over the inputs x of a group, damped, shape (groups, inputs, inputs).
        scales: int8 steps in a unit of the weights, shape (candidates, groups * outputs of a group).

    Returns:
        The int8 weights, shape of weights; the index of the chosen scale and the squared error of each output, shape
        (groups * outputs of a group,).

    Raises:
        ValueError: shapes do not fit, a weight is not finite, a scale is not positive and finite, a matrix of moments
            is not positive definite, or an error is beyond float64.
    """

def refit(
    weights: NDArray[np.float64], moments: NDArray[np.float64], crosses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the changes of weights that make up best for errors of the inputs, by least squares.

    Args:
        weights: shape (groups, outputs of a group, inputs of a group).
        moments: the mean of x x' over quantized inputs x, damped, shape (groups, inputs, inputs).
        crosses: the mean of d x', d being exact minus quantized inputs, shape (groups, inputs, inputs).

    Returns:
        weights @ crosses @ inverse of moments, shape of weights.

    Raises:
        ValueError: shapes do not fit, a weight or a number of crosses is not finite, a matrix of moments is not
            positive definite, or a change is beyond float64.
    """

def kl_threshold_bin(histogram: NDArray[np.float64], levels: int) -> int:
    """Return the number of leading bins whose quantization diverges least from the histogram.

    Source: quantize_KL in ncnn's tools/quantize/ncnn2table.cpp, to the bin.

    Args:
        histogram: counts of magnitudes in equal bins, shape (bins,), bins from levels + 1 to 4096.
        levels: a power of two from 16 to 256: 128 for int8.

    Raises:
        ValueError: an argument is out of range, a count is negative or NaN, or the sum is 0 or infinite.
    """

class Summary(TypedDict):
    """The result of `Kernels.summarize_f32`; element i is in lane i % LANES.

    Attributes:
        lane_absmax_bits: the patterns of the largest magnitudes, shape (LANES,); from 0x7f800000 on the lane holds an
            infinity or a NaN.
        min: unspecified after a NaN, as max; infinity when there is no element.
        max: -infinity when there is no element.
        zeros: the number of zeros of either sign.
        lane_sums: shape (LANES,).
    """

    lane_absmax_bits: NDArray[np.uint32]
    min: float
    max: float
    zeros: int
    lane_sums: NDArray[np.float64]

@final
class Kernels:
    """The kernels of one target. csrc/kernels/kernels.def has their contracts; arguments beyond them raise ValueError.

    Arrays are taken as their elements in a row, and results have one dimension, but for `gemm_s8_s32`.
    """

    @property
    def target(self) -> str:
        """The name of the target."""

    def summarize_f32(self, x: NDArray[np.float32]) -> Summary:
        """Return minimum, maximum, zeros and, by lanes, the sum and the largest magnitude."""

    def absmax_bits_f32(self, x: NDArray[np.float32]) -> int:
        """Return the pattern of the largest magnitude; 0x7f800000 or more when x holds an infinity or a NaN."""

    def bin_magnitudes_f32(self, x: NDArray[np.float32], octave: int) -> NDArray[np.uint16]:
        """Return the bins of the non-zero magnitudes, in a histogram that ends with the octave.

        Args:
            x: magnitudes below the end of the octave.
            octave: an exponent field from LOWEST_OCTAVE to 254.
        """

    def count_bins_u16(self, bins: NDArray[np.uint16]) -> NDArray[np.uint32]:
        """Return the count of each bin, shape (BINS,), of at most 65535 bins."""

    def quantize_f32_s8(self, x: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
        """Return clamp(round(x * scale), -127, 127), halves away from zero; the scale is finite."""

    def dequantize_s8_f32(self, q: NDArray[np.int8], scale: float, bias: float) -> NDArray[np.float32]:
        """Return float(q) * scale + bias."""

    def dequantize_s32_f32(self, q: NDArray[np.int32], scale: float, bias: float) -> NDArray[np.float32]:
        """Return float(q) * scale + bias."""

    def requantize_s32_s8(
        self,
        x: NDArray[np.int32],
        scale_in: float,
        scale_out: float,
        bias: float,
        activation: int,
        parameters: Sequence[float],
    ) -> NDArray[np.int8]:
        """Return clamp(round(activation(float(x) * scale_in + bias) * scale_out), -127, 127), halves away from zero.

        Args:
            scale_out: positive, at most 2^126.
            activation: the number in ncnn's src/layer/fused_activation.h: 0, 1, 2, 3 or 6.
            parameters: two, whether the activation takes them or not; the first of hard swish is not 0.
        """

    def weighted_quantization_errors_f32(
        self, x: NDArray[np.float32], weights: NDArray[np.float64], scales: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return for each scale the sum of weights times squared errors of quantizing x, in steps, shape (scales,)."""

    def quantization_errors_and_dots_f32(
        self, x: NDArray[np.float32], factors: NDArray[np.float64], scales: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return for each scale the squared error of quantizing x, in steps, and levels of |x| @ factors."""

    def kl_cross_entropies(self, mass: NDArray[np.int32], threshold: int, levels: int) -> NDArray[np.float64]:
        """Return the sum of p log q below each of the LANES thresholds from `threshold` on, to KL_ERROR.

        Args:
            mass: the share of the bins before each bin in units of 1 / MASS_UNITS, known to 16 bins beyond threshold.
            threshold: a number of bins from levels to 4096.
            levels: a power of two from 16 to 256.
        """

    def gemm_s8_s32(self, a: NDArray[np.int8], b: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return a @ b.T modulo 2^32, shape (m, n), for a (m, k) and b (n, k)."""

@final
class BlobStatistics:
    """The statistics of one blob over all calibration data; the order of blobs and of merging does not change them."""

    def __init__(self) -> None: ...
    def observe(self, mat: Buffer, dims: int, w: int, h: int, d: int, c: int, cstep: int, elempack: int) -> bool:
        """Add a blob; return False if it holds an infinity or a NaN, after which the statistics are those of nothing.

        Args:
            mat: the memory of an ncnn.Mat, float32, contiguous but for gaps between channels; the other arguments are
                its members.

        Raises:
            ValueError: mat does not hold float32, or less than the layout says, or no Mat has such a layout.
        """

    def merge(self, other: BlobStatistics) -> None:
        """Add the blobs of other statistics.

        Raises:
            ValueError: they are these statistics.
        """

    @property
    def count(self) -> int:
        """The number of values."""

    @property
    def zeros(self) -> int:
        """The number of zeros."""

    @property
    def min(self) -> float:
        """The smallest value; 0 of nothing."""

    @property
    def max(self) -> float:
        """The largest value; 0 of nothing."""

    @property
    def absmax(self) -> float:
        """The largest magnitude; 0 of nothing."""

    def channel_means(self) -> NDArray[np.float64]:
        """Return the mean of each channel, shape (channels,); empty if the number of channels varied."""

    def channel_absmax(self) -> NDArray[np.float32]:
        """Return the largest magnitude of each channel, shape (channels,); empty if the number of channels varied."""

    def histogram(self, bins: int) -> NDArray[np.float64]:
        """Return counts of the non-zero magnitudes in equal bins over [0, absmax], shape (bins,).

        Up to 2^18 values they are exact, beyond interpolated; of a blob of 2^17 values or more a part is counted.

        Raises:
            ValueError: bins is 0, or more than 2^20.
        """

    def __getstate__(self) -> tuple[Any, ...]: ...
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take over a state of `__getstate__`, in an object that `__new__` has made.

        Raises:
            ValueError: no blobs can have this state.
        """
