"""Techniques: another package adds two, which take part in `best`; and unknown or left-out names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from outside_package import install
from small_models import convolution, model_of

from pyncnnq import Model, PyncnnqError, load_model
from pyncnnq.optimization.recipes import RECIPES, recipe_named
from pyncnnq.optimization.techniques import TECHNIQUES, chosen_techniques

Cli = Callable[..., CompletedProcess[str]]

MODULE = '''
"""Turns the sign of the blob `first`, and tries scales that are too small."""

from dataclasses import dataclass, replace

import numpy as np

from pyncnnq.model import Weight
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.source import Need
from pyncnnq.optimization.technique import Rewriting, Stage, Technique
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.rewritten import Rewritten


def turn(model, ranges):
    assert ranges["first"].min.shape == (8,)
    model = model.copy()
    for layer in model.layers:
        if layer.name in ("first", "second"):
            for name in ("weight_data", "bias_data")[: 2 if layer.name == "first" else 1]:
                make = Weight.tagged_float32 if name == "weight_data" else Weight.raw
                layer.weights[name] = make(name, -layer.weights[name].float32())
    return Rewritten(model, ("first",), {"first": BlobStorage(np.full(8, -1.0), np.zeros(8))})


@dataclass(frozen=True, kw_only=True)
class Coarse(Technique[Draft]):
    stage: Stage = Stage.CORRECTING

    def apply(self, subject, bench):
        del bench
        coarse = subject.with_scales({"second": subject.table["second"][0] / 16})
        return replace(coarse, applied=(*subject.applied, self.name))


TURNING = Rewriting(name="turning", rewrite=turn, needs=(Need.CHANNELS,))
COARSE = Coarse(name="coarse", recipes=("best",))
'''


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model without anything between `first` and `second`, and calibration data."""
    folder = tmp_path_factory.mktemp("network")
    rng = np.random.default_rng(3)
    model = model_of(
        convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1"),
        convolution(rng, "second", "first", 8, 8, 3, text=" 4=1 9=1"),
        convolution(rng, "third", "second", 8, 4),
    )
    model.save(folder / "net.param", folder / "net.bin")
    (folder / "data").mkdir()
    for number in range(12):
        np.save(folder / f"data/{number:02}.npy", rng.normal(0, 1, (3, 12, 12)).astype(np.float32))
    return load_model(folder / "net.param", folder / "net.bin"), folder / "data"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH with an installed package that has two entry points."""
    points = {"turning": "my_techniques:TURNING", "coarse": "my_techniques:COARSE"}
    folder = tmp_path_factory.mktemp("site")
    return install(folder, "my_techniques", MODULE, {"pyncnnq.techniques": points})["PYTHONPATH"]


def test_techniques_of_another_package_take_part(
    cli: Cli, network: tuple[Model, Path], paths: str, tmp_path: Path
) -> None:
    model, data = network
    done = cli("quantize", model.param_path, model.bin_path, data, "-o", tmp_path / "net", "--json", PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)["made_from"]["tried"]
    names = [candidate["techniques"] for candidate in tried]
    assert any("turning" in techniques for techniques in names)
    assert any("turning" not in techniques for techniques in names)
    ratios = {
        (tuple(candidate["techniques"]), candidate["method"]): candidate["sqnr_db"]["third"] for candidate in tried
    }
    coarse = {(techniques, method): ratio for (techniques, method), ratio in ratios.items() if "coarse" in techniques}
    assert coarse
    for (techniques, method), ratio in coarse.items():
        without = tuple(name for name in techniques if name != "coarse")
        if (without, method) in ratios:
            assert ratio < ratios[without, method] - 10


PROGRAM = """
import sys
import pyncnnq
model = pyncnnq.load_model(*sys.argv[1:3])
result = pyncnnq.quantize(model, sys.argv[3], workers=1, without=["coarse"])
print(sorted({name for candidate in result.candidates for name in candidate.techniques}))
"""


def test_techniques_of_another_package_can_be_left_out(network: tuple[Model, Path], paths: str) -> None:
    model, data = network
    command = [sys.executable, "-c", PROGRAM, str(model.param_path), str(model.bin_path), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    assert "'turning'" in done.stdout
    assert "'coarse'" not in done.stdout


def test_recipes_have_the_techniques_that_say_so() -> None:
    fast = [technique.name for technique in chosen_techniques(RECIPES["fast"])]
    prepared = ["constant products", "swapped operands", "token scales", "smoothing", "levelled outputs"]
    assert fast == [*prepared, "bias correction", "zero points", "noisy layers"]
    table = [technique.name for technique in chosen_techniques(RECIPES["table"])]
    assert table == ["swapped operands", "thresholds"]
    assert [technique.name for technique in chosen_techniques(RECIPES["best"])] == [
        name for name in TECHNIQUES if name != "noisy layers"
    ]


def test_what_requires_a_technique_that_is_left_out_goes_too() -> None:
    names = [technique.name for technique in chosen_techniques(RECIPES["best"], ["rounding"])]
    assert "refitting" not in names
    assert "rounding" not in names


def test_unknown_names_are_errors_that_list_all() -> None:
    with pytest.raises(PyncnnqError, match="unknown recipe 'slow'; there are: table, fast, best"):
        recipe_named("slow")
    with pytest.raises(PyncnnqError, match=r"unknown technique 'gptq'; there are: constant products, .*, refitting"):
        chosen_techniques(RECIPES["best"], ["gptq"])
