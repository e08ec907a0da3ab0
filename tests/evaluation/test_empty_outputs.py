"""Outputs that are empty, and blobs of other sizes from sample to sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detecting_model import NONE, detecting_model, samples
from small_models import inner_product, plain

from pyncnnq import analyze, calibrate, evaluate, load_model, quantize
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model
from pyncnnq.optimization.collect import collect
from pyncnnq.runtime.network import array_of, shape_of
from pyncnnq.runtime.protocol import FailureError
from pyncnnq.statistics.channels import channel_rows


def stored(model: Model, folder: Path) -> Model:
    model.save(folder / "model.param", folder / "model.bin")
    return load_model(folder / "model.param", folder / "model.bin")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_model_that_detects_nothing_is_quantized_and_judged(tmp_path: Path, batch_norm: bool) -> None:
    """With a BatchNorm, fusing is checked by its outputs too."""
    model, data = stored(detecting_model(NONE, batch_norm=batch_norm), tmp_path), samples(tmp_path / "data")
    table = calibrate(model, data, workers=1).table
    assert all(layer in table for layer in ("conv1", "loc", "conf"))
    made = quantize(model, data, workers=1)
    made.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    int8 = load_model(tmp_path / "int8.param", tmp_path / "int8.bin")
    assert evaluate(model, int8, data, workers=1).worst_sqnr > 20
    analysis = analyze(model, int8, data, workers=1)
    assert {layer.name for layer in analysis.layers} == {"conv1", "loc", "conf"}


def test_an_empty_mat_is_an_empty_array() -> None:
    import ncnn

    for mat in (ncnn.Mat(), ncnn.Mat(0), ncnn.Mat(5, 0)):
        array = array_of(mat)
        assert (array.shape, array.dtype, shape_of(mat)) == ((0,), np.float32, (0,))
    mat = ncnn.Mat(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(array_of(mat), [[0, 1, 2], [3, 4, 5]])
    packed = ncnn.Mat()
    ncnn.convert_packing(ncnn.Mat(np.zeros((8, 2, 2), np.float32)), packed, 4)
    with pytest.raises(FailureError, match="4 numbers in 16 bytes"):
        array_of(packed)


def test_an_empty_blob_has_channels_without_values() -> None:
    assert channel_rows(np.empty(0, np.float32)).shape == (0, 0)
    assert channel_rows(np.empty((0, 4, 4), np.float32)).shape == (0, 0)
    assert channel_rows(np.empty((4, 0, 4), np.float32)).shape == (4, 0)


@pytest.mark.parametrize(
    ("between", "told"),
    [([], r"blob det is empty, so .*fc"), ([plain("Flatten", "flat", "det")], "a worker process was ended by signal")],
    ids=["observed", "ncnn crashes"],
)
def test_an_empty_blob_before_a_quantizable_layer_names_the_sample(
    tmp_path: Path, between: list[Layer], told: str
) -> None:
    model = detecting_model(NONE)
    read = between[-1].tops[0] if between else "det"
    model.layers += [*(layer.copy() for layer in between), inner_product(np.random.default_rng(0), "fc", read, 6, 3)]
    with pytest.raises(PyncnnqError, match=rf"0\.npy: {told}"):
        collect(stored(model, tmp_path), samples(tmp_path / "data", 1), workers=1)
