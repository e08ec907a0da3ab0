"""`quantize` from data on the golden networks: several inputs, 1-D and 2-D blobs, transformers and LSTMs, all-zero
channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from golden import WITH_DATA, WITHOUT_DATA, data_arguments

Cli = Callable[..., CompletedProcess[str]]

# In dB, of the worst output over the two samples held out, a few dB below what was measured.  All-zero channels give
# exact outputs.
FLOORS = {
    "audio1d": 44,
    "chain": 37,
    "residual": 46,
    "split": 34,
    "twoin": 48,
    "unet": 35,
    "vitish": 32,
    "seq": 45,
    "lstmproj": 52,
    "former": 37,
}


@pytest.mark.parametrize("name", WITH_DATA + WITHOUT_DATA)
def test_the_best_is_at_least_as_good_as_a_table(cli: Cli, shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / name
    model = (folder / "model.param", folder / "model.bin")
    done = cli("quantize", *model, *data_arguments(folder, tmp_path), "-o", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "net.json").read_text())["calibration"]
    assert told["chosen"] == told["tried"][0]
    ratios = list(told["chosen"]["sqnr_db"].values())
    if name == "zeroch":
        assert ratios == [None] * len(ratios)  # JSON has no infinity
    else:
        assert min(ratios) > FLOORS[name]
    assert any("rounding" in one["techniques"] for one in told["tried"])
