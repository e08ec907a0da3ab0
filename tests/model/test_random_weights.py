"""Models with random weights, which the fuzzing of pairs begins with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzzing.targets.pair import seeds
from random_weights import weights_table, with_random_weights
from test_model_bin import ncnn_reads

from pyncnnq.quantization import quantize


@pytest.mark.parametrize("data", seeds())
def test_models_with_random_weights_are_loaded_by_ncnn_and_become_int8(data: bytes, tmp_path: Path) -> None:
    pair = (tmp_path / "m.param", tmp_path / "m.bin")
    pair[0].write_bytes(data)
    model = with_random_weights(*pair)
    assert all(np.isfinite(weight.float32()).all() for layer in model.layers for weight in layer.weights.values())
    quantize(model, weights_table(model)).save(tmp_path / "q.param", tmp_path / "q.bin")
    other = (tmp_path / "r.param", tmp_path / "r.bin")  # without the manifest, which is of other weights
    other[0].write_bytes((tmp_path / "q.param").read_bytes())
    assert any(layer.op.is_int8 for layer in with_random_weights(*other).layers)
    pairs = [pair, (tmp_path / "q.param", tmp_path / "q.bin"), other]
    assert [code for code, *_ in ncnn_reads(pairs)] == [0, 0, 0]
