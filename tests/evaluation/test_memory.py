"""The memory of models that are known to need more than others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import inner_product, model_of

from pyncnnq import load_model
from pyncnnq.evaluation.memory import memory_of
from pyncnnq.inputs import ArraySpec


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_a_large_model_takes_as_much_more_as_its_weights(tmp_path: Path) -> None:
    rng, read, written = np.random.default_rng(0), 2048, (64, 4096)
    for outputs in written:
        model = model_of(inner_product(rng, "last", "in0", read, outputs), shape=(read,))
        model.save(tmp_path / f"{outputs}.param", tmp_path / f"{outputs}.bin")
    np.save(tmp_path / "input.npy", rng.random(read, np.float32))
    files = tuple(load_model(tmp_path / f"{n}.param", tmp_path / f"{n}.bin").files for n in written)
    found = memory_of(files, [("in0", ArraySpec())], (tmp_path / "input.npy",), ["last"], 1)
    assert found.weights == tuple((tmp_path / f"{n}.bin").stat().st_size for n in written)
    assert found.peak is not None
    more = 4 * read * (written[1] - written[0])
    # ncnn may hold weights twice while it packs them, in half precision or not.
    assert more <= found.peak[1] - found.peak[0] <= 3 * more
