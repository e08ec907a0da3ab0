"""How an int8 model stores blobs, and how far they are from the float model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, model_of, sqnr

import pyncnnq
from pyncnnq.errors import ModelError
from pyncnnq.evaluation import blobs
from pyncnnq.evaluation.blobs import BlobSums, blob_sums, kind_of, storage_of, total
from pyncnnq.evaluation.local import meant, stored
from pyncnnq.quantization import Manifest
from pyncnnq.quantization.storage import PLAIN, BlobStorage

SHAPES = [(5,), (4, 5), (5, 2, 3), (5, 2, 3, 2)]
STORAGE = BlobStorage(np.array([1, -1, 0.5, 2, -3.0]), np.array([0, 1, -2, 0.25, 4.0]))


def samples(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blobs of three samples in float, and as an int8 model stores them, with errors."""
    rng = np.random.default_rng(1)
    exact = rng.normal(0, 2, (3, *shape)).astype(np.float32)
    rough = np.stack([stored(blob, STORAGE) for blob in exact + rng.normal(0, 0.1, exact.shape).astype(np.float32)])
    return exact, rough


def added(exact: NDArray[np.float32], rough: NDArray[np.float32]) -> BlobSums:
    sums = total([blob_sums(x, [y]) for x, y in zip(exact, rough, strict=True)])
    assert sums is not None
    return sums


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_error_from_sums_is_that_of_the_blobs(shape: tuple[int, ...]) -> None:
    exact, rough = samples(shape)
    values = np.stack([meant(blob, STORAGE) for blob in rough])
    assert blobs.sqnr(added(exact, rough), STORAGE, 0) == pytest.approx(sqnr(exact, values), abs=1e-6)
    assert blobs.sqnr(added(exact, rough), PLAIN, 0) == pytest.approx(sqnr(exact, rough), abs=1e-6)
    assert blobs.sqnr(added(exact, exact), PLAIN, 0) == np.inf


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_stored_means_the_same_again(shape: tuple[int, ...]) -> None:
    exact, _ = samples(shape)
    for blob in exact:
        np.testing.assert_allclose(meant(stored(blob, STORAGE), STORAGE), blob, rtol=1e-5, atol=1e-5)
        channel = (..., 3) if blob.ndim <= 2 else (3, ...)
        np.testing.assert_allclose(stored(blob, STORAGE)[channel], (blob[channel] - 0.25) / 2, rtol=1e-6, atol=1e-7)


def test_what_has_another_shape_or_is_not_finite_is_infinitely_bad() -> None:
    exact, rough = samples((5, 2, 3))
    assert blobs.sqnr(added(exact, rough[:, :, :1]), PLAIN, 0) == -np.inf
    rough[1, 2, 0, 0] = np.nan
    assert blobs.sqnr(added(exact, rough), PLAIN, 0) == -np.inf


def test_a_blob_whose_channels_vary_has_no_sums() -> None:
    parts = [blob_sums(np.ones((channels, 2, 2), np.float32), []) for channels in (3, 4)]
    assert total(parts) is None


@pytest.mark.parametrize(
    ("gain", "offset", "kind"),
    [
        ([1], [0], "as in float"),
        ([1, 1], [0, 0], "as in float"),
        ([1], [3], "shifted"),
        ([-1], [3], "shifted"),
        ([1, 1], [3, 3], "shifted"),
        ([1], [3, 4], "channels shifted"),
        ([-1, -1], [3, 4], "channels shifted"),
        ([1, -1], [3, 3], "channels scaled"),
        ([0.5], [0], "channels scaled"),
        ([0.5, 2], [3, 4], "channels scaled"),
    ],
)
def test_storage_has_a_name(gain: list[float], offset: list[float], kind: str) -> None:
    assert kind_of(BlobStorage(np.array(gain, np.float64), np.array(offset, np.float64))) == kind


def test_a_manifest_of_another_number_of_channels_is_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model_of(convolution(rng, "first", "in0", 3, 5)).save(tmp_path / "m.param", tmp_path / "m.bin")
    model = pyncnnq.load_model(tmp_path / "m.param", tmp_path / "m.bin")
    np.save(tmp_path / "x.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    int8 = pyncnnq.quantize(model, pyncnnq.calibrate(model, pyncnnq.collect(model, tmp_path / "x.npy")).table)
    sums = {"first": added(*samples((5, 2, 3)))}
    int8.manifest = Manifest(blobs={"first": STORAGE, "elsewhere": BlobStorage(np.ones(3), np.ones(3))})
    assert storage_of(int8, sums) == {"first": STORAGE}
    int8.manifest = Manifest(blobs={"first": BlobStorage(np.ones(4), np.ones(1))})
    with pytest.raises(ModelError, match="says how 4 channels of blob first are stored, but the blob has 5"):
        storage_of(int8, sums)
