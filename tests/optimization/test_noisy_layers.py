"""The recipe `fast` leaves a layer in float that loses nearly all it reads, where that costs next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, model_of, random_data, weighted, weights_of

from pyncnnq import Model, load_model, quantize
from pyncnnq.optimization.budget import BAD_RATIO


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return random_data(tmp_path / "data")


def model(folder: Path, ratio: float, *, small_end: bool = False) -> Model:
    """`evened` reads eight channels, one of them larger than the others by a ratio, and makes all of one size.

    With a small end, the first and the last layer do a fiftieth of the work together.
    """
    rng = np.random.default_rng(7)
    uneven = convolution(rng, "uneven", "in0", 3, 8, 3, text=" 4=1")
    evened = convolution(rng, "evened", "uneven", 8, 8)
    large, even = weights_of(uneven), np.eye(8)
    large[2] *= ratio
    even[2, 2] = 1 / ratio
    layers = [weighted(uneven, large), weighted(evened, even)]
    layers += [
        convolution(rng, "wide", "evened", 8, 32, 3, text=" 4=1 9=1"),
        convolution(rng, "last", "wide", 32, 32, 3),
    ]
    if small_end:
        layers[-1:] = [convolution(rng, "middle", "wide", 32, 64, 3), convolution(rng, "last", "middle", 64, 1)]
    model_of(*layers).save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


def test_the_layer_that_loses_most_stays_in_float(tmp_path: Path, data: Path) -> None:
    uneven = model(tmp_path, 300.0)
    without = quantize(uneven, data, recipe="fast", without=["noisy layers"], workers=1)
    assert without.chosen.sqnr["last"] < BAD_RATIO
    found = quantize(uneven, data, recipe="fast", workers=1)
    assert found.mixed is not None
    assert found.mixed.in_float == ("evened",)
    assert [layer.name for layer in found.int8.summary.kept_in_float] == ["evened"]
    assert found.chosen.sqnr["last"] > without.chosen.sqnr["last"] + 10


def test_ends_that_do_little_work_stay_in_float(tmp_path: Path, data: Path) -> None:
    found = quantize(model(tmp_path, 300.0, small_end=True), data, recipe="fast", workers=1)
    assert found.mixed is not None
    assert found.mixed.in_float[:3] == ("uneven", "last", "evened")
    assert [layer.name for layer in found.int8.summary.kept_in_float] == ["uneven", "evened", "last"]
    assert found.mixed.steps[0].in_float == ("uneven", "last")


def test_a_good_model_is_left_as_it_is(tmp_path: Path, data: Path) -> None:
    found = quantize(model(tmp_path, 1.0), data, recipe="fast", workers=1)
    assert found.mixed is None
    assert found.chosen.sqnr["last"] > BAD_RATIO
    assert not found.int8.summary.kept_in_float
