"""Ranges of channels, worked out from blobs that stock ncnn computed, and models whose channels differ in range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_models import Array, run_model

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.quantization.storage import PLAIN, BlobStorage
from pyncnnq.statistics.observed import observed_blobs
from pyncnnq.statistics.ranges import ChannelRanges

CHANNEL_AXES = {1: (), 2: (0,), 3: (1, 2), 4: (1, 2, 3)}
"""The axes that a channel spans: it is an element of a vector, a column of a matrix, a plane or a volume."""


def ranges_of(samples: Sequence[Array]) -> ChannelRanges:
    """Of one blob, in samples of one shape."""
    blob = np.stack(samples).astype(np.float64)
    axes = (0, *(axis + 1 for axis in CHANNEL_AXES[blob.ndim - 1]))
    extremes = (blob.min(axes[1:]).std(0), blob.max(axes[1:]).std(0))
    return ChannelRanges(
        blob.min(axes), blob.max(axes), blob.mean(axes), blob.var(axes), np.maximum(*extremes), (blob == 0).mean(axes)
    )


def measured(model: Model, folder: Path, samples: Sequence[Mapping[str, Array]]) -> dict[str, ChannelRanges]:
    """Of all blobs that feed quantizable layers."""
    names = [blob.name for blob in observed_blobs(model)]
    runs = [run_model(model, folder, inputs, names) for inputs in samples]
    return {name: ranges_of([run[name] for run in runs]) for name in names}


def assert_same_ranges(found: Mapping[str, ChannelRanges], expected: Mapping[str, ChannelRanges]) -> None:
    assert found.keys() == expected.keys()
    largest = max((one.absmax.max(initial=0) for one in expected.values()), default=0)
    for name, one in expected.items():
        # Where large values cancel, their rounding errors are left: 1e-4 of the scale is at least 8 times these.
        scale = one.absmax.max(initial=max(1e-3, largest / 100))
        for what in ("min", "max", "mean", "spread"):
            values = getattr(found[name], what), getattr(one, what)
            np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-4 * scale, err_msg=f"{name} {what}")
        varying = one.max - one.min > 1e-3 * scale  # others may be shifted to 0, or next to it
        # A shifted channel is said to have no zeros, though values in the middle of its range may be shifted to 0.
        counted = varying & (found[name].zeros > 0)
        np.testing.assert_allclose(found[name].zeros[counted], one.zeros[counted], atol=0.03, err_msg=f"{name} zeros")
        np.testing.assert_allclose(
            found[name].variance, one.variance, rtol=1e-3, atol=1e-4 * scale**2, err_msg=f"{name} variance"
        )


def assert_same_outputs(found: Mapping[str, Array], expected: Mapping[str, Array], outputs: Sequence[str]) -> None:
    for blob in outputs:
        tolerance = 1e-4 * np.abs(expected[blob]).max(initial=1e-3)
        np.testing.assert_allclose(found[blob], expected[blob], rtol=0, atol=tolerance, err_msg=blob)


def assert_stored(
    found: Mapping[str, Array], expected: Mapping[str, Array], storage: Mapping[str, BlobStorage], least: float = 80.0
) -> None:
    """Check that all common blobs, listed or not, are stored as said: value = gain * stored + offset, to so many dB."""
    assert storage.keys() <= expected.keys()
    for blob in found.keys() & expected.keys():
        stored, values = (_channels_last(blobs[blob].astype(np.float64)) for blobs in (found, expected))
        kept = storage.get(blob, PLAIN)
        np.testing.assert_equal(stored.shape, values.shape, err_msg=blob)
        noise = np.square(kept.gain * stored + kept.offset - values).sum()
        assert noise <= np.square(values).sum() * 10 ** (-least / 10) + 1e-12 * values.size, blob


def _channels_last(blob: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.moveaxis(blob, 0, -1) if blob.ndim >= 3 else blob


def uneven(rng: np.random.Generator, layer: Layer, *, shift: float = 0.0) -> Layer:
    """The layer with outputs of ranges from 1/4 to 4 times as large, with up to `shift` added."""
    factors = np.exp2(rng.uniform(-2, 2, layer.params.get_int(0, 0)))
    weights = layer.weights["weight_data"].float32().reshape(factors.size, -1) * factors[:, None]
    bias = layer.weights["bias_data"].float32() * factors + rng.uniform(-shift, shift, factors.size)
    layer.weights = {
        "weight_data": Weight.tagged_float32("weight_data", weights),
        "bias_data": Weight.raw("bias_data", bias),
    }
    return layer
