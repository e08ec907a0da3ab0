"""Medians of times: of the kernels that run over one array, of matrix products, and of the KL search."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks.kernels import ncnn_layers
from benchmarks.kernels.cases import CASES, Floats, Work
from pyncnnq import _core

SIZES = {"L1": 1 << 12, "L2": 1 << 16, "memory": 1 << 25}
"""Elements: 16 KB and 256 KB of floats, which the first- and the second-level cache hold, and 128 MB."""

GEMM_SHAPES = {"3x3, 128 channels, 28x28": (784, 128, 1152), "1x1, 320 to 1280, 7x7": (49, 1280, 320)}
"""m, n and k of real layers."""

_CHECKED = 1 << 18  # elements, enough for every loop of a kernel


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        who: a target, "numpy", "ncnn" or "limit".
        nanoseconds: of one element.
        gigabytes: read and written in a second.
        limits: the time over that of the limit.
        scalars: the time of the scalar target over this time.
    """

    kernel: str
    size: str
    data: str
    who: str
    nanoseconds: float
    gigabytes: float
    limits: float
    scalars: float


def data_kinds(n: int) -> dict[str, Floats]:
    """Return n values of each kind, at addresses that every vector width is aligned to, as ncnn's blobs are."""
    normal = np.resize(np.random.default_rng(0).standard_normal(min(n, 1 << 20)).astype(np.float32), n)
    even = np.resize(np.random.default_rng(1).uniform(-4, 4, min(n, 1 << 20)).astype(np.float32), n)
    kinds = {
        "gaussian": normal,
        "relu": np.maximum(normal, 0),
        "constant": np.full(n, 1.5, np.float32),
        "uniform": even,
    }
    return {name: _aligned(x) for name, x in kinds.items()}


def _aligned(x: Floats) -> Floats:
    room = np.empty(x.size + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    room[start : start + x.size] = x
    return room[start : start + x.size]


def median_of(work: Work, samples: int) -> float:
    """Return the median time in nanoseconds."""
    times = []
    for _ in range(samples):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times)


def measure_case(timer: ModuleType, kernel: str, size: str, kind: str, x: Floats, samples: int) -> list[Row]:
    """Return a row for the limit, each target, stock ncnn and NumPy."""
    case = CASES[kernel]
    moved = case.read + case.written
    if case.written:
        limit = timer.time_copy(moved * x.size, samples)
    else:
        limit = timer.time_read(_aligned(np.resize(x, x.size * case.read // 4)), samples)
    nanoseconds = {"limit": statistics.median(limit)}
    for target in _core.supported_targets():
        kernels = _core.kernels(target)
        case.check(kernels, x[:_CHECKED])
        nanoseconds[target] = statistics.median(getattr(timer, kernel)(kernels, x, samples))
    if kernel in ncnn_layers.LAYERS:
        nanoseconds["ncnn"] = ncnn_layers.nanoseconds(kernel, x, 4 * samples)
    if case.numpy:
        nanoseconds["numpy"] = median_of(case.numpy(x), 3 if size == "memory" else samples)
    limit_ns, scalar_ns = nanoseconds["limit"], nanoseconds["scalar"]
    return [
        Row(kernel, size, kind, who, ns / x.size, moved * x.size / ns, ns / limit_ns, scalar_ns / ns)
        for who, ns in nanoseconds.items()
    ]


def measure_gemm(timer: ModuleType, samples: int) -> Iterator[dict[str, object]]:
    """Yield thousand million multiplications and additions a second, for each shape and target."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (37, 577), np.int8), rng.integers(-128, 128, (21, 577), np.int8)
    for layer, (m, n, k) in GEMM_SHAPES.items():
        scalar = statistics.median(timer.gemm_s8_s32(_core.kernels("scalar"), m, n, k, samples))
        for target in _core.supported_targets():
            kernels = _core.kernels(target)
            np.testing.assert_array_equal(kernels.gemm_s8_s32(a, b), a.astype(np.int32) @ b.T.astype(np.int32))
            ns = statistics.median(timer.gemm_s8_s32(kernels, m, n, k, samples))
            yield {"layer": layer, "target": target, "gops": 2 * m * n * k / ns, "scalars": scalar / ns}


def measure_kl(timer: ModuleType, samples: int) -> Iterator[dict[str, object]]:
    """Yield the time of the search over 2048 bins and of the textbook's loops, which must agree, and of the kernel."""
    for data, histogram in _histograms().items():
        threshold = _core.kl_threshold_bin(histogram, 128)
        assert threshold == timer.textbook_kl(histogram, 128), data
        search = median_of(lambda histogram=histogram: _core.kl_threshold_bin(histogram, 128), samples)  # type: ignore[misc]
        textbook = median_of(lambda histogram=histogram: timer.textbook_kl(histogram, 128), max(3, samples // 3))  # type: ignore[misc]
        mass = np.append(0, np.cumsum(histogram / histogram.sum()) * _core.MASS_UNITS).round().astype(np.int32)
        scalar = statistics.median(timer.kl_cross_entropies(_core.kernels("scalar"), mass, 1024, 128, samples))
        times = {"search": search, "textbook": textbook}
        for target in _core.supported_targets():
            times[target] = statistics.median(timer.kl_cross_entropies(_core.kernels(target), mass, 1024, 128, samples))
        for who, ns in times.items():
            ratio = textbook / ns if who in ("search", "textbook") else scalar / ns
            yield {"data": data, "who": who, "microseconds": ns / 1e3, "ratio": ratio}


def _histograms() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(200_000)
    kinds = {
        "gaussian": np.abs(normal),
        "relu6": np.clip(4 * normal, 0, 6),
        "laplace": rng.exponential(1, 200_000),
        "long tail": normal**4,
    }
    return {name: np.histogram(x[x > 0], 2048, (0, x.max()))[0].astype(np.float64) for name, x in kinds.items()}
