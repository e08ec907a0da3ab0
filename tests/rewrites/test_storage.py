"""What rewrites say of how blobs are stored, held against all blobs of real models, run by stock ncnn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from channels import assert_stored
from small_models import Array, run_model
from test_rewrites import measure, photographs, real_model

from pyncnnq import calibrate, dequantize, quantize
from pyncnnq.calibration.calibrate import Calibration
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.inputs.loading import load_sample
from pyncnnq.model import Model
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.asymmetric import fold_asymmetric
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.equalization import equalize
from pyncnnq.rewrites.rewritten import composed, stored_ranges
from pyncnnq.rewrites.scalar_folding import fold_scalars
from pyncnnq.rewrites.scale_layers import insert_scales, remove_idle
from pyncnnq.rewrites.zero_point import fold_zero_points
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples


def photograph(data: CalibrationData) -> Array:
    return np.array(load_sample(data.samples[0][0], data.inputs[0]))


def observed(model: Model, data: CalibrationData) -> Statistics:
    with WorkerPool(2) as pool:
        return observe_samples(model, data.samples, data.inputs, pool)


@pytest.mark.parametrize(("name", "changes"), [("squeezenet_v1.1", 40), ("nanodet_m", 100)])
def test_float_rewrites_one_after_the_other(name: str, changes: int, shared: Path, tmp_path: Path) -> None:
    model, _, options = real_model(shared, name)
    data = photographs(model, shared / "data/imagenet/calib", options, 3)
    folded = fold_scalars(model)
    inserted = insert_scales(folded.model)
    ranges = measure(inserted.model.stored(tmp_path, "inserted"), data)
    centred = centre(inserted.model, ranges)
    equalized = equalize(centred.model, stored_ranges(ranges, centred.storage))
    kept = remove_idle(equalized.model, inserted.changed)
    storage: dict[str, BlobStorage] = {}
    for rewritten in (folded, inserted, centred, equalized, kept):
        storage = composed(storage, rewritten.storage)
    x = {model.inputs[0]: photograph(data)}
    expected, found = (run_model(one, tmp_path, x) for one in (model, kept.model))
    assert len(storage.keys() & expected.keys()) > changes
    assert_stored(found, expected, {blob: storage[blob] for blob in storage.keys() & expected.keys()})


@pytest.mark.parametrize("name", ["squeezenet_v1.1", "resnet18_cifar10.ncnn", "efficientnet_lite0.ncnn"])
def test_shifts_with_the_weights_of_int8(name: str, shared: Path, tmp_path: Path) -> None:
    model, _, options = real_model(shared, name)
    folder = shared / "data" / ("cifar10" if "cifar10" in name else "imagenet") / "calib"
    data = photographs(model, folder, options, 3)
    statistics = observed(model, data)
    calibration: Calibration = calibrate(model, statistics, method="minmax", weight_bits="8")
    zero_points = fold_zero_points(model, calibration.table)
    ranges = {blob: (blob_statistics.min, blob_statistics.max) for blob, blob_statistics in statistics.blobs.items()}
    asymmetric = fold_asymmetric(zero_points.model, zero_points.table, ranges)
    storage = composed(zero_points.storage, asymmetric.storage)
    assert len(storage) >= 20
    exact = dequantize(quantize(model, calibration.table, float32=True))
    shifted = dequantize(quantize(asymmetric.model, asymmetric.table, float32=True))
    x = {model.inputs[0]: photograph(data)}
    assert_stored(run_model(shifted, tmp_path, x), run_model(exact, tmp_path, x), storage)
