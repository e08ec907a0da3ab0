"""Real models, calibrated on a few photographs and quantized, against float in stock ncnn on other photographs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_models import Array, run_ncnn, sqnr

from pyncnnq import Model, QuantizedModel, calibrate, collect, dequantize, load_model, quantize
from pyncnnq.inputs import InputOptions, Preprocessing, Resize
from pyncnnq.inputs.loading import load_image

# Decibels that the worst of the photographs must reach, over all outputs before their softmax or sigmoid; about 2 below
# what is measured (25.8, 18.0, 12.2, 8.2).  By MinMax: on so few photographs KL says more about itself than about the
# writing of int8.
FLOORS = {"squeezenet_v1.1": 23.5, "efficientnet_lite0.ncnn": 16.0, "nanodet_m": 10.0, "PP_OCRv5_mobile_det.ncnn": 6.0}


@dataclass
class Quantized:
    """A model and its int8 version, with the photographs on which they are compared."""

    model: Model
    int8: QuantizedModel
    folder: Path
    outputs: list[str]
    images: list[dict[str, Array]]

    def run(self, model: Model) -> list[Array]:
        model.save(self.folder / "m.param", self.folder / "m.bin")
        results = (
            run_ncnn(self.folder / "m.param", self.folder / "m.bin", image, self.outputs) for image in self.images
        )
        return [np.concatenate([result[blob].ravel() for blob in self.outputs]) for result in results]


@pytest.fixture(scope="module", params=FLOORS)
def quantized(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    name: str = request.param
    ((blob, inputs),) = json.loads((shared / "models/models.json").read_text())[name]["inputs"].items()
    resize = Resize("short-side", 256) if "short-side" in inputs["resize"] else Resize()
    preprocessing = Preprocessing(
        tuple(inputs["size"]), tuple(inputs["mean"]), tuple(inputs["norm"]), inputs["pixel"], resize
    )
    model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
    options = InputOptions(
        None, preprocessing.size, preprocessing.mean, preprocessing.norm, preprocessing.pixel, resize
    )
    table = calibrate(
        model, collect(model, shared / "data/imagenet/calib", options=options, samples=8), method="minmax"
    ).table
    photographs = sorted((shared / "data/imagenet/eval").iterdir())[:400:100]
    images = [{blob: np.array(load_image(path, preprocessing))} for path in photographs]
    last = model.graph().producer(model.outputs[0])
    outputs = last.bottoms if last is not None and last.type in ("Softmax", "Sigmoid") else model.outputs
    return Quantized(model, quantize(model, table), tmp_path_factory.mktemp(name), outputs, images)


def test_int8_is_close_to_float(quantized: Quantized, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["quantized"]
    floats, int8s = quantized.run(quantized.model), quantized.run(quantized.int8)
    assert all(np.isfinite(array).all() for array in int8s)
    decibels = [sqnr(expected, found) for expected, found in zip(floats, int8s, strict=True)]
    assert min(decibels) > FLOORS[name], decibels


def test_all_layers_are_int8_and_the_file_shrinks(quantized: Quantized) -> None:
    summary = quantized.int8.summary
    assert not summary.kept_in_float
    assert summary.bytes_before == len(quantized.model.bin_bytes())
    assert summary.bytes_after == len(quantized.int8.bin_bytes())
    assert summary.bytes_after < 0.6 * summary.bytes_before, "from float16"


def test_weights_alone_are_closer(quantized: Quantized) -> None:
    """The float model that the int8 weights stand for lies between the two."""
    floats, int8s, backs = (
        quantized.run(model) for model in (quantized.model, quantized.int8, dequantize(quantized.int8))
    )
    decibels = [
        (sqnr(expected, back), sqnr(expected, found))
        for expected, back, found in zip(floats, backs, int8s, strict=True)
    ]
    assert np.mean([weights for weights, _ in decibels]) > np.mean([both for _, both in decibels]), decibels
