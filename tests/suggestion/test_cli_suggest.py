"""Preprocessing that is found out, on the command line: gone on with where it is certain, refused where it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Cli
from numpy.typing import NDArray
from random_weights import fill
from small_models import convolution, inner_product, model_of, plain

import pyncnnq
from pyncnnq.commands import data_request
from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import DataOptions, OutputOptions
from pyncnnq.demo import DEMO
from pyncnnq.inputs import PRESETS
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.report.suggestion import told

SIZE = 64


def _photographs(folder: Path, count: int = 12) -> list[NDArray[np.uint8]]:
    """Images with colours that are not the same for red and blue, as photographs have."""
    folder.mkdir()
    images = []
    for path in sorted(DEMO.images.iterdir())[:: 48 // count]:
        image = cv2.imread(str(path))
        image = (image * np.array([0.5, 0.8, 1.0])).astype(np.uint8)
        cv2.imwrite(str(folder / path.name), image)
        images.append(image)
    return images


def _convolved(layer: Layer, values: NDArray[np.float64], kernel: int) -> NDArray[np.float64]:
    """The convolution of an image (channels, height, width), without padding, by its definition."""
    weights = layer.weights["weight_data"].float32().reshape(-1, len(values), kernel, kernel)
    windows = np.lib.stride_tricks.sliding_window_view(values, (kernel, kernel), axis=(1, 2))
    bias = layer.weights["bias_data"].float32()
    return np.einsum("ockl,chwkl->ohw", weights, windows) + bias[:, None, None]


def _remembering(preset: str, images: Sequence[NDArray[np.uint8]]) -> Model:
    """A model whose BatchNorm has the moments that its input has under a preset."""
    rng = np.random.default_rng(3)
    first = convolution(rng, "conv", "in0", 3, 16, 3)
    chosen = PRESETS[preset]
    order = [2, 1, 0] if chosen.pixel == "RGB" else [0, 1, 2]
    mean, norm = (np.array(values).reshape(-1, 1, 1) for values in (chosen.mean, chosen.norm))
    blobs = [_convolved(first, (image[:, :, order].transpose(2, 0, 1) - mean) * norm, 3) for image in images]
    values = np.concatenate([blob.reshape(16, -1) for blob in blobs], axis=1)
    arrays = {
        "slope_data": np.ones(16),
        "mean_data": values.mean(1),
        "var_data": values.var(1),
        "bias_data": np.zeros(16),
    }
    stored = {name: Weight.raw(name, array) for name, array in arrays.items()}
    norm_layer = Layer("BatchNorm", "bn", ["conv"], ["bn"], Params(" 0=16 1=0.0"), stored)
    pooled = plain("Pooling", "pool", "bn", text=" 0=1 4=1")
    return model_of(first, norm_layer, pooled, inner_product(rng, "logits", "pool", 16, 5), shape=(3, SIZE, SIZE))


def _saved(model: Model, folder: Path) -> tuple[Path, Path]:
    files = folder / "model.param", folder / "model.bin"
    model.save(*files)
    return files


@pytest.mark.parametrize("preset", ["mobilenet-ssd", "imagenet-caffe"])
def test_calibrate_goes_on_with_what_a_batch_norm_remembers(tmp_path: Path, cli: Cli, preset: str) -> None:
    images = _photographs(tmp_path / "images")
    files = _saved(_remembering(preset, images), tmp_path)
    table, expected = tmp_path / "found.table", tmp_path / "expected.table"
    done = cli("calibrate", *files, tmp_path / "images", "-o", table)
    assert done.returncode == 0, done.stderr
    assert "BatchNorm" in done.stderr
    assert f"add --preset {preset} --size 64,64" in done.stderr
    fitted = cli("calibrate", *files, tmp_path / "images", "-o", expected, "--preset", preset, "--resize", "stretch")
    assert fitted.returncode == 0, fitted.stderr
    scales = [pyncnnq.Table.read(path)["logits"] for path in (table, expected)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-6)


def test_random_weights_are_refused_with_the_ranking_and_what_to_type(tmp_path: Path, cli: Cli) -> None:
    _photographs(tmp_path / "images")
    rng = np.random.default_rng(0)
    model = model_of(
        convolution(rng, "conv", "in0", 3, 8, 3, text=" 9=1"),
        plain("Pooling", "pool", "conv", text=" 0=1 4=1"),
        inner_product(rng, "logits", "pool", 8, 10),
        shape=(3, SIZE, SIZE),
    )
    files = _saved(model, tmp_path)
    done = cli("calibrate", *files, tmp_path / "images", "-o", tmp_path / "t.table")
    assert done.returncode == 2
    assert not (tmp_path / "t.table").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: input 'in0': mean, norm, pixel not given")
    first = re.search(r"likeliest: --(.*?) \(", line)
    assert first is not None
    assert f"add --{first[1]} (pyncnnq suggest" in line
    again = cli("calibrate", *files, tmp_path / "images", "-o", tmp_path / "t.table", *f"--{first[1]}".split())
    assert again.returncode == 0, again.stderr


def test_a_network_is_not_recognized_on_noise(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        cv2.imwrite(str(tmp_path / "noise" / f"{number}.png"), rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    assert not pyncnnq.suggest(model, tmp_path / "noise").decisive


def test_suggest_ranks_all_that_was_not_said(tmp_path: Path, cli: Cli) -> None:
    images = _photographs(tmp_path / "images")
    files = _saved(_remembering("tf", images), tmp_path)
    facts = json.loads(cli("suggest", *files, tmp_path / "images", "--json").stdout)
    assert facts["decisive"] is True
    assert facts["ranking"][0]["presets"][:2] == ["tf", "efficientnet-lite"]
    assert facts["ranking"][0]["size"] == [64, 64]
    assert facts["command"].endswith("--preset tf --size 64,64")
    evidence = [each["evidence"] for each in facts["ranking"] if each["images"] == facts["ranking"][0]["images"]]
    assert evidence == sorted(evidence, reverse=True)
    facts = json.loads(cli("suggest", *files, tmp_path / "images", "--pixel", "BGR", "--json").stdout)
    assert {each["pixel"] for each in facts["ranking"]} == {"BGR"}
    printed = cli("suggest", *files, tmp_path / "images").stdout
    assert len([line for line in printed.splitlines() if "evidence" in line]) > 5


def test_suggest_warns_of_what_the_evidence_contradicts(tmp_path: Path, cli: Cli) -> None:
    images = _photographs(tmp_path / "images")
    files = _saved(_remembering("tf", images), tmp_path)
    done = cli("suggest", *files, tmp_path / "images", "--preset", "none")
    assert re.search(r"warning: the model's answers contradict --preset none .*; likelier: --preset tf", done.stderr)
    assert re.search(r"--preset none .*given", done.stdout)
    agreed = cli("suggest", *files, tmp_path / "images", "--preset", "tf")
    assert "warning" not in agreed.stderr
    assert re.search(r"1\. .*--preset tf .*given", agreed.stdout)


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    images = _photographs(tmp_path / "images")
    model = pyncnnq.load_model(*_saved(_remembering("nanodet", images), tmp_path))
    one, three = (pyncnnq.suggest(model, tmp_path / "images", workers=workers) for workers in (1, 3))
    assert one == three


def test_nothing_is_run_where_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(data_request, "detect", fail)
    nothing = dict.fromkeys(("mean", "norm", "size", "pixel", "resize"), ())
    options = DataOptions(preset=("tf",), **nothing, config=None, samples=None, workers=1, strict=False, synthetic=None)
    request = DataRequest.read([str(DEMO.images)], options, OutputOptions(quiet=True, as_json=False))
    data = request.find(pyncnnq.load_model(DEMO.param, DEMO.bin))
    assert data.inputs[0].size == (64, 64)  # type: ignore[union-attr]


def test_python_names_suggest_where_options_are_missing() -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    with pytest.raises(pyncnnq.InputError, match=r"pyncnnq\.suggest"):
        pyncnnq.calibrate(model, DEMO.images)


def test_a_model_of_two_images_is_refused(tmp_path: Path, cli: Cli) -> None:
    _photographs(tmp_path / "images")
    text = "7767517\n3 3\nInput a 0 1 a 0=64 1=64 2=3\nInput b 0 1 b 0=64 1=64 2=3\nBinaryOp c 2 1 a b c 0=0\n"
    (tmp_path / "m.param").write_text(text)
    (tmp_path / "m.bin").write_bytes(b"")
    done = cli("suggest", tmp_path / "m.param", tmp_path / "m.bin", tmp_path / "images", tmp_path / "images")
    assert done.returncode == 2
    assert "2 inputs take images" in done.stderr


def test_a_model_of_any_size_gets_that_of_its_images_or_a_usual_one(tmp_path: Path) -> None:
    _photographs(tmp_path / "images")
    rng = np.random.default_rng(0)
    model = model_of(
        convolution(rng, "conv", "in0", 3, 8, 3, text=" 9=1"),
        plain("Pooling", "pool", "conv", text=" 0=1 4=1"),
        inner_product(rng, "logits", "pool", 8, 10),
        shape=(),
    )
    fill(model, rng)
    files = _saved(model, tmp_path)
    found = pyncnnq.suggest(pyncnnq.load_model(*files), tmp_path / "images")
    assert found.best.preprocessing.size == (64, 64)
    image = cv2.imread(str(next((tmp_path / "images").iterdir())))
    cv2.imwrite(str(tmp_path / "images" / "other.png"), cv2.resize(image, (100, 80)))
    found = pyncnnq.suggest(pyncnnq.load_model(*files), tmp_path / "images")
    assert found.best.preprocessing.size == (224, 224)


@pytest.mark.parametrize(
    ("model", "images", "preset"),
    [
        ("squeezenet_v1.1", "imagenet", "imagenet-caffe"),
        ("efficientnet_lite0.ncnn", "imagenet", "efficientnet-lite"),
        ("resnet18_cifar10.ncnn", "cifar10", "cifar10"),
    ],
)
def test_classifiers_are_recognized(shared: Path, model: str, images: str, preset: str) -> None:
    files = (shared / "models" / f"{model}.{suffix}" for suffix in ("param", "bin"))
    found = pyncnnq.suggest(pyncnnq.load_model(*files), shared / "data" / images / "calib")
    assert found.decisive
    assert preset in found.best.names
    assert found.best.preprocessing.pixel == PRESETS[preset].pixel
    # ImageNet's numbers answer as CIFAR's do on small images, so the line names both.
    assert ("--preset imagenet-torch" in told(found)) == (preset == "cifar10")
