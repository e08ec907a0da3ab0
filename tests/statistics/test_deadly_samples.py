"""Samples over which ncnn itself crashes: the statistics are those of the others, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detecting_model import SOME, detecting_model, samples
from small_models import inner_product, plain, run_ncnn

from pyncnnq import calibrate, load_model
from pyncnnq.model import Model


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """One that divides by zero in a Flatten where nothing is detected."""
    model = detecting_model(SOME, batch_norm=True, threshold=0.36)
    model.layers += [
        plain("Flatten", "flat", "det"),
        plain("Reshape", "each", "flat", text=" 0=6 1=-1"),
        inner_product(np.random.default_rng(1), "fc", "each", 6, 4),
    ]
    model.save(tmp_path / "model.param", tmp_path / "model.bin")
    return load_model(tmp_path / "model.param", tmp_path / "model.bin")


def test_they_are_skipped_and_leave_no_trace(model: Model, tmp_path: Path) -> None:
    data = samples(tmp_path / "data", 8)
    deadly = [
        path
        for path in sorted(data.iterdir())
        if run_ncnn(*model.files[:2], {"in0": np.load(path)}, ["det"])["det"].size == 0
    ]
    assert 2 <= len(deadly) <= 4
    found = [calibrate(model, data, workers=workers) for workers in (1, 2)]
    for path in deadly:
        path.unlink()
    expected = calibrate(model, data, workers=1)
    for result in found:
        assert result.table.text() == expected.table.text()
        assert result.statistics.samples == 8 - len(deadly)
        told = sorted(result.statistics.skipped)
        for path, line in zip(deadly, told, strict=True):
            assert line.startswith(f"{path}: a worker process was ended by signal")
            assert line.endswith("while decoding or running it, twice")
