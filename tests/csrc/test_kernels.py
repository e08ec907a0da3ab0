"""Every kernel of csrc/kernels/kernels.def on every target of this CPU has the bits of `scalar`.

The test_kernels_*.py beside this file hold the kernels against NumPy and ncnn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from activations import ACTIVATIONS
from conftest import REPOSITORY, TARGETS
from kernel_data import (
    ERROR_SCALES,
    NOT_FINITE,
    OCTAVES,
    SCALES,
    SIZES,
    Floats,
    below,
    moderate,
    some_weights,
    unaligned,
    values,
)
from numpy.typing import NDArray

from pyncnnq import _core

KERNELS: dict[str, Callable[[_core.Kernels, Floats], list[Any]]] = {
    "summarize_f32": lambda kernels, x: list(kernels.summarize_f32(x).values()),
    "absmax_bits_f32": lambda kernels, x: [kernels.absmax_bits_f32(x)],
    "bin_magnitudes_f32": lambda kernels, x: [
        kernels.bin_magnitudes_f32(below(x, octave), octave) for octave in OCTAVES
    ],
    "count_bins_u16": lambda kernels, x: [kernels.count_bins_u16(some_bins(x))],
    "quantize_f32_s8": lambda kernels, x: [kernels.quantize_f32_s8(x, scale) for scale in SCALES],
    "dequantize_s8_f32": lambda kernels, x: [
        kernels.dequantize_s8_f32(x.view(np.int8), scale, 0.3) for scale in SCALES
    ],
    "dequantize_s32_f32": lambda kernels, x: [
        kernels.dequantize_s32_f32(x.view(np.int32), scale, 0.3) for scale in SCALES
    ],
    "requantize_s32_s8": lambda kernels, x: [
        kernels.requantize_s32_s8(x.view(np.int32) >> shift, 1e-3, 13, 0.7, number, parameters)
        for number, parameters in ACTIVATIONS
        for shift in (0, 15)
    ],
    "weighted_quantization_errors_f32": lambda kernels, x: [
        kernels.weighted_quantization_errors_f32(moderate(x), some_weights(x), ERROR_SCALES)
    ],
    "quantization_errors_and_dots_f32": lambda kernels, x: list(
        kernels.quantization_errors_and_dots_f32(moderate(x), np.rint(some_weights(x)), ERROR_SCALES)
    ),
    "kl_cross_entropies": lambda kernels, x: [
        kernels.kl_cross_entropies(some_mass(x), 64, levels) for levels in (16, 64)
    ],
    "gemm_s8_s32": lambda kernels, x: [
        kernels.gemm_s8_s32(*some_matrices(x, m, n)) for m, n in ((1, 1), (2, 3), (5, 4), (9, 6))
    ],
}


def some_bins(x: Floats) -> NDArray[np.uint16]:
    """Return two bins for each x, most of them in stretches of the same."""
    bins = x.view(np.uint16) % np.uint16(_core.BINS)
    bins[5 : bins.size // 2] = bins[:1]
    return bins


def some_mass(x: Floats) -> NDArray[np.int32]:
    """Return a cumulative distribution over 200 bins, with bins that are empty."""
    weights = np.resize(np.append(np.log1p(np.abs(moderate(x)).astype(np.float64)), 1.0), 200) * (
        np.arange(200) % 3 != 0
    )
    return np.round(np.append(0, weights.cumsum() / weights.sum()) * _core.MASS_UNITS).astype(np.int32)


def some_matrices(x: Floats, m: int, n: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return matrices (m, k) and (n, k), k up to 300 by the size of x."""
    k = min(x.size, 300)
    data = np.resize(np.append(x.view(np.int8), np.int8([-128, 127, -127])), (m + n) * k)
    return data[: m * k].reshape(m, k), data[m * k :].reshape(n, k)


def bits(results: list[Any]) -> list[bytes]:
    """Return results as bytes: NaN equals NaN, and -0 is not +0."""
    return [np.asarray(result).tobytes() for result in results]


def test_every_kernel_of_the_list_has_a_case() -> None:
    assert _core.KERNELS
    missing, unknown = set(_core.KERNELS) - set(KERNELS), set(KERNELS) - set(_core.KERNELS)
    assert not missing, f"no case in KERNELS for {missing} of csrc/kernels/kernels.def"
    assert not unknown, f"csrc/kernels/kernels.def has no {unknown}"


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_list_names_the_callers(kernel: str) -> None:
    """Files of the core, and modules of the package by the last part of their names."""
    text = (REPOSITORY / "csrc" / "kernels" / "kernels.def").read_text()
    (users,) = re.findall(rf"Used by(?: library users only)?: (.*)\nPYNCNNQ_KERNEL\(\w+, {kernel},", text)
    core = {
        f"core/{path.name}" for path in (REPOSITORY / "csrc" / "core").iterdir() if f".{kernel}(" in path.read_text()
    }
    package = {path.stem for path in (REPOSITORY / "pyncnnq").rglob("*.py") if f".{kernel}(" in path.read_text()}
    assert {user if "/" in user else user.split(".")[-1] for user in users.split(", ")} == core | package


@pytest.mark.parametrize("size", SIZES, ids="n{}".format)
@pytest.mark.parametrize("kernel", KERNELS)
def test_target_gives_the_bits_of_scalar(kernels: _core.Kernels, kernel: str, size: int) -> None:
    x = values(size)
    assert bits(KERNELS[kernel](kernels, x)) == bits(KERNELS[kernel](_core.kernels("scalar"), x))


@pytest.mark.parametrize("kernel", KERNELS)
def test_target_at_every_misalignment(kernels: _core.Kernels, kernel: str) -> None:
    x = values(77)
    expected = bits(KERNELS[kernel](_core.kernels("scalar"), x))
    for offset in range(16):
        assert bits(KERNELS[kernel](kernels, unaligned(x, offset))) == expected, offset


@pytest.mark.parametrize("kernel", ["absmax_bits_f32", "quantize_f32_s8"])
def test_target_with_infinities_and_nans(kernels: _core.Kernels, kernel: str) -> None:
    for size in (1, 4, 16, 33, 50):
        for seed in range(8):
            x = values(size, seed)
            x[np.random.default_rng(seed).integers(size, size=3)] = NOT_FINITE[
                np.random.default_rng(seed).integers(4, size=3)
            ]
            assert bits(KERNELS[kernel](kernels, x)) == bits(KERNELS[kernel](_core.kernels("scalar"), x))


def test_a_mutable_view_is_not_written(kernels: _core.Kernels) -> None:
    x = values(100)
    before = x.copy()
    for kernel in KERNELS.values():
        kernel(kernels, x)
    np.testing.assert_array_equal(x, before)


def test_targets_stand_best_first() -> None:
    assert _core.supported_targets() == [name for name in TARGETS if name in _core.supported_targets()]


@pytest.mark.parametrize("name", ["sse9", "", "AVX2"])
def test_unknown_target_names_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is unknown .* valid here: .*scalar"):
        _core.kernels(name)


def test_none_is_no_target() -> None:
    with pytest.raises(TypeError):
        _core.kernels(None)  # type: ignore[arg-type]


def test_kernels_come_from_their_target_alone() -> None:
    """An object that nothing has filled would be a table of wild addresses."""
    with pytest.raises(TypeError):
        _core.Kernels()
    for kernels in (_core.Kernels.__new__(_core.Kernels), None):
        with pytest.raises(TypeError):
            _core.Kernels.absmax_bits_f32(kernels, np.ones(3, np.float32))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            _core.Kernels.target.fget(kernels)  # type: ignore[attr-defined]


def misaligned(x: NDArray[Any]) -> NDArray[Any]:
    """Return a copy at an address that does not fit its type."""
    room = np.empty(x.nbytes + 1, np.int8)[1:]
    copy = np.frombuffer(room, x.dtype).reshape(x.shape)
    copy[...] = x
    assert not copy.flags.aligned
    return copy


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name not in ("dequantize_s8_f32", "gemm_s8_s32")])
def test_arrays_that_are_not_aligned_are_refused(kernel: str) -> None:
    """int8 lies anywhere; all other elements need an address that is a multiple of their size."""
    kernels = _core.kernels("scalar")
    arguments = {
        "summarize_f32": (np.ones(3, np.float32),),
        "absmax_bits_f32": (np.ones(3, np.float32),),
        "bin_magnitudes_f32": (np.ones(3, np.float32), 127),
        "count_bins_u16": (np.ones(3, np.uint16),),
        "quantize_f32_s8": (np.ones(3, np.float32), 1.0),
        "dequantize_s32_f32": (np.ones(3, np.int32), 1.0, 0.0),
        "requantize_s32_s8": (np.ones(3, np.int32), 1.0, 1.0, 0.0, 0, (0.0, 0.0)),
        "weighted_quantization_errors_f32": (np.ones(3, np.float32), np.ones(3), ERROR_SCALES),
        "quantization_errors_and_dots_f32": (np.ones(3, np.float32), np.ones(3), ERROR_SCALES),
        "kl_cross_entropies": (np.zeros(101, np.int32), 64, 16),
    }[kernel]
    getattr(kernels, kernel)(*arguments)
    for place, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray):
            with pytest.raises(ValueError, match="not aligned"):
                getattr(kernels, kernel)(*arguments[:place], misaligned(argument), *arguments[place + 1 :])


def test_arrays_of_another_type_are_refused() -> None:
    kernels = _core.kernels("scalar")
    for wrong in (np.ones(3), np.ones(3, np.int32), np.ones(3, ">f4"), np.ones(6, np.float32)[::2], None, "x", [1.0]):
        with pytest.raises(TypeError):
            kernels.quantize_f32_s8(wrong, 1.0)  # type: ignore[arg-type]


def test_every_target_of_this_cpu_was_tested(tested_targets: set[str]) -> None:
    """Last in the file: a parametrisation that lost a target would otherwise pass unseen."""
    assert tested_targets == set(_core.supported_targets())
