"""How long `pyncnnq quantize` takes on a large float32 model, files read and written, and where the time goes.

    python -m benchmarks quantize_speed [--megabytes 100] [--repeat 5]

A model of 3x3 convolutions and a large InnerProduct, of that size in float32, is made in a temporary folder.  The int8
numbers are checked first, against NumPy.  Then, side by side: reading, quantizing and saving by the Python calls; the
whole command in a process of its own; the kernel alone, by all threads and by the scalar target on one; and NumPy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq import Model, Table, _core, load_model, quantize
from pyncnnq.model import Layer, Params, Weight

CHANNELS = 512


def make(megabytes: int, folder: Path) -> tuple[Path, Path, Path]:
    """Half of the weights in convolutions of 512 channels, half in one InnerProduct."""
    rng = np.random.default_rng(0)
    layers = [Layer("Input", "in0", [], ["in0"], Params(f" 0=8 1=8 2={CHANNELS}"))]
    table = Table()

    def add(kind: str, name: str, params: str, rows: int, columns: int) -> None:
        weights = rng.normal(0, 0.05, (rows, columns)).astype(np.float32)
        arrays = {"weight_data": Weight.tagged_float32("weight_data", weights)}
        layers.append(Layer(kind, name, layers[-1].tops, [name], Params(params), arrays))
        table[f"{name}_param_0"] = 127 / np.abs(weights).max(axis=1)
        table[name] = 20

    convolutions = max(1, megabytes * 10**6 // 2 // (CHANNELS * CHANNELS * 9 * 4))
    for index in range(convolutions):
        add("Convolution", f"conv{index}", f" 0={CHANNELS} 1=3 4=1 6={CHANNELS * CHANNELS * 9}", CHANNELS, CHANNELS * 9)
    inputs = CHANNELS * 64
    outputs = max(1, megabytes * 10**6 // 2 // (inputs * 4))
    add("InnerProduct", "fc", f" 0={outputs} 2={outputs * inputs}", outputs, inputs)
    paths = folder / "m.param", folder / "m.bin", folder / "m.table"
    Model(layers).save(*paths[:2])
    table.write(paths[2])
    return paths


def by_numpy(weights: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    product = weights * scales[:, None]
    return np.clip(np.copysign(np.floor(np.abs(product) + np.float32(0.5)), product), -127, 127).astype(np.int8)


def check(model: Model, int8: Model, table: Table) -> None:
    for before, after in zip(model.layers[1:], int8.layers[1:], strict=True):
        scales = table[f"{before.name}_param_0"]
        expected = by_numpy(before.weights["weight_data"].data.reshape(scales.size, -1), scales)
        if not np.array_equal(after.weights["weight_data"].data, expected.ravel()):
            raise SystemExit(f"{before}: the int8 weights are wrong")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        param, bin_path, table_path = make(arguments.megabytes, folder)
        model, table = load_model(param, bin_path), Table.read(table_path)
        int8 = quantize(model, table)
        check(model, int8, table)
        targets = folder / "q.param", folder / "q.bin"
        largest = model.layers[-1].weights["weight_data"].data
        scales = table["fc_param_0"]
        rows = largest.reshape(scales.size, -1)

        def command() -> None:
            words = ["quantize", str(param), str(bin_path), str(table_path), "-o", str(folder / "q"), "--quiet"]
            subprocess.run([sys.executable, "-m", "pyncnnq", *words], check=True)

        scalar = _core.kernels("scalar")
        steps: dict[str, tuple[Callable[[], object], int]] = {
            "the whole command": (command, bin_path.stat().st_size),
            "read": (lambda: load_model(param, bin_path), bin_path.stat().st_size),
            "quantize": (lambda: quantize(model, table), bin_path.stat().st_size),
            "save, with fsync": (lambda: int8.save(*targets), bin_path.stat().st_size),
            f"the kernel, {_core.active_kernels().target}, all threads": (
                lambda: _core.quantize_rows(rows, scales),
                largest.nbytes,
            ),
            "the kernel, scalar, one thread": (
                lambda: scalar.quantize_f32_s8(largest, float(scales[0])),
                largest.nbytes,
            ),
            "NumPy": (lambda: by_numpy(rows, scales), largest.nbytes),
        }
        times: dict[str, list[float]] = {what: [] for what in steps}
        for _ in range(arguments.repeat):
            for what, (run, _) in steps.items():
                start = time.perf_counter()
                run()
                times[what].append(time.perf_counter() - start)
        sizes = [path.stat().st_size / 1e6 for path in (bin_path, targets[1])]
        print(f"{sizes[0]:.1f} MB of float32 -> {sizes[1]:.1f} MB, int8 numbers checked against NumPy")
        for what, (_, size) in steps.items():
            median = statistics.median(times[what])
            print(f"{what:40}{1000 * median:>9.1f} ms{size / median / 1e9:>8.2f} GB/s")


if __name__ == "__main__":
    main()
