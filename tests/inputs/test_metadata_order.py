"""Which of the files beside a model counts, and for what."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import convolution, model_of

import pyncnnq
from pyncnnq import InputOptions
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.inputs.metadata import find_metadata, sidecar_bytes, sidecar_path
from pyncnnq.inputs.preprocessing import CHANNELS, Pixel
from pyncnnq.model import Layer, Model, Params

HUGGING_FACE = {"image_mean": [0.2] * 3, "image_std": [1] * 3, "size": {"height": 64, "width": 64}}
TIMM = {"architecture": "a", "mean": [0.3] * 3, "std": [1] * 3, "input_size": [3, 64, 64], "interpolation": "bilinear"}
PADDLE = (
    "PreProcess: {transform_ops: [ResizeImage: {size: 64}, NormalizeImage: {mean: [0.4, 0.4, 0.4], std: [1, 1, 1]}]}"
)
TRANSFORMS = [{"type": "Resize", "size": 64}, {"type": "Normalize", "mean": [127.5] * 3, "std": [255] * 3}]
MMDEPLOY = {"pipeline": {"tasks": [{"module": "Transform", "transforms": TRANSFORMS}]}}
FILES: dict[str, tuple[Any, float]] = {
    "model.toml": ('[[input]]\nmean = [12.75, 12.75, 12.75]\nnorm = [0.5, 0.5, 0.5]\npixel = "RGB"\n', 0.05),
    "metadata.yaml": ("task: detect\nimgsz: 64\n", 0.0),
    "preprocessor_config.json": (HUGGING_FACE, 0.2),
    "config.json": (TIMM, 0.3),
    "inference.yml": (PADDLE, 0.4),
    "pipeline.json": (MMDEPLOY, 0.5),
}
"""In the order in which they count; each with its mean, of pixels from 0 to 1."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model of the input (3, 64, 64), and two images."""
    shutil.copy(DEMO.param, tmp_path / "model.param")
    shutil.copy(DEMO.bin, tmp_path / "model.bin")
    (tmp_path / "images").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.full((5, 5, 3), number, np.uint8))
    return tmp_path


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def found(folder: Path, *options: InputOptions, data: str = "images") -> CalibrationData:
    model = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    return find_data(model, [folder / data], ("options", options))


def spec(data: CalibrationData) -> Preprocessing:
    (one,) = data.inputs
    assert isinstance(one, Preprocessing)
    return one


def test_the_first_that_is_there_counts(place: Path) -> None:
    pytest.importorskip("yaml")
    for name, (content, _) in FILES.items():
        write(place, name, content)
    for name, (_, mean) in FILES.items():
        data = found(place)
        assert data.origins == (name,)
        assert spec(data).mean == pytest.approx([255 * mean] * 3)
        assert spec(data).size == (64, 64)
        (place / name).unlink()
    with pytest.raises(InputError, match="mean, norm, pixel not given"):
        found(place)


def test_files_that_cannot_be_understood_are_passed_over(place: Path) -> None:
    write(place, "preprocessor_config.json", "{")
    write(place, "config.json", {**TIMM, "std": [0, 0, 0]})
    write(place, "pipeline.json", MMDEPLOY)
    data = found(place)
    assert data.origins == ("pipeline.json",)
    first, second = data.metadata.notes
    assert first.startswith(f"{place / 'preprocessor_config.json'}: is not JSON")
    assert second.startswith(f"{place / 'config.json'}: ")
    (place / "pipeline.json").unlink()
    assert found(place, InputOptions(preset="none")).metadata.notes == (first, second)


def test_options_count_more_one_by_one(place: Path) -> None:
    write(place, "config.json", TIMM)
    data = found(place, InputOptions(pixel="BGR", size=(32, 16), resize=Resize("stretch")))
    assert data.origins == ("config.json and options",)
    assert (spec(data).pixel, spec(data).size) == ("BGR", (32, 16))
    assert spec(data).mean == pytest.approx([0.3 * 255] * 3)


def test_a_preset_counts_more_as_a_whole(place: Path) -> None:
    """All but the size, of which it does not speak."""
    write(place, "config.json", {**TIMM, "input_size": [1, 64, 64], "mean": [0.1], "std": [1]})
    data = found(place, InputOptions(preset="imagenet-caffe", size=(48, 48)))
    assert data.origins == ("options",)
    assert (spec(data).pixel, spec(data).mean, str(spec(data).resize)) == ("BGR", (104, 117, 123), "short-side:256")


def test_arrays_are_not_preprocessed(place: Path) -> None:
    """Whatever stands beside the model, and whether it makes sense."""
    np.save(place / "a.npy", np.zeros((3, 64, 64), np.float32))
    write(place, "config.json", "{")
    write(place, "pipeline.json", MMDEPLOY)
    write(place, "model.toml", "[[input]]\nmean = [1, 1, 1]\nshape = [64, 64, 3]\n")
    data = found(place, data="a.npy")
    assert (data.inputs, data.origins, data.metadata.notes) == ((ArraySpec((3, 64, 64)),), ("model.toml",), ())
    (place / "model.toml").unlink()
    assert found(place, data="a.npy").metadata.notes == ()


def test_the_size_of_a_model_counts_more(place: Path) -> None:
    """Here 64, 64 stands in its Input layer.  The same share is cut off at the sides."""
    write(place, "config.json", {**TIMM, "input_size": [3, 128, 128], "crop_pct": 0.8})
    data = found(place)
    assert (spec(data).size, str(spec(data).resize)) == ((64, 64), "short-side:80")
    (note,) = data.metadata.notes
    assert "128,128" in note
    assert "64,64" in note


def test_a_size_of_the_user_counts_more_than_all(place: Path) -> None:
    write(place, "model.toml", FILES["model.toml"][0] + "size = [32, 48]\n")
    assert spec(found(place)).size == (32, 48)
    assert spec(found(place, InputOptions(size=(16, 16)))).size == (16, 16)


def test_metadata_of_other_channels(place: Path) -> None:
    write(place, "config.json", {**TIMM, "input_size": [1, 64, 64], "mean": [0.1], "std": [1]})
    with pytest.raises(InputError, match="mean, norm, pixel not given"):
        found(place)
    data = found(place, InputOptions(preset="none"))
    assert "GRAY has 1 channels, but input 'in0' takes 3" in data.metadata.notes[0]


def test_an_int8_model_has_that_of_its_float_model(place: Path) -> None:
    write(place, "model.toml", FILES["model.toml"][0])
    write(place, "config.json", TIMM)
    assert find_metadata(place / "model-int8.param").file == place / "model.toml"
    write(place, "model-int8.toml", FILES["model.toml"][0])
    assert find_metadata(place / "model-int8.param").file == place / "model-int8.toml"
    assert find_metadata(place / "other-int8.param").file == place / "config.json"


def test_several_inputs(tmp_path: Path) -> None:
    """One row of others speaks of all images; own files have a row for each input."""
    rng = np.random.default_rng(0)
    layers = [Layer("Input", name, [], [name], Params(" 0=8 1=8 2=3")) for name in ("a", "b")]
    layers += [convolution(rng, f"conv_{name}", name, 3, 4) for name in ("a", "b")]
    Model(layers).save(tmp_path / "model.param", tmp_path / "model.bin")
    model = pyncnnq.load_model(tmp_path / "model.param", tmp_path / "model.bin")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((3, 8, 8), np.float32))
    write(tmp_path, "config.json", {**TIMM, "input_size": [3, 8, 8]})
    both = find_data(model, [tmp_path / "a.png", tmp_path / "a.png"])
    assert both.inputs[0] == both.inputs[1]
    mixed = find_data(model, [tmp_path / "a.png", tmp_path / "b.npy"])
    assert mixed.inputs == (both.inputs[0], ArraySpec((3, 8, 8)))
    assert mixed.origins == ("config.json", "")
    (tmp_path / "model.toml").write_bytes(sidecar_bytes(tmp_path / "model.param", mixed.facts))
    again = find_data(model, [tmp_path / "a.png", tmp_path / "b.npy"])
    assert (again.inputs, again.origins[0]) == (mixed.inputs, "model.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[input]]\nstd = [1, 1, 1]\n", "unknown key 'std'"),
        ("[[input]]\nmean = 'x'\n", "expected numbers separated by commas"),
        ("not TOML", "is not TOML"),
        ("[[input]]\n[[input]]\n", "describes 2 inputs, the model has 1"),
        ("method = 'kl'\nweight-bits = 'proven'\n", "method, weight-bits: a file beside a model says how images"),
        ("[[input]]\ndata = 'images'\n", "data: a file beside a model says how images"),
    ],
)
def test_own_files_have_to_be_right(place: Path, text: str, problem: str) -> None:
    write(place, "model.toml", text)
    write(place, "config.json", TIMM)
    with pytest.raises(InputError, match=problem) as caught:
        found(place, InputOptions(preset="none"))
    assert str(place / "model.toml") in str(caught.value)


def sizes(least: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, 300), st.integers(least, 300))


@st.composite
def preprocessings(draw: Callable[..., Any]) -> Preprocessing:
    pixel: Pixel = draw(st.sampled_from(list(CHANNELS)))
    number = st.floats(allow_nan=False, allow_infinity=False)
    channels = CHANNELS[pixel]
    mean = tuple(draw(st.lists(number, min_size=channels, max_size=channels)))
    norm = tuple(draw(st.lists(number.filter(bool), min_size=channels, max_size=channels)))
    resize = draw(st.sampled_from([Resize(), Resize("letterbox"), Resize("short-side", 300)]))
    return Preprocessing(draw(sizes(0 if resize == Resize() else 1)), mean, norm, pixel, resize)


@settings(deadline=None)  # of examples that write files
@given(spec=preprocessings(), name=st.text())
def test_what_is_written_is_read(spec: Preprocessing, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """To the last digit, whatever the input is called."""
    param = tmp_path_factory.getbasetemp() / "written.param"
    data = CalibrationData([], (spec,), 0, names=(name,), origins=("",))
    sidecar_path(param).write_bytes(sidecar_bytes(param, data.facts))
    (row,) = find_metadata(param).inputs
    assert Preprocessing(*(getattr(row, key) for key in ("size", "mean", "norm", "pixel", "resize"))) == spec


def test_a_model_that_comes_from_no_file(tmp_path: Path) -> None:
    model = model_of(convolution(np.random.default_rng(0), "conv", "in0", 3, 4))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    write(tmp_path, "config.json", TIMM)
    with pytest.raises(InputError, match="mean, norm, pixel not given"):
        find_data(model, [tmp_path / "a.png"])
    model.save(tmp_path / "model.param", tmp_path / "model.bin")
    loaded = pyncnnq.load_model(tmp_path / "model.param", tmp_path / "model.bin")
    assert find_data(loaded, [tmp_path / "a.png"]).origins == ("config.json",)
    assert find_data(loaded.copy(), [tmp_path / "a.png"]).origins == ("config.json",)


def test_without_pyyaml(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    write(place, "metadata.yaml", "task: detect\nimgsz: 64\n")
    (note,) = found(place, InputOptions(preset="none")).metadata.notes
    assert note.startswith(str(place / "metadata.yaml"))
    assert "pip install 'pyncnnq[metadata]'" in note


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("metadata.yaml", BOMB, "line 2: has a reference"),
        ("metadata.yaml", "[" * 100 + "]" * 100, "nested too deeply"),
        ("metadata.yaml", "[1,2", "is not YAML"),
        ("metadata.yaml", "a: 2001-02-30", "is not YAML"),
        ("metadata.yaml", "!!python/object/apply:os.getcwd []", "is not YAML"),
        ("metadata.yaml", "- a\n" * 100_000, "more than 65,536 values"),
        ("metadata.yaml", "#" * (1 << 21), "is larger than"),
        ("config.json", "[" * 100 + "]" * 100, "nested too deeply"),
        ("config.json", "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("config.json", "9" * 5000, "is not JSON"),
        ("config.json", "[" + "1," * 200_000 + "1]", "more than 131,072 values"),
        ("config.json", " " * (1 << 22), "is larger than"),
    ],
)
def test_hostile_files_end_in_one_line(place: Path, name: str, text: str, problem: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    write(place, name, text)
    metadata = find_metadata(place / "model.param")
    assert metadata.inputs == ()
    (note,) = metadata.notes
    assert problem in note
    assert "\n" not in note
    assert len(note) < 500


def test_what_is_no_file(place: Path) -> None:
    (place / "config.json").mkdir()
    (place / "pipeline.json").symlink_to("nowhere")
    assert find_metadata(place / "model.param").notes == ()
