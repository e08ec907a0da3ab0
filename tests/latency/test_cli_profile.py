"""`pyncnnq profile` and what `quantize` makes of its file, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
from small_models import convolution, model_of, random_data

Cli = Callable[..., CompletedProcess[str]]


def test_a_profile_is_written_and_read(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = [convolution(rng, "first", "in0", 3, 8, 3), convolution(rng, "second", "first", 8, 8)]
    model_of(*layers).save(tmp_path / "net.param", tmp_path / "net.bin")
    data = random_data(tmp_path / "data")
    done = cli("profile", "net.param", "-o", "device.json", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed, written = json.loads(done.stdout), json.loads((tmp_path / "device.json").read_text())
    assert {key: printed[key] for key in written} == written
    assert [layer["name"] for layer in written["layers"]] == ["first", "second"]

    # On a device where the first layer is slower in int8, whatever it was here.
    written["layers"][0] |= {"float_ms": 1.0, "int8_ms": 2.0, "dequantize_ms": 0.0}
    written["layers"][1] |= {"float_ms": 1.0, "int8_ms": 0.5, "quantize_ms": 0.0}
    (tmp_path / "device.json").write_text(json.dumps({**written, "margin": 1.0, "cpu": "Elsewhere"}))
    words = ["--device", "device.json", "--recipe", "table", "--workers", 1]
    done = cli("quantize", "net.param", data, *words, "--for", "speed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "for speed on Elsewhere, 1 thread: 1 layers in float" in done.stdout
    (facts,) = [json.loads((tmp_path / "net-int8.json").read_text())["calibration"]["speed"]]
    assert facts["in_float"] == ["first"]
    done = cli("quantize", "net.param", data, *words, "--for", "size", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: --device: is of use for the goals speed, balanced, not for size; leave it out\n"
    done = cli("profile", "net.param", "-o", "net.bin", cwd=tmp_path)
    assert done.returncode == 2
    assert "net.bin" in done.stderr
