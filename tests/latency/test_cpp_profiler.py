"""The profiler in C++: it compiles against ncnn, and against a made-up ncnn it runs too."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from programs import tool
from small_models import convolution, inner_product, model_of, plain

from pyncnnq import Model, cpp_profiler, load_model, load_profile
from pyncnnq.latency import cpp
from pyncnnq.latency.timing import Effort

Cli = Callable[..., CompletedProcess[str]]

MADE_UP = Path(__file__).with_name("made_up_ncnn")
STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """a -> b -> (Split) c and "d"; d -> Softmax -> f: chained from a to both."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("chained")
    layers = [
        convolution(rng, "a", "in0", 3, 8),
        convolution(rng, "b", "a", 8, 8, 3, group=8, text=" 4=1"),
        convolution(rng, "c", "b", 8, 8),
        convolution(rng, 'd"\\?', "b", 8, 8),
        plain("Softmax", "act", 'd"\\?'),
        inner_product(rng, "f", "act", 8 * 12 * 12, 5),
    ]
    model_of(*layers).save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program wrote, and what the made-up ncnn was given."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        for effort in ("LAYERS", "WHOLES"):
            patch.setattr(cpp, effort, Effort(least=2, most=2, seconds=0.0))
        (folder / "profile.cpp").write_text(cpp_profiler(model))
    command = [tool("c++"), *STRICT, "-O1", "-I", MADE_UP, folder / "profile.cpp", "-o", folder / "profile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([folder / "profile", "2"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "device.json").write_text(done.stdout)
    return folder


def test_the_program_prints_a_profile(model: Model, folder: Path) -> None:
    profile = load_profile(folder / "device.json")
    profile.require_fits(model)
    assert [layer.name for layer in profile.layers] == ["a", "b", "split_b", "c", 'd"\\?', "act", "f"]
    found = {layer.name: layer for layer in profile.layers}
    assert found["b"].shape == (8, 12, 12)
    assert found["a"].chained_to == ("b",)
    assert set(found["b"].chained_to) == {"c", 'd"\\?'}
    assert {name for name, layer in found.items() if layer.int8_ms is not None} == {"a", "b", "c", 'd"\\?', "f"}
    for layer in profile.layers:
        assert 0.9 <= layer.float_ms < 500  # the made-up ncnn takes a millisecond: the unit is right
    assert (profile.threads, profile.ncnn, profile.inputs) == (2, "1.0.made-up", {"in0": (3, 12, 12)})
    assert profile.options["use_fp16_arithmetic"] is False
    assert [whole.name for whole in profile.wholes] == ["float", "int8"]
    for whole in profile.wholes:
        assert profile.predicted(profile.costs if whole.name == "float" else ()) == pytest.approx(whole.predicted_ms)


def test_models_are_whole_but_for_their_weights(model: Model, folder: Path) -> None:
    assert len(list(folder.glob("?.param"))) == 5
    original = model.files.bin.read_bytes()
    given = (folder / "0.bin").read_bytes()
    assert len(given) == len(original)
    for place in range(5):
        made = load_model(folder / f"{place}.param", folder / f"{place}.bin")  # every array where it has to be
        for layer, known in zip(made.layers, model.layers, strict=True):
            assert layer.name == known.name
            if place == 0:
                for name, weight in layer.weights.items():
                    assert set(weight.data.tolist()) <= set(known.weights[name].data.tolist())


@pytest.mark.parametrize("name", ["c++", "aarch64-linux-gnu-g++"])
def test_the_program_compiles_against_ncnn(folder: Path, name: str) -> None:
    config = shutil.which("pkg-config")
    found = subprocess.run([config or "false", "--cflags", "ncnn"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("the headers of ncnn are not installed (pkg-config --cflags ncnn)")
    command = [tool(name), *STRICT, "-fsyntax-only", *found.stdout.split(), str(folder / "profile.cpp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_writes_the_program(cli: Cli, model: Model, folder: Path, tmp_path: Path) -> None:
    words = ["profile", *model.files[:2], "--cpp", "profile.cpp"]
    for _ in range(2):  # over its own file too
        done = cli(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    written, known = ((place / "profile.cpp").read_text().splitlines() for place in (tmp_path, folder))
    assert [line for line, other in zip(written, known, strict=True) if line != other] == [
        "const Effort BY_LAYER = {5, 40, 4.0}, WHOLE = {9, 45, 4.0};"
    ]
    done = cli(*words, "-o", "device.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --cpp: measures nothing here")
