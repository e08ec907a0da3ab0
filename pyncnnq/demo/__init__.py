"""The embedded demo: a small classifier of drawn shapes and 48 images of them, all made by `examples/train_demo.py`.

The network takes 64x64 RGB images and has the layers that mobile networks are made of: 3x3, depthwise and pointwise
convolutions with ReLU and clips at 6, a residual add, global pooling, a classifier.  Blob `in0` is the image, blob
`out0` the logits, one per class.  The name of each image starts with its class, so that a result can be judged at a
glance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Demo:
    """Where the demo lies and how its images become the network's input: `(pixel value - mean) * norm` for each
    channel."""

    param: Path
    bin: Path
    images: Path
    mean: tuple[float, float, float]
    norm: tuple[float, float, float]
    pixel: str
    classes: tuple[str, ...]
    """In the order of the logits."""


_HERE: Final = Path(__file__).resolve().parent

DEMO: Final = Demo(
    param=_HERE / "model.param",
    bin=_HERE / "model.bin",
    images=_HERE / "images",
    mean=(128.0, 128.0, 128.0),
    norm=(0.015625, 0.015625, 0.015625),
    pixel="RGB",
    classes=("circle", "crescent", "cross", "heart", "ring", "square", "star", "triangle"),
)
