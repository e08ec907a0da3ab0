"""Models that onnxruntime has quantized, imported: stock ncnn against onnxruntime, both against the float model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationMethod, QuantType
from qdq_models import Array, Imported, joined, quantized, residual_network, run_onnx, smooth_images
from small_models import sqnr

from pyncnnq import import_qdq
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image

pytestmark = pytest.mark.usefixtures("pnnx")

UINT8: dict[str, Any] = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
INT8: dict[str, Any] = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
PERCENTILE = {"per_channel": True, "calibrate_method": CalibrationMethod.Percentile}
WAYS: dict[str, dict[str, Any]] = {
    "uint8, per channel": {**UINT8, "per_channel": True},
    "uint8, per tensor": UINT8,
    "uint8, percentile": {**UINT8, **PERCENTILE},
    "int8, per channel": {**INT8, "per_channel": True},
    "int8, symmetric": {**INT8, "per_channel": True, "extra_options": {"ActivationSymmetric": True}},
    "int8, symmetric, percentile": {**INT8, **PERCENTILE, "extra_options": {"ActivationSymmetric": True}},
}
KEEPING: dict[str, dict[str, Any]] = {
    "ReLUs kept": {**UINT8, "per_channel": True, "extra_options": {"QDQKeepRemovableActivations": True}},
    "a pair for each reader": {**UINT8, "per_channel": True, "extra_options": {"DedicatedQDQPair": True}},
    "pairs around weights": {**UINT8, "per_channel": True, "extra_options": {"AddQDQPairToWeight": True}},
}


@dataclass
class Judged:
    """An imported model and the outputs of the float model that was quantized, in onnxruntime."""

    one: Imported
    reference: Array

    def assert_within_1_db(self) -> None:
        qdq = sqnr(self.reference, self.one.expected)
        assert sqnr(self.reference, self.one.int8) > qdq - 1
        assert self.one.decibels > qdq, "ncnn must not only be as far from float, but in the same direction"


@pytest.fixture(scope="module")
def photographs(shared: Path) -> tuple[list[Array], list[Array]]:
    """To calibrate on, and to judge by."""
    preprocessing = Preprocessing((224, 224), (127.0,) * 3, (1 / 128,) * 3, "RGB", Resize("short-side", 256))
    files = [sorted((shared / f"data/imagenet/{folder}").iterdir())[::50][:8] for folder in ("calib", "eval")]
    calibration, evaluation = ([np.array(load_image(path, preprocessing)) for path in some] for some in files)
    return calibration, evaluation


@pytest.fixture(
    scope="module", params=["uint8, per channel", "uint8, per tensor", "uint8, percentile", "int8, symmetric"]
)
def lite0(
    request: pytest.FixtureRequest,
    shared: Path,
    photographs: tuple[list[Array], list[Array]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Judged:
    """EfficientNet-Lite0."""
    source = shared / "models/efficientnet_lite0.onnx"
    path = quantized(source, tmp_path_factory.mktemp("lite0") / "qdq.onnx", photographs[0], **WAYS[request.param])
    return Judged(Imported.of(path, photographs[1]), joined(run_onnx(source, photographs[1])))


def test_int8_lite0_is_as_near_to_float_as_the_qdq_model(lite0: Judged) -> None:
    lite0.assert_within_1_db()


def test_all_layers_of_lite0_are_int8_with_the_scales_that_they_had(lite0: Judged) -> None:
    result = lite0.one.result
    assert len(result.layers) == 50
    assert not result.in_float
    assert not result.warnings
    for layer in result.layers:
        assert layer.scale == pytest.approx(1 / layer.step, rel=1e-6)


@pytest.fixture(scope="module", params=WAYS | KEEPING)
def residual(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """As a small ResNet.  Max pooling keeps one of its blobs from having a zero point."""
    folder = tmp_path_factory.mktemp("residual")
    source = residual_network(folder / "float.onnx")
    path = quantized(source, folder / "qdq.onnx", smooth_images(16, 3, 32), **(WAYS | KEEPING)[request.param])
    samples = smooth_images(24, 3, 32, seed=6)
    return Judged(Imported.of(path, samples), joined(run_onnx(source, samples)))


def test_int8_resnet_is_as_near_to_float_as_the_qdq_model(residual: Judged) -> None:
    residual.assert_within_1_db()


def test_layers_of_resnet_have_the_scales_that_they_had_or_are_named(residual: Judged) -> None:
    result = residual.one.result
    assert len(result.layers) == 11
    for layer in result.layers:
        named = any(f"'{layer.name}'" in warning for warning in result.warnings)
        assert named != (layer.scale == pytest.approx(1 / layer.step, rel=1e-6))
    assert len(result.warnings) <= 2


def test_weights_with_zero_points_are_named_and_nearly_kept(tmp_path: Path) -> None:
    source = residual_network(tmp_path / "float.onnx")
    path = quantized(
        source,
        tmp_path / "qdq.onnx",
        smooth_images(16, 3, 32),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
    )
    samples = smooth_images(24, 3, 32, seed=6)
    one = Imported.of(path, samples)
    assert any("its weights have a zero point" in warning for warning in one.result.warnings)
    Judged(one, joined(run_onnx(source, samples))).assert_within_1_db()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    source = residual_network(tmp_path / "float.onnx")
    path = quantized(source, tmp_path / "qdq.onnx", smooth_images(4, 3, 32), **UINT8)
    first, second = import_qdq(path), import_qdq(path)
    assert first.int8.bin_bytes() == second.int8.bin_bytes()
    assert first.int8.param_text() == second.int8.param_text()
    assert first.table.text() == second.table.text()
