"""What the manifest of an imported model says of its blobs, against the blobs of the model in stock ncnn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import QuantType
from qdq_models import quantized, residual_network, smooth_images
from small_models import run_model

from pyncnnq import dequantize, import_qdq, load_model
from pyncnnq.quantization import manifest_of

pytestmark = pytest.mark.usefixtures("pnnx")


def test_blobs_with_zero_points_are_named_with_what_they_stand_for(tmp_path: Path) -> None:
    samples = smooth_images(6, 3, 32)
    source = residual_network(tmp_path / "net.onnx")
    settings = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    result = import_qdq(quantized(source, tmp_path / "qdq.onnx", samples, **settings))
    result.int8.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    manifest = manifest_of(load_model(tmp_path / "int8.param", tmp_path / "int8.bin"))
    assert manifest is not None
    assert set(result.folded) <= set(manifest.blobs)
    assert result.folded
    stored = run_model(dequantize(result.int8), tmp_path, {"in0": samples[0]}, result.folded)
    rectified = 0
    for blob in result.folded:
        storage = manifest.blobs[blob]
        values = storage.gain * stored[blob] + storage.offset
        if result.int8.graph().producer(blob).op.activation.kind == "clip":
            rectified += 1
            # A blob behind a ReLU begins at 0, where many of its values lie; as it is stored, it has both signs.
            assert values.min() == pytest.approx(0, abs=1e-5)
            assert np.mean(np.abs(values) < 1e-5) > 0.1
            assert stored[blob].min() < -0.1 < 0.1 < stored[blob].max()
    assert rectified >= 3
