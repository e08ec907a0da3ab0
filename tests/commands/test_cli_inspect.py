"""`pyncnnq inspect`, and the command line's own pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import pyncnnq
from pyncnnq.demo import DEMO

Cli = Callable[..., CompletedProcess[str]]


def inspect(cli: Cli, param: Path, bin: Path) -> dict[str, Any]:
    done = cli("inspect", param, bin, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def golden(cli: Cli, shared: Path, name: str, kind: str = "model") -> dict[str, Any]:
    return inspect(cli, *(shared / "golden" / name / f"{kind}.{suffix}" for suffix in ("param", "bin")))


def layers(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {layer["name"]: layer for layer in summary["quantizable_layers"]}


def test_the_demo_as_json(cli: Cli) -> None:
    lines = [line.split() for line in DEMO.param.read_text().splitlines()[2:]]
    quantizable = [words[1] for words in lines if words[0] in ("Convolution", "ConvolutionDepthWise", "InnerProduct")]
    summary = inspect(cli, DEMO.param, DEMO.bin)
    assert summary["inputs"] == {"in0": "w=64 h=64 c=3"}
    assert summary["outputs"] == ["out0"]
    assert summary["layer_count"] == len(lines)
    assert list(layers(summary)) == quantizable
    # Every byte of the file but the tags is a weight's: 4 bytes for each tagged array.
    assert sum(summary["weight_bytes"].values()) + 4 * len(quantizable) == pytest.approx(
        DEMO.bin.stat().st_size, abs=3 * len(quantizable)
    )


def test_the_demo_as_text(cli: Cli) -> None:
    done = cli("inspect", DEMO.param, DEMO.bin)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert "input   in0  w=64 h=64 c=3" in text
    assert "output  out0" in text
    for name in layers(inspect(cli, DEMO.param, DEMO.bin)):
        assert any(line.split()[:1] == [name] for line in text.splitlines()), name


def test_shapes_formats_and_where_scales_come_from(cli: Cli, shared: Path) -> None:
    found = layers(golden(cli, shared, "chain"))
    assert {layer["scales"] for layer in found.values()} == {"table"}
    assert found["convrelu_0"]["shape"] == "3 -> 16, 3x3"
    # 432 weights and 16 biases.
    assert found["convrelu_0"]["parameters"] == 432 + 16
    assert found["convdw_16"]["shape"].endswith("4 groups")
    assert found["linear_13"]["shape"].endswith("-> 7")


@pytest.mark.parametrize(
    ("name", "types"),
    [("former", {"Embed", "MultiHeadAttention"}), ("seq", {"LSTM", "GRU", "RNN"}), ("lstmproj", {"LSTM", "GRU"})],
)
def test_layers_that_need_no_data(cli: Cli, shared: Path, name: str, types: set[str]) -> None:
    found = [layer for layer in layers(golden(cli, shared, name)).values() if layer["scales"] == "weights only"]
    assert types <= {layer["type"] for layer in found}


def test_an_int8_model(cli: Cli, shared: Path) -> None:
    summary = golden(cli, shared, "chain", "kl.int8")
    found = layers(summary)
    assert set(found) == set(layers(golden(cli, shared, "chain")))
    assert {(layer["scales"], layer["format"]) for layer in found.values()} == {("in the model", "int8")}
    assert "int8" in summary["weight_bytes"]


def test_several_inputs_without_shapes(cli: Cli, shared: Path) -> None:
    summary = golden(cli, shared, "twoin")
    assert list(summary["inputs"]) == ["in0", "in1"]
    # What the model does not say itself, the first convolution's weights do.
    assert all("c=" in shape for shape in summary["inputs"].values())


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_a_damaged_model_is_one_line(cli: Cli, tmp_path: Path, json_: list[str]) -> None:
    (tmp_path / "model.bin").write_bytes(DEMO.bin.read_bytes()[:-7])
    done = cli("inspect", DEMO.param, tmp_path / "model.bin", *json_)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'model.bin'}: ")
    assert "Traceback" not in done.stderr


def test_help_and_version(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for command in ("calibrate", "inspect", "demo"):
        assert command in done.stdout
        assert cli(command, "-h").returncode == 0
    try:
        expected = version("pyncnnq")
    except PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert expected in cli("--version").stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["inspect"], ["inspect", "a.param"]])
def test_usage_errors(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
    assert "Traceback" not in done.stderr


def test_targets_are_listed_with_the_one_in_use(cli: Cli) -> None:
    listed = cli("inspect", "--targets", PYNCNNQ_TARGET="").stdout.splitlines()
    assert [line.split()[0] for line in listed] == pyncnnq.targets()
    assert listed[0].endswith("(in use)")
    assert listed[-1] == "scalar"
    forced = cli("inspect", "--targets", PYNCNNQ_TARGET="scalar").stdout.splitlines()
    assert [line for line in forced if "in use" in line] == ["scalar  (in use)"]


def test_an_unknown_target_is_one_clear_line(cli: Cli) -> None:
    done = cli("inspect", "--targets", PYNCNNQ_TARGET="mmx")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "PYNCNNQ_TARGET" in done.stderr
    assert "'mmx'" in done.stderr
    assert "scalar" in done.stderr


def test_targets_are_listed_again_after_their_module_has_been_imported() -> None:
    """A module of the same name would take the place of the function in the package."""
    assert pyncnnq.targets() == pyncnnq.targets()
    assert pyncnnq.active_target() in pyncnnq.targets()
