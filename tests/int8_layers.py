"""Stock ncnn's Quantize, Dequantize and Requantize layers."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def run_layer(
    folder: Path, kind: str, params: str, weights: list[Floats], x: NDArray[np.generic], packing: bool
) -> Floats:
    """Return the output of ncnn's layer as float32."""
    param, weight_file = folder / "layer.param", folder / "layer.bin"
    param.write_text(f"7767517\n2 2\nInput in 0 1 in\n{kind} layer 1 1 in out {params}\n")
    weight_file.write_bytes(b"".join(np.asarray(weight, np.float32).tobytes() for weight in weights))
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_packing_layout = packing
    for name in ("packed", "storage", "arithmetic"):
        setattr(net.opt, f"use_fp16_{name}", False)
    net.opt.use_bf16_storage = False
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(weight_file)) == 0
    extractor = net.create_extractor()
    roomy = np.empty(x.size + 4, x.dtype)  # clone() copies whole pieces of 16 bytes
    values = roomy[: x.size].reshape(x.shape)
    values[...] = x
    mat = ncnn.Mat(values).clone()
    extractor.input("in", mat)
    ret, out = extractor.extract("out")
    assert ret == 0
    return np.array(out).reshape(x.shape)


def far_from_ties(value: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """Return where a product is so far from a half that all of ncnn's targets round it alike."""
    return np.abs(np.abs(value) % 1 - 0.5) > margin
