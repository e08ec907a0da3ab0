"""The kernels: every target, size and kind of data, beside the machine's limits, NumPy and stock ncnn's layers.

    python -m benchmarks kernels [--json FILE] [--plot FILE] [--samples 15] [--only KERNEL] [--size L1]

On one core. Results are checked before they are timed. `limit` is the fastest of several plain reads for kernels that
only read, and a memcpy that moves the same bytes for the others, in the same run; `x limit` is the time over that of
the limit, `x scalar` the time of the scalar target over this one. Medians. Needs a C++ compiler and pybind11 (of the
version that the package was built with); --plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.kernels.build import load_timer
from benchmarks.kernels.cases import CASES
from benchmarks.kernels.measure import SIZES, data_kinds, measure_case, measure_gemm, measure_kl
from benchmarks.kernels.plot import plot
from pyncnnq import _core

BENCHMARKS = (*CASES, "gemm_s8_s32", "kl_cross_entropies")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kernels", description=(__doc__ or "").splitlines()[0])
    if missing := set(_core.KERNELS) - set(BENCHMARKS):
        parser.error(f"no benchmark for {', '.join(sorted(missing))}: add it to benchmarks/kernels/cases.py")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--plot", type=Path, help="draw them there (png, svg, pdf)")
    parser.add_argument(
        "--samples", type=int, default=15, choices=range(1, 1000), metavar="N", help="of each time; default: 15"
    )
    parser.add_argument("--only", choices=BENCHMARKS, help="this kernel alone")
    parser.add_argument("--size", choices=SIZES, help="data of this size alone")
    arguments = parser.parse_args()
    if arguments.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    return arguments


def run_cases(timer: ModuleType, clock: float, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for size in [arguments.size] if arguments.size else SIZES:
        for kind, x in data_kinds(SIZES[size]).items():
            for kernel in CASES:
                if arguments.only not in (None, kernel):
                    continue
                for row in measure_case(timer, kernel, size, kind, x, arguments.samples):
                    speed = f"{row.nanoseconds:9.4f} ns/element {row.nanoseconds * clock:7.2f} cycles/element"
                    ratios = f"{row.limits:8.2f} x limit {row.scalars:7.2f} x scalar"
                    print(
                        f"{kernel:32} {size:7} {kind:9} {row.who:13} {speed} {row.gigabytes:8.2f} GB/s {ratios}",
                        flush=True,
                    )
                    rows.append(asdict(row))
    return rows


def main() -> None:
    arguments = parse_arguments()
    timer = load_timer()
    clock = timer.clock_ghz()
    print(f"clock: {clock:.2f} GHz")
    rows = run_cases(timer, clock, arguments)
    gemm, kl = [], []
    if arguments.only in (None, "gemm_s8_s32"):
        for row in measure_gemm(timer, arguments.samples):
            speed = f"{row['gops']:8.1f} Gop/s {row['scalars']:7.2f} x scalar"
            print(f"gemm_s8_s32 {row['layer']:26} {row['target']:13} {speed}")
            gemm.append(row)
    if arguments.only in (None, "kl_cross_entropies"):
        for row in measure_kl(timer, arguments.samples):
            peer = "textbook" if row["who"] in ("search", "textbook") else "scalar"
            print(f"kl {row['data']:10} {row['who']:13} {row['microseconds']:10.2f} us {row['ratio']:7.2f} x {peer}")
            kl.append(row)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"clock_ghz": clock, "kernels": rows, "gemm": gemm, "kl": kl}, indent=1) + "\n"
        )
    if arguments.plot:
        plot(rows, arguments.plot)


main()
