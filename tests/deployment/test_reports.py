"""Reports of one int8 model say the same, whoever makes them: deploy, `evaluate --report`, and Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from onnx_models import classifier

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.report.facts import finite

Cli = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("pnnx")

OPTIONS = pyncnnq.InputOptions(preset="zero-one")


def figures(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Everything but the speed, which no two runs have in common."""
    others = ("speed", "memory", "printed", "analysis", "on", "inputs")  # the last says who told the preprocessing
    return {name: value for name, value in evaluation.items() if name not in others}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> pyncnnq.Deployed:
    folder = tmp_path_factory.mktemp("deployed")
    source = classifier(folder / "net.onnx")
    result = pyncnnq.deploy(source, folder / "out", DEMO.images, options=OPTIONS, samples=24, recipe="fast", workers=1)
    assert "zero points" in result.optimized.chosen.techniques
    assert any(not storage.is_plain for storage in result.optimized.int8.manifest.blobs.values())
    return result


def test_the_command_line_says_the_same_of_the_files(deployed: pyncnnq.Deployed, cli: Cli, tmp_path: Path) -> None:
    names = deployed.folder
    held_out = [paths[0] for paths in deployed.data.samples]
    files = [names.param, names.bin, names.int8_param, names.int8_bin]
    done = cli("evaluate", *files, *held_out, "--preset", "zero-one", "--report", tmp_path / "page.html", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert deployed.analysis is not None
    as_json = json.loads(json.dumps(finite({"analysis": asdict(deployed.analysis), **asdict(deployed.evaluation)})))
    assert [layer["storage"] for layer in facts["analysis"]["layers"]] == [
        layer.storage for layer in deployed.analysis.layers
    ]
    assert figures(facts["analysis"]) == figures(as_json["analysis"])
    assert figures(facts) == figures(as_json)
    assert figures(json.loads(names.facts.read_text())["evaluation"]) == figures(facts)


def test_python_says_the_same_of_a_saved_model(deployed: pyncnnq.Deployed, tmp_path: Path) -> None:
    model = pyncnnq.load_model(deployed.folder.param, deployed.folder.bin)
    result = pyncnnq.quantize(model, DEMO.images, options=OPTIONS, samples=24, recipe="fast", workers=1)
    result.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    assert (tmp_path / "int8.bin").read_bytes() == deployed.folder.int8_bin.read_bytes()
    int8 = pyncnnq.load_model(tmp_path / "int8.param", tmp_path / "int8.bin")
    assert pyncnnq.analyze(model, int8, deployed.data, workers=1) == deployed.analysis
