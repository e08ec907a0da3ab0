"""Where errors of what a layer hands to its activation matter."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, model_of, plain, run_model

from pyncnnq.layerwise.activation import rising

ACTIVATIONS = {
    "ReLU": "",
    "Clip": " 0=-1 1=2",
    "HardSwish": " 0=1.666667e-01 1=5.000000e-01",
    "HardSigmoid": " 0=1.666667e-01 1=5.000000e-01",
    "Swish": "",
    "Mish": "",
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_stock_ncnn_rises_between_the_bounds_and_not_below(kind: str, tmp_path: Path) -> None:
    """By differences of what ncnn computes on a fine grid."""
    rng = np.random.default_rng(0)
    layer = convolution(rng, "it", "in0", 1, 1)
    activation = plain(kind, "act", "it", text=ACTIVATIONS[kind])
    low, high = rising(layer, [activation])
    x = np.arange(-6, 6, 0.01, dtype=np.float32)
    model = model_of(plain(kind, "act", "in0", text=ACTIVATIONS[kind]), shape=(1, 1, x.size))
    y = run_model(model, tmp_path, {"in0": x.reshape(1, 1, -1)}, ["act"])["act"].ravel()
    slopes, middles = np.diff(y) / 0.01, (x[1:] + x[:-1]) / 2
    assert (slopes[(middles > low + 0.02) & (middles < high - 0.02)] > 0).all()
    assert (slopes[middles < low - 0.02] <= 1e-4).all()
    if math.isfinite(high):
        assert (slopes[middles > high + 0.02] <= 1e-4).all()
