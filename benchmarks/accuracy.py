"""Top-1, and agreement with float, of int8 models that pyncnnq makes: calibrated on `calib`, judged on `eval`, run by stock ncnn.

    python -m benchmarks accuracy ../shared [--method kl] [--weight-bits ncnn] [--calibrate 200] [--evaluate 400]

The classes are known from the names of the photographs.  SQNR is of the values before the softmax, over all photographs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq import InputOptions, Model, calibrate, collect, load_model, optimize, quantize
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image

MODELS = ("squeezenet_v1.1", "efficientnet_lite0.ncnn")


def logits(model: Model, images: list[Path], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The scores of all classes before the softmax, (images, classes)."""
    (output,) = model.outputs
    last = model.graph().producer(output)
    blob = last.bottoms[0] if last is not None and last.type == "Softmax" else output
    with tempfile.TemporaryDirectory() as folder:
        param, bin_path = Path(folder) / "m.param", Path(folder) / "m.bin"
        model.save(param, bin_path)
        net = ncnn.Net()
        if net.load_param(str(param)) != 0 or net.load_model(str(bin_path)) != 0:
            raise SystemExit(f"stock ncnn does not load {param}")
        rows = []
        for image in images:
            extractor = net.create_extractor()
            mat = load_image(image, preprocessing)
            extractor.input(model.inputs[0], mat)
            code, scores = extractor.extract(blob)
            if code != 0:
                raise SystemExit(f"stock ncnn cannot run the model on {image}")
            rows.append(np.array(scores).ravel())
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/imagenet")
    parser.add_argument("--method", default="kl", help="of thresholds; or optimize: what quantize does with images")
    parser.add_argument("--weight-bits", default="ncnn")
    parser.add_argument("--calibrate", type=int, default=200, help="photographs to calibrate on")
    parser.add_argument("--evaluate", type=int, default=400, help="photographs to judge on")
    arguments = parser.parse_args()
    shared = arguments.shared
    described = json.loads((shared / "models/models.json").read_text())
    classes = (shared / "data/imagenet/wnids.txt").read_text().split()
    images = sorted((shared / "data/imagenet/eval").iterdir())[: arguments.evaluate]
    labels = np.array([classes.index(image.name.split("_")[0]) for image in images])
    print(
        f"{arguments.method}, weight bits {arguments.weight_bits}, {arguments.calibrate} photographs to calibrate, {len(images)} to judge"
    )
    print(f"{'model':28}{'float top-1':>13}{'int8 top-1':>13}{'agreement':>13}{'SQNR':>13}{'made in':>13}")
    for name in MODELS:
        inputs = described[name]["inputs"].popitem()[1]
        resize = Resize("short-side", 256) if "short-side" in inputs["resize"] else Resize()
        size, mean, norm = (tuple(inputs[key]) for key in ("size", "mean", "norm"))
        options = InputOptions(size=size, mean=mean, norm=norm, pixel=inputs["pixel"], resize=resize)
        model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
        calib = shared / "data/imagenet/calib"
        start = time.perf_counter()
        int8: Model
        if arguments.method == "optimize":
            int8 = optimize(model, calib, options=options, samples=arguments.calibrate).int8
        else:
            statistics = collect(model, calib, options=options, samples=arguments.calibrate)
            int8 = quantize(model, calibrate(model, statistics, method=arguments.method, weight_bits=arguments.weight_bits).table)
        seconds = time.perf_counter() - start
        preprocessing = Preprocessing(size, mean, norm, inputs["pixel"], resize)
        expected, found = (logits(one, images, preprocessing) for one in (model, int8))
        top = expected.argmax(axis=1), found.argmax(axis=1)
        percent = [100 * np.mean(one) for one in (top[0] == labels, top[1] == labels, top[0] == top[1])]
        decibel = 10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / np.sum((expected - found).astype(np.float64) ** 2))
        print(f"{name:28}" + "".join(f"{value:>11.2f} %" for value in percent) + f"{decibel:>10.2f} dB{seconds:>11.1f} s")


if __name__ == "__main__":
    main()
