"""Stock ncnn's own int8 layers, timed through the wheel."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

LAYERS = {
    "quantize_f32_s8": ("Quantize", "0=1", [31.7]),
    "dequantize_s32_f32": ("Dequantize", "0=1 1=1", [0.03, 0.5]),
    "requantize_s32_s8": ("Requantize", "0=1 1=1 2=1 3=1", [1e-8, 20.0, 0.5]),
}
"""The kernels that ncnn has a layer for: its type, parameters (one scale; Requantize with ReLU) and weights."""


def nanoseconds(kernel: str, x: NDArray[np.float32], samples: int) -> float:
    """The median time of the layer on a one-dimensional blob, by one thread, less what the call takes on 16 values.

    The integers are the bits of the floats.  Blobs come from a pool, so that no memory is asked of the system.
    """
    kind, params, weights = LAYERS[kernel]
    data = x if kind == "Quantize" else x.view(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        param, weight_file = Path(folder) / "layer.param", Path(folder) / "layer.bin"
        param.write_text(f"7767517\n2 2\nInput in 0 1 in\n{kind} layer 1 1 in out {params}\n")
        weight_file.write_bytes(np.array(weights, np.float32).tobytes())
        allocator = ncnn.UnlockedPoolAllocator()
        net = ncnn.Net()
        net.opt.num_threads = 1
        net.opt.blob_allocator = allocator
        if net.load_param(str(param)) != 0 or net.load_model(str(weight_file)) != 0:
            raise RuntimeError(f"ncnn does not load a {kind} layer")
    times = [_median(net, values, samples) for values in (data, data[:16])]
    net.clear()
    return times[0] - times[1]


def _median(net: ncnn.Net, values: NDArray[np.generic], samples: int) -> float:
    mat = ncnn.Mat(values).clone()
    times = []
    for _ in range(samples + 3):
        extractor = net.create_extractor()
        extractor.input("in", mat)
        out = ncnn.Mat()
        start = time.perf_counter_ns()
        ret = extractor.extract("out", out, 1)  # 1: as it is, without a conversion to float32
        times.append(time.perf_counter_ns() - start)
        if ret != 0:
            raise RuntimeError("ncnn does not run the layer")
    return statistics.median(times[3:])
