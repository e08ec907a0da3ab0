"""Each rename of `pyncnnq quantize` with signals, and some at random moments; `python -m tests.faults` does more."""

from __future__ import annotations

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults.scenes import Scene, scenes
from faults.trials import SIGNALS, Trial, attempt, attempt_two

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    (quantize,) = scenes(tmp_path_factory.mktemp("scene"), ["quantize"])
    return quantize


def test_quantize(scene: Scene, tmp_path: Path) -> None:
    assert scene.steps.count("replace") == 3, "the .param, the .bin and the manifest"
    renames = [step for step, name in enumerate(scene.steps, 1) if name in ("rename", "replace")]
    trials = [Trial(scene, signal.SIGKILL, step) for step in renames]
    trials += [Trial(scene, number, renames[2]) for number in SIGNALS[1:]]
    generator = random.Random(1)
    trials += [Trial(scene, number, generator.uniform(0, scene.seconds)) for number in SIGNALS]
    with ThreadPoolExecutor(2) as executor:
        results = list(executor.map(lambda trial: attempt(trial, tmp_path), trials))
    assert results[: len(renames)] == ["old", *["new"] * (len(renames) - 1)]
    assert results[len(renames) :][:3] == ["new"] * 3, "half of the renames were done"


def test_two_at_once(scene: Scene, tmp_path: Path) -> None:
    assert attempt_two(scene, tmp_path) in ("old", "new")
