"""Real models on photographs: complete tables, and the same bytes whatever the order, the workers and the SIMD target."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from pyncnnq import _core

Cli = Callable[..., CompletedProcess[str]]

MODELS = {"squeezenet_v1.1": "short-side:256", "nanodet_m": "stretch"}
SAMPLES = 6


def options(shared: Path, name: str) -> list[str]:
    (inputs,) = json.loads((shared / "models/models.json").read_text())[name]["inputs"].values()
    numbers = [f"--{key}={','.join(map(str, inputs[key]))}" for key in ("size", "mean", "norm")]
    return [*numbers, f"--pixel={inputs['pixel']}", f"--resize={MODELS[name]}"]


def calibrate(cli: Cli, shared: Path, name: str, data: Path, table: Path, *more: str, **environment: str) -> dict[str, Any]:
    model = [shared / "models" / f"{name}.{suffix}" for suffix in ("param", "bin")]
    done = cli("calibrate", *model, data, *options(shared, name), "-o", table, "--json", *more, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Path]:
    return sorted((shared / "data/imagenet/calib").glob("*.*"))[: SAMPLES * 20 : 20]


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_gets_its_rows(cli: Cli, shared: Path, tmp_path: Path, name: str) -> None:
    table = tmp_path / "model.table"
    summary = calibrate(cli, shared, name, shared / "data/imagenet/calib", table, f"--samples={SAMPLES}")
    assert summary["samples"] == SAMPLES
    lines = (shared / "models" / f"{name}.param").read_text().splitlines()[2:]
    layers = [words[1] for words in map(str.split, lines) if words[0] in ("Convolution", "ConvolutionDepthWise", "InnerProduct")]
    rows = dict(line.split(maxsplit=1) for line in table.read_text().splitlines())
    assert list(rows) == [f"{layer}_param_0" for layer in layers] + layers
    assert all(0 < float(scale) < float("inf") for scales in rows.values() for scale in scales.split())
    assert [layer["name"] for layer in summary["layers"]] == layers
    for layer in summary["layers"]:
        assert 0 < layer["threshold"] <= layer["absmax"]
        assert float(rows[layer["name"]]) == pytest.approx(127 / layer["threshold"], rel=1e-6)


@pytest.fixture(scope="module")
def reference(cli: Cli, shared: Path, photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """SqueezeNet's table from the photographs in order, by two workers and the best target."""
    folder = tmp_path_factory.mktemp("reference")
    listed = folder / "list.txt"
    listed.write_text("\n".join(map(str, photographs)))
    calibrate(cli, shared, "squeezenet_v1.1", listed, folder / "model.table", "--workers=2")
    return (folder / "model.table").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_order_of_the_photographs_changes_nothing(
    cli: Cli, shared: Path, photographs: list[Path], reference: bytes, tmp_path: Path, workers: int
) -> None:
    shuffled = list(photographs)
    random.Random(workers).shuffle(shuffled)
    listed, table = tmp_path / "list.txt", tmp_path / "model.table"
    listed.write_text("\n".join(map(str, shuffled)))
    calibrate(cli, shared, "squeezenet_v1.1", listed, table, f"--workers={workers}")
    assert table.read_bytes() == reference


def test_the_target_changes_nothing(cli: Cli, shared: Path, photographs: list[Path], reference: bytes, tmp_path: Path, target: str) -> None:
    assert target in _core.supported_targets()
    listed, table = tmp_path / "list.txt", tmp_path / "model.table"
    listed.write_text("\n".join(map(str, photographs)))
    calibrate(cli, shared, "squeezenet_v1.1", listed, table, PYNCNNQ_TARGET=target)
    assert table.read_bytes() == reference
