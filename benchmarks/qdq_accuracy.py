"""SQNR of EfficientNet-Lite0 as onnxruntime quantizes it, in onnxruntime and imported in ncnn, both against float.

    python -m benchmarks qdq_accuracy ../shared [--calibrate 16] [--evaluate 100]

onnxruntime runs the quantized model as it stands, without optimisations: every node in float32.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from pyncnnq import import_qdq
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Model

Array = NDArray[np.float32]

PREPROCESSING = Preprocessing((224, 224), (127.0,) * 3, (1 / 128,) * 3, "RGB", Resize("short-side", 256))
CHANNELS = {"per channel": {"per_channel": True}, "per tensor": {"per_channel": False}}
TYPES: dict[str, dict[str, Any]] = {
    "uint8": {"activation_type": QuantType.QUInt8},
    "int8": {"activation_type": QuantType.QInt8},
    "int8 symmetric": {"activation_type": QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}},
}
METHODS = {"MinMax": CalibrationMethod.MinMax, "Percentile": CalibrationMethod.Percentile}


class Samples(CalibrationDataReader):
    """What quantize_static takes."""

    def __init__(self, name: str, samples: list[Array]) -> None:
        self._left = iter(samples)
        self._name = name

    def get_next(self) -> dict[str, Array] | None:
        sample = next(self._left, None)
        return None if sample is None else {self._name: sample[None]}


def read(folder: Path, count: int) -> list[Array]:
    paths = sorted(folder.iterdir())
    return [np.array(load_image(path, PREPROCESSING)) for path in paths[:: max(len(paths) // count, 1)][:count]]


def run_onnx(path: Path, samples: list[Array]) -> Array:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"inputs": sample[None]})[0] for sample in samples])


def run_ncnn(model: Model, folder: Path, samples: list[Array]) -> Array:
    files = folder / "model.param", folder / "model.bin"
    model.save(*files)
    net = ncnn.Net()
    assert net.load_param(str(files[0])) == 0
    assert net.load_model(str(files[1])) == 0
    outputs = []
    for sample in samples:
        extractor = net.create_extractor()
        mat = ncnn.Mat(sample).clone()
        extractor.input("in0", mat)
        outputs.append(np.array(extractor.extract("out0")[1]))
    return np.stack(outputs)


def sqnr(expected: Array, found: Array) -> float:
    noise = np.sum((expected.astype(np.float64) - found) ** 2)
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / noise))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/imagenet")
    parser.add_argument("--calibrate", type=int, default=16, help="how many photographs")
    parser.add_argument("--evaluate", type=int, default=100)
    arguments = parser.parse_args()
    logging.disable()
    source = arguments.shared / "models" / "efficientnet_lite0.onnx"
    calibration = read(arguments.shared / "data" / "imagenet" / "calib", arguments.calibrate)
    samples = read(arguments.shared / "data" / "imagenet" / "eval", arguments.evaluate)
    expected = run_onnx(source, samples)
    print("activations     weights      calibration   QDQ dB   ncnn dB   ncnn against QDQ dB   int8 layers   warnings")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "qdq.onnx")
        for activations, kind in TYPES.items():
            for weights, channels in CHANNELS.items():
                for method, calibrate_method in METHODS.items():
                    choices = {"weight_type": QuantType.QInt8, "calibrate_method": calibrate_method, **kind, **channels}
                    quantize_static(
                        source, path, Samples("inputs", calibration), quant_format=QuantFormat.QDQ, **choices
                    )
                    result = import_qdq(path)
                    qdq, int8 = run_onnx(path, samples), run_ncnn(result.int8, Path(name), samples)
                    figures = f"{sqnr(expected, qdq):6.2f}   {sqnr(expected, int8):7.2f}   {sqnr(qdq, int8):19.2f}"
                    counts = f"{len(result.layers):11}   {len(result.warnings):8}"
                    print(f"{activations:14}  {weights:11}  {method:11}   {figures}   {counts}", flush=True)


if __name__ == "__main__":
    main()
