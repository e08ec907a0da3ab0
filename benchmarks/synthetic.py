"""What synthetic images are worth beside photographs: int8 models calibrated on either, judged on photographs.

    python -m benchmarks synthetic ../shared [--kinds photographs synthetic] [--models nanodet_m]

Prints dB of the worst output against float, in brackets of what a Softmax or Sigmoid reads to write it; `auto` is
`pyncnnq calibrate` and `quantize TABLE`, `fast` is `quantize --recipe fast`. The kinds of images are those that
`pyncnnq --synthetic` was chosen from.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from benchmarks.accuracy import models
from benchmarks.accuracy.judge import judge
from benchmarks.accuracy.models import DescribedModel
from benchmarks.accuracy.recipes import Made
from pyncnnq import Synthetic, calibrate, quantize
from pyncnnq.inputs import drawing
from pyncnnq.inputs.data import Data

SIZE = 500, 375


def noise(name: str) -> drawing.Pixels:
    """An image of bytes without any order."""
    return np.random.default_rng(list(name.encode())).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def texture(name: str) -> drawing.Pixels:
    """An image of 1/f noise alone, of the contrast that images have."""
    with patch.multiple(drawing, _LEAVES=(0, 0), _TEXTURE=4.0):  # of which images have a quarter on average
        return drawing.draw(name, SIZE)


def flat_leaves(name: str) -> drawing.Pixels:
    """An image of leaves without texture."""
    with patch.multiple(drawing, _TEXTURE=0.0):
        return drawing.draw(name, SIZE)


DRAWN: dict[str, Callable[[str], drawing.Pixels]] = {"noise": noise, "texture": texture, "flat-leaves": flat_leaves}
KINDS = ["photographs", "synthetic", *DRAWN]


def data_of(kind: str, described: DescribedModel, images: int, folder: Path) -> Data:
    """So many images to calibrate on (of photographs at most); those that are drawn here go to the folder."""
    if kind == "photographs":
        return described.calib
    synthetic = Synthetic(images)
    if kind == "synthetic":
        return synthetic
    for name in synthetic.names(0):
        if not cv2.imwrite(str(folder / f"{name}.png"), DRAWN[kind](str(name))):
            raise OSError(f"{folder}: cannot write {name}.png")
    return folder


def make(described: DescribedModel, data: Data, images: int) -> list[Made]:
    """The int8 models by the default method and by the recipe `fast`."""
    model, options = described.model, described.options
    table = calibrate(model, data, options=options, samples=images).table
    fast = quantize(model, data, options=options, samples=images, recipe="fast").int8
    return [Made("auto", quantize(model, table), 0), Made("fast", fast, 0)]


def ratios(described: DescribedModel, sqnr: dict[str, float]) -> str:
    """The least ratio in dB of the outputs, and in brackets that of the logits."""
    worst = f"{min(sqnr[blob] for blob in described.outputs):.1f}"
    return f"{worst} ({min(sqnr[blob] for blob in described.logits):.1f})" if described.logits else worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["photographs", "synthetic"])
    parser.add_argument("--models", nargs="+", help="default: all in models/models.json")
    parser.add_argument("--images", type=int, default=64, help="to calibrate on (default: 64)")
    parser.add_argument("--evaluate", type=int, help="photographs to judge by (default: all)")
    arguments = parser.parse_args()
    for name in arguments.models or models.names(arguments.shared):
        described = models.read(arguments.shared, name)
        made = []
        for kind in arguments.kinds:
            with tempfile.TemporaryDirectory() as folder:
                data = data_of(kind, described, arguments.images, Path(folder))
                made += make(described, data, arguments.images)
        _, figures = judge(described, made, arguments.evaluate)
        for number, kind in enumerate(arguments.kinds):
            auto, fast = (ratios(described, found.sqnr) for found in figures[2 * number : 2 * number + 2])
            print(f"{name:26} {kind:12} auto {auto:>14}   fast {fast:>14}", flush=True)


if __name__ == "__main__":
    main()
