"""Models in stock ncnn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def load(param: Path, bin_path: Path, **options: bool) -> ncnn.Net:
    """The network of a model: one thread, all of float in 32 bits; options are those of `ncnn.Option`.

    Raises:
        RuntimeError: ncnn does not load it.
    """
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.lightmode = False  # or else blobs that a later layer has read are gone
    in_half = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
    for name, value in {**dict.fromkeys(in_half, False), **options}.items():
        setattr(net.opt, name, value)
    if net.load_param(str(param)) != 0 or net.load_model(str(bin_path)) != 0:
        raise RuntimeError(f"stock ncnn does not load {param}")
    return net


def run(net: ncnn.Net, bottom: str, mat: ncnn.Mat, blobs: Sequence[str]) -> list[Array]:
    """The blobs that the network computes from one input.

    Raises:
        RuntimeError: ncnn cannot compute one.
    """
    extractor = net.create_extractor()
    extractor.input(bottom, mat)
    found = []
    for blob in blobs:
        code, values = extractor.extract(blob)
        if code != 0:
            raise RuntimeError(f"stock ncnn cannot compute blob {blob}")
        found.append(np.array(values))
    return found
