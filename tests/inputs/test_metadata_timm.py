"""`config.json` of timm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from metadata_files import beside, check_values, described

NAME = "config.json"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PRETRAINED: dict[str, Any] = {
    "tag": "a1_in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "test_input_size": [3, 288, 288],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "test_crop_pct": 1.0,
    "crop_mode": "center",
    "mean": MEAN,
    "std": STD,
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv1",
    "classifier": "fc",
}
CONFIG = {"architecture": "resnet18", "num_classes": 1000, "num_features": 512, "pretrained_cfg": PRETRAINED}


def config(**changes: Any) -> dict[str, Any]:
    return {**CONFIG, "pretrained_cfg": {**PRETRAINED, "interpolation": "bilinear", **changes}}


@pytest.mark.parametrize("share", [0.95, 0.875, 0.9, 1.0])
def test_the_centre_of_a_larger_image(tmp_path: Path, share: float) -> None:
    metadata = beside(tmp_path, NAME, config(crop_pct=share))
    spec = described(metadata)
    assert (spec.size, spec.pixel, metadata.notes) == ((224, 224), "RGB", ())
    assert str(spec.resize) == f"short-side:{math.floor(224 / share)}"
    check_values(spec, scale=1 / 255, mean=MEAN, std=STD)


def test_older_files_are_flat(tmp_path: Path) -> None:
    """What they leave out are timm's defaults: ImageNet's numbers, 0.875, bicubic."""
    metadata = beside(tmp_path, NAME, {"architecture": "resnet10t", "input_size": [3, 176, 176]})
    spec = described(metadata)
    assert (spec.size, str(spec.resize)) == ((176, 176), "short-side:201")
    check_values(spec, scale=1 / 255, mean=MEAN, std=STD)
    assert metadata.notes == (f"{NAME}: resizes by bicubic; here it is bilinear",)


def test_one_channel(tmp_path: Path) -> None:
    spec = described(beside(tmp_path, NAME, config(input_size=[1, 32, 32], mean=[0.5], std=[0.25])))
    assert spec.pixel == "GRAY"
    check_values(spec, scale=1 / 255, mean=[0.5], std=[0.25])


def test_names_of_classes(tmp_path: Path) -> None:
    assert beside(tmp_path, NAME, {**config(), "label_names": ["cat", "dog"]}).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("changes", "resize", "noted"),
    [
        ({"crop_mode": "squash", "crop_pct": 1.0}, "stretch", ""),
        ({"crop_mode": "squash"}, "stretch", "95.0%"),
        ({"crop_mode": "border"}, "letterbox", "border"),
        ({"input_size": [3, 128, 256], "crop_pct": 1.0}, "short-side:256", "256,128"),
        ({"interpolation": "lanczos"}, "short-side:235", "lanczos"),
    ],
)
def test_other_ways_to_fit(tmp_path: Path, changes: dict[str, Any], resize: str, noted: str) -> None:
    metadata = beside(tmp_path, NAME, config(**changes))
    assert str(described(metadata).resize) == resize
    assert len(metadata.notes) == bool(noted)
    assert all(noted in note for note in metadata.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_pct": 0.001 - 1},
        {"crop_pct": 1.5},
        {"crop_mode": "random"},
        {"std": [0, 0, 0]},
        {"input_size": [224, 224]},
    ],
)
def test_values_that_make_no_sense(tmp_path: Path, changes: dict[str, Any]) -> None:
    metadata = beside(tmp_path, NAME, config(**changes))
    assert not metadata.inputs
    assert len(metadata.notes) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"model_type": "vit", "architectures": ["ViT"], "image_size": 224},
        {"architecture": "x86"},
        [CONFIG],
        {"mean": MEAN},
    ],
)
def test_configurations_of_others(tmp_path: Path, document: Any) -> None:
    metadata = beside(tmp_path, NAME, document)
    assert (metadata.file, metadata.notes) == (None, ())
