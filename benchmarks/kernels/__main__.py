"""The kernels: every target, size and kind of data, beside the machine's limits, NumPy and stock ncnn's layers.

    python -m benchmarks kernels [--json FILE] [--plot FILE] [--samples 15] [--only KERNEL]

On one core.  Before a kernel is timed its result is checked against NumPy.  `limit` is the fastest of several plain reads for what only
reads, and a memcpy that moves the same bytes for the others, in the same run; `x limit` is the kernel's time over the limit's.  Medians.
Needs a C++ compiler and pybind11 (of the version that the package was built with); --plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks.kernels import ncnn_layers
from benchmarks.kernels.build import load_timer
from benchmarks.kernels.checks import check
from benchmarks.kernels.plot import plot
from pyncnnq import _core

Floats = NDArray[np.float32]

# Elements: 16 KB and 256 KB of floats, which the first- and the second-level cache hold, and 128 MB, which no cache does.
SIZES = {"L1": 1 << 12, "L2": 1 << 16, "memory": 1 << 25}

# The bytes that each kernel reads and writes for an element.
BYTES = {
    "absmax_bits_f32": (4, 0),
    "range_f32": (4, 0),
    "summarize_f32": (4, 0),
    "histogram": (4, 0),
    "quantize_f32_s8": (4, 1),
    "dequantize_s8_f32": (1, 4),
    "dequantize_s32_f32": (4, 4),
    "requantize_s32_s8": (4, 1),
    "quantization_errors_f32": (4, 0),
}


@dataclass
class Row:
    """One measurement.

    Attributes:
        who: a target, "numpy", "ncnn" or "limit".
        nanoseconds: of one element.
        gigabytes: read and written in a second.
        elements: in a second, in thousands of millions.
        limits: the time over that of the limit.
    """

    kernel: str
    size: str
    data: str
    who: str
    nanoseconds: float
    gigabytes: float
    elements: float
    limits: float


def aligned(x: Floats) -> Floats:
    """The same at an address that every vector width is aligned to, as ncnn's blobs are."""
    room = np.empty(x.size + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    room[start : start + x.size] = x
    return room[start : start + x.size]


def data_kinds(n: int) -> dict[str, Floats]:
    normal = aligned(np.resize(np.random.default_rng(0).standard_normal(min(n, 1 << 20)).astype(np.float32), n))
    even = np.resize(np.random.default_rng(1).uniform(-4, 4, min(n, 1 << 20)).astype(np.float32), n)
    return {
        "gaussian": normal,
        "relu": aligned(np.maximum(normal, 0)),
        "constant": aligned(np.full(n, 1.5, np.float32)),
        "uniform": aligned(even),
    }


def numpy_ways(x: Floats) -> dict[str, Callable[[], object]]:
    """How one would do it in NumPy, buffers given where it takes them."""
    magnitudes, product = np.abs(x), np.empty_like(x)
    top, integers, q = float(magnitudes.max()), x.view(np.int32), np.empty(x.size, np.int8)

    def quantize(values: Floats) -> None:
        np.rint(values, out=values)
        np.clip(values, -127, 127, out=values)
        q[:] = values

    return {
        "absmax_bits_f32": lambda: np.abs(x, out=product).max(),
        "range_f32": lambda: (x.min(), x.max()),
        "histogram": lambda: np.histogram(magnitudes, 2048, (0, top)),
        "quantize_f32_s8": lambda: quantize(np.multiply(x, np.float32(31.7), out=product)),
        "dequantize_s32_f32": lambda: np.add(
            np.multiply(integers, np.float32(0.03), out=product), np.float32(0.5), out=product
        ),
        "requantize_s32_s8": lambda: quantize(
            np.maximum(np.multiply(integers, np.float32(1e-8), out=product) + np.float32(0.5), 0) * 20
        ),
    }


def median_of(work: Callable[[], object], samples: int) -> float:
    """In nanoseconds."""
    times = []
    for _ in range(samples):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times)


def measure_kernel(timer: ModuleType, kernel: str, size: str, kind: str, x: Floats, samples: int) -> list[Row]:
    read, written = BYTES[kernel]
    limit = timer.time_copy((read + written) * x.size, samples) if written else timer.time_read(x, samples)
    nanoseconds = {"limit": statistics.median(limit)}
    for target in _core.supported_targets():
        kernels = _core.kernels(target)
        check(kernels, kernel, x)
        nanoseconds[target] = statistics.median(timer.time_kernel(kernels, kernel, x, samples))
    if kernel in ncnn_layers.LAYERS:
        nanoseconds["ncnn"] = ncnn_layers.nanoseconds(kernel, x, 4 * samples)
    if way := numpy_ways(x).get(kernel):
        nanoseconds["numpy"] = median_of(way, 3 if size == "memory" else samples)
    moved = read + written
    return [
        Row(kernel, size, kind, who, ns / x.size, moved * x.size / ns, x.size / ns, ns / nanoseconds["limit"])
        for who, ns in nanoseconds.items()
    ]


def measure_gemm(timer: ModuleType, samples: int) -> list[dict[str, object]]:
    """Thousand million multiplications and additions a second, for shapes of real layers."""
    found: list[dict[str, object]] = []
    for name, (m, n, k) in {
        "3x3, 128 channels, 28x28": (784, 128, 1152),
        "1x1, 320 to 1280, 7x7": (49, 1280, 320),
    }.items():
        for target in _core.supported_targets():
            ns = statistics.median(timer.time_gemm(_core.kernels(target), m, n, k, samples))
            found.append({"layer": name, "target": target, "gops": 2 * m * n * k / ns})
    return found


def measure_kl(timer: ModuleType, samples: int) -> list[dict[str, object]]:
    """The search over 2048 bins against the textbook's triple loop; both must find the same."""
    rng = np.random.default_rng(0)
    found: list[dict[str, object]] = []
    normal = rng.standard_normal(200_000)
    for name, values in {
        "gaussian": np.abs(normal),
        "relu6": np.clip(4 * normal, 0, 6),
        "laplace": rng.exponential(1, 200_000),
        "long tail": normal**4,
    }.items():
        values = values[values > 0]
        histogram = np.histogram(values, 2048, (0, values.max()))[0].astype(np.float64)
        threshold = _core.kl_threshold_bin(histogram, 128)
        assert threshold == timer.textbook_kl(histogram, 128), name
        ours = median_of(lambda histogram=histogram: _core.kl_threshold_bin(histogram, 128), samples)  # type: ignore[misc]
        textbook = median_of(lambda histogram=histogram: timer.textbook_kl(histogram, 128), max(3, samples // 3))  # type: ignore[misc]
        found.append(
            {
                "data": name,
                "threshold": threshold,
                "ms": ours / 1e6,
                "textbook_ms": textbook / 1e6,
                "times": textbook / ours,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kernels", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--plot", type=Path, help="draw them there (png, svg, pdf)")
    parser.add_argument(
        "--samples", type=int, default=15, choices=range(1, 1000), metavar="N", help="of each time; medians are shown"
    )
    parser.add_argument("--only", choices=[*BYTES, "gemm", "kl"])
    arguments = parser.parse_args()
    if arguments.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    timer = load_timer()
    clock = timer.clock_ghz()
    print(f"clock: {clock:.2f} GHz")
    rows: list[Row] = []
    for size, n in SIZES.items():
        for kind, x in data_kinds(n).items():
            for kernel in BYTES:
                if arguments.only not in (None, kernel):
                    continue
                measured = measure_kernel(timer, kernel, size, kind, x, arguments.samples)
                rows += measured
                for row in measured:
                    speed = (
                        f"{row.nanoseconds:9.4f} ns/element {row.gigabytes:8.2f} GB/s {row.elements:8.3f} G elements/s"
                    )
                    speed += f" {row.nanoseconds * clock:7.2f} cycles/element"
                    print(f"{kernel:24} {size:7} {kind:9} {row.who:13} {speed} {row.limits:8.2f} x limit", flush=True)
    gemm = measure_gemm(timer, arguments.samples) if arguments.only in (None, "gemm") else []
    for each in gemm:
        print(f"gemm_s8_s32  {each['layer']:26} {each['target']:13} {each['gops']:8.1f} Gop/s")
    kl = measure_kl(timer, arguments.samples) if arguments.only in (None, "kl") else []
    for each in kl:
        print(
            f"KL search  {each['data']:10} {each['ms']:6.3f} ms, textbook {each['textbook_ms']:6.2f} ms: "
            f"{each['times']:.0f} times as fast"
        )
    everything = {"clock_ghz": clock, "kernels": [asdict(row) for row in rows], "gemm": gemm, "kl": kl}
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n")
    if arguments.plot:
        plot(everything["kernels"], arguments.plot)


main()
