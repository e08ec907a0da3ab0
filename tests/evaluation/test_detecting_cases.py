"""Models in the shape of those that users reported: ../shared/cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from detecting_model import samples

from pyncnnq import analyze, calibrate, evaluate, load_model, quantize


@pytest.mark.parametrize(
    ("case", "background"),
    [("ssd_no_detection", "6"), ("ssd_no_detection", "0"), ("ssd_bn", "6"), ("ssd_counts", "0.4")],
)
def test_detecting_models_go_all_the_way(shared: Path, tmp_path: Path, case: str, background: str) -> None:
    program = shared / "cases" / case / "make.py"
    if not program.is_file():
        pytest.skip(f"{program} is not here")
    subprocess.run([sys.executable, program, background], cwd=tmp_path, check=True)
    model, data = load_model(tmp_path / "m.param", tmp_path / "m.bin"), samples(tmp_path / "data")
    assert "conv1" in calibrate(model, data, workers=1).table
    made = quantize(model, data, workers=1)
    assert made.warnings == []
    assert made.chosen.score > max(30, made.candidates[-1].score)
    made.save(tmp_path / "q.param", tmp_path / "q.bin")
    int8 = load_model(tmp_path / "q.param", tmp_path / "q.bin")
    assert evaluate(model, int8, data, workers=1).worst_sqnr > 25
    assert len(analyze(model, int8, data, workers=1).layers) == 3
