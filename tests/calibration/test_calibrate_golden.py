"""Whole runs against the tables that ncnn2table wrote for the same models and inputs (../shared/golden)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from golden import WITH_DATA, WITHOUT_DATA, data_arguments

Cli = Callable[..., CompletedProcess[str]]


def golden_rows(path: Path) -> list[tuple[str, list[float]]]:
    """All but comments: of chain, `calibrate` fuses a HardSwish and notes so."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return [(words[0], [float(word) for word in words[1:]]) for words in lines]


def check_against_golden(table: Path, golden: Path, absmax: dict[str, float]) -> None:
    found, expected = golden_rows(table), golden_rows(golden)
    assert [key for key, _ in found] == [key for key, _ in expected]
    for (key, scales), (_, theirs) in zip(found, expected, strict=True):
        assert len(scales) == len(theirs), key
        if key in absmax:
            # A threshold lies in the middle of a bin of 2048; neighbours may be chosen where float32 and float64 sums
            # differ.
            assert abs(127 / scales[0] - 127 / theirs[0]) <= absmax[key] / 2048 * 1.001, key
            continue
        for scale, other in zip(scales, theirs, strict=True):
            assert scale == (pytest.approx(other, rel=1e-6) if np.isfinite(other) else 1.0), key


@pytest.mark.parametrize("method", ["kl", "aciq"])
@pytest.mark.parametrize("name", WITH_DATA)
def test_models_with_activation_rows(cli: Cli, shared: Path, tmp_path: Path, name: str, method: str) -> None:
    folder = shared / "golden" / name
    table = tmp_path / "model.table"
    model = (folder / "model.param", folder / "model.bin")
    done = cli("calibrate", *model, *data_arguments(folder, tmp_path), "-o", table, "--json", "--method", method)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    absmax = {layer["name"]: layer["absmax"] for layer in summary["layers"]}
    assert absmax, "no activation row was compared"
    assert summary["samples"] == 8
    check_against_golden(table, folder / f"{method}.table", absmax)


@pytest.mark.parametrize("with_data", [False, True], ids=["no-data", "data"])
@pytest.mark.parametrize("method", ["kl", "aciq"])
@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_models_with_weight_rows_only(
    cli: Cli, shared: Path, tmp_path: Path, name: str, method: str, with_data: bool
) -> None:
    """Data is not needed; if it is given, it is said that nobody looked at it."""
    folder = shared / "golden" / name
    table = tmp_path / "model.table"
    data = data_arguments(folder, tmp_path) if with_data else []
    done = cli("calibrate", folder / "model.param", folder / "model.bin", *data, "-o", table, "--method", method)
    warning = "warning: no layer of this model needs calibration data: the data was not looked at\n"
    assert (done.returncode, done.stderr) == (0, warning if data else "")
    assert "no data needed" in done.stdout
    check_against_golden(table, folder / f"{method}.table", {})


def test_minmax_takes_the_largest_magnitude(cli: Cli, shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/chain"
    table = tmp_path / "model.table"
    model = (folder / "model.param", folder / "model.bin")
    done = cli("calibrate", *model, folder / "inputs", "-o", table, "--json", "--method", "minmax")
    layers = json.loads(done.stdout)["layers"]
    rows = dict(golden_rows(table))
    for layer in layers:
        assert layer["threshold"] == layer["absmax"]
        assert rows[layer["name"]] == [pytest.approx(127 / layer["absmax"], rel=1e-6)]
    largest = max(float(np.abs(np.load(path)).max()) for path in (folder / "inputs").iterdir())
    assert layers[0]["absmax"] == largest
