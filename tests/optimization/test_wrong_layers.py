"""Layers that stock ncnn computes wrong in int8 on x86: grouped convolutions whose output is float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, model_of, plain, random_data

from pyncnnq import analyze, calibrate, load_model, quantize
from pyncnnq.model import Layer, Model

GROUPED = " 4=1 9=1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_data(tmp_path_factory.mktemp("wrong") / "data")


def stored(folder: Path, *last: Layer, outputs: int = 32) -> Model:
    """A model with two grouped convolutions one behind the other, `first` and `second`, and more layers."""
    rng = np.random.default_rng(0)
    layers = [
        convolution(rng, "stem", "in0", 3, 32, 3, text=" 9=1"),
        convolution(rng, "first", "stem", 32, 32, 3, group=4, text=GROUPED),
        convolution(rng, "second", "first", 32, outputs, 3, group=4, text=GROUPED),
        *last,
    ]
    model_of(*layers).save(folder / "model.param", folder / "model.bin")
    return load_model(folder / "model.param", folder / "model.bin")


def in_float(int8: Model) -> set[str]:
    return {layer.name for layer in int8.layers if layer.name in ("first", "second") and not layer.op.is_int8}


def test_what_would_write_float_stays_in_float_and_what_is_chained_to_it_too(tmp_path: Path, data: Path) -> None:
    model = stored(tmp_path, plain("Swish", "swish", "second"))
    made = quantize(model, data, recipe="fast", workers=1)
    assert in_float(made.int8) == {"first", "second"}
    assert made.chosen.score > 30, "else the layers ran in int8, and wrote garbage"
    reasons = {layer.name: layer.reason for layer in made.int8.summary.layers}
    assert reasons["stem"] == ""
    assert reasons["first"] == reasons["second"]
    assert reasons["first"].startswith("stock ncnn computes it wrong in int8 on x86")
    assert made.warnings == []
    assert made.int8.summary.warnings == ()

    # By a table that has rows for them they are int8, and a warning says what to do.
    int8 = quantize(model, calibrate(model, data, workers=1).table)
    assert in_float(int8) == set()
    (warning,) = int8.summary.warnings
    assert "second" in warning
    assert "exclude second" in warning


def test_others_are_int8(tmp_path: Path, data: Path) -> None:
    rng = np.random.default_rng(1)
    chained = stored(tmp_path, convolution(rng, "last", "second", 32, 7))
    made = quantize(chained, data, recipe="fast", workers=1)
    assert in_float(made.int8) == set()
    made.save(tmp_path / "q.param", tmp_path / "q.bin")
    # Layers are analyzed with float between them, where these would be wrong.
    found = analyze(chained, load_model(tmp_path / "q.param", tmp_path / "q.bin"), data, samples=8, workers=1)
    assert min(layer.sqnr for layer in found.layers) > 20
    assert any(line.startswith("first, second: judged by the weights alone") for line in found.warnings)

    twelve = stored(tmp_path, plain("Swish", "swish", "second"), outputs=48)  # 12 for each of the 4 groups
    assert in_float(quantize(twelve, data, recipe="fast", workers=1).int8) == set()
