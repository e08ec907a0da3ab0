"""`preprocessor_config.json` of transformers, in the forms of several generations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from metadata_files import beside, check_values, described, only

from pyncnnq.inputs.loading import load_image

NAME = "preprocessor_config.json"
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CLIP: dict[str, Any] = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": STD,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}
VIT: dict[str, Any] = {
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": 224,
}

DEIT = {"image_processor_type": "DeiTImageProcessor"}


def test_clip(tmp_path: Path) -> None:
    metadata = beside(tmp_path, NAME, CLIP)
    spec = described(metadata)
    assert (spec.size, spec.pixel, str(spec.resize)) == ((224, 224), "RGB", "short-side:256")
    check_values(spec, scale=1 / 255, mean=MEAN, std=STD)
    assert metadata.notes == (f"{NAME}: resizes by bicubic; here it is bilinear",)


def test_old_files_have_a_number_as_size(tmp_path: Path) -> None:
    """Of ViT it is the whole size; where something is cut out, the shorter side."""
    spec = described(beside(tmp_path, NAME, VIT))
    assert (spec.size, str(spec.resize)) == ((224, 224), "stretch")
    check_values(spec, scale=1 / 255, mean=[0.5] * 3, std=[0.5] * 3)
    old = {
        **VIT,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "do_center_crop": True,
        "crop_size": 224,
        "size": 240,
    }
    spec = described(beside(tmp_path, NAME, old))
    assert (spec.size, str(spec.resize)) == ((224, 224), "short-side:240")


def test_a_size_of_two_sides(tmp_path: Path) -> None:
    """RT-DETR: images are stretched, and not normalised."""
    detector = {"size": {"height": 360, "width": 640}, "do_normalize": False, "do_rescale": True, "do_pad": True}
    metadata = beside(tmp_path, NAME, detector | {"rescale_factor": 1 / 255, "image_mean": MEAN, "image_std": STD})
    spec = described(metadata)
    assert (spec.size, str(spec.resize), metadata.notes) == ((640, 360), "stretch", ())
    check_values(spec, scale=1 / 255, mean=[0] * 3, std=[1] * 3)


def test_pixels_that_are_not_rescaled(tmp_path: Path) -> None:
    mean, std = [123.0, 116.0, 103.0], [58.0, 57.0, 56.0]
    spec = described(beside(tmp_path, NAME, {**VIT, "do_rescale": False, "image_mean": mean, "image_std": std}))
    check_values(spec, scale=1, mean=mean, std=std)


def test_offsets_and_factors(tmp_path: Path) -> None:
    """EfficientNet: pixels from -1 to 1, and a second division by the deviation."""
    std = [0.47853944, 0.4732864, 0.47434163]
    efficient = {**VIT, "feature_extractor_type": None, "image_processor_type": "EfficientNetImageProcessor"}
    efficient |= {"image_std": std, "image_mean": [0.485, 0.456, 0.406], "include_top": True}
    spec = described(beside(tmp_path, NAME, efficient))
    check_values(spec, scale=1 / 255, mean=efficient["image_mean"], std=[value * value for value in std])
    spec = described(beside(tmp_path, NAME, efficient | {"rescale_offset": True, "rescale_factor": 1 / 127.5}))
    check_values(spec, scale=1 / 127.5, mean=[m + 1 for m in efficient["image_mean"]], std=[s * s for s in std])


@pytest.mark.parametrize(
    ("edge", "share", "resize"),
    [(224, None, "short-side:256"), (224, 0.9, "short-side:248"), (384, 0.9, "stretch")],
)
def test_convnext(tmp_path: Path, edge: int, share: float | None, resize: str) -> None:
    """The share that is kept counts below 384 pixels alone."""
    document = {
        **VIT,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": {"shortest_edge": edge},
        "crop_pct": share,
    }
    spec = described(beside(tmp_path, NAME, document))
    assert (spec.size, str(spec.resize)) == ((edge, edge), resize)


def test_levit(tmp_path: Path) -> None:
    """Its shorter side is 256/224 of what the file says."""
    document = {**CLIP, "image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 224}}
    assert str(described(beside(tmp_path, NAME, document)).resize) == "short-side:256"


def test_bgr_and_grey(tmp_path: Path) -> None:
    document = {
        **CLIP,
        "image_processor_type": "MobileViTImageProcessor",
        "do_flip_channel_order": True,
        "do_normalize": False,
    }
    assert described(beside(tmp_path, NAME, document)).pixel == "BGR"
    assert described(beside(tmp_path, NAME, {**VIT, "image_mean": [0.5], "image_std": [0.5]})).pixel == "GRAY"
    spec = described(beside(tmp_path, NAME, {**VIT, "image_mean": 0.5, "image_std": 0.25}))
    check_values(spec, scale=1 / 255, mean=[0.5] * 3, std=[0.25] * 3)


def test_processors_within_others(tmp_path: Path) -> None:
    for key in ("image_processor", "config"):
        spec = described(beside(tmp_path, NAME, {key: CLIP, "processor_class": "CLIPProcessor"}))
        assert spec.size == (224, 224)


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({"do_center_crop": False, "size": {"shortest_edge": 800, "longest_edge": 1333}}, "shorter side 800"),
        ({"do_center_crop": False, "size": 800, "max_size": 1333}, "shorter side 800"),
        ({"do_center_crop": False, "size": {"longest_edge": 1024}}, "longest_edge"),
        ({"do_center_crop": False, "size": None}, "states no size"),
    ],
)
def test_sizes_that_differ_are_not_read(tmp_path: Path, changes: dict[str, Any], noted: str) -> None:
    metadata = beside(tmp_path, NAME, {**CLIP, "resample": 2, **changes})
    assert only(metadata).size is None
    check_values(only(metadata), scale=1 / 255, mean=MEAN, std=STD)
    assert any(noted in note for note in metadata.notes)


@pytest.mark.parametrize(
    ("changes", "size", "resize", "noted"),
    [
        ({**DEIT, "size": {"height": 256, "width": 256}}, (224, 224), "short-side:256", "aspect ratio is kept"),
        ({**DEIT, "size": 256}, (224, 224), "short-side:256", "aspect ratio is kept"),
        ({"size": {"shortest_edge": 200}}, (224, 224), "short-side:224", "pads"),
        ({"do_resize": False}, (224, 224), None, "without resizing"),
        ({"resample": 0}, (224, 224), "short-side:256", "nearest"),
        ({"resample": "PIL.Image.BOX"}, (224, 224), "short-side:256", "box"),
        ({"do_thumbnail": True}, (224, 224), "short-side:256", "do_thumbnail"),
    ],
)  # fmt: skip
def test_what_is_done_otherwise_is_noted(
    tmp_path: Path, changes: dict[str, Any], size: tuple[int, int], resize: str | None, noted: str
) -> None:
    metadata = beside(tmp_path, NAME, {**CLIP, "resample": 2, **changes})
    row = only(metadata)
    assert (row.size, row.resize and str(row.resize)) == (size, resize)
    (note,) = metadata.notes
    assert note.startswith(f"{NAME}: ")
    assert noted in note


def test_numbers_that_stand_nowhere(tmp_path: Path) -> None:
    """Defaults differ by the kind of the processor."""
    document = {key: value for key, value in VIT.items() if key != "image_std"}
    metadata = beside(tmp_path, NAME, document)
    assert (only(metadata).mean, only(metadata).norm) == (None, None)
    assert "ViTFeatureExtractor" in metadata.notes[0]


SOUND = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "sampling_rate": 16000,
}


@pytest.mark.parametrize("document", [SOUND, {}, [], 1, {"model_type": "vit", "image_size": 224}])
def test_files_that_are_not_of_images(tmp_path: Path, document: Any) -> None:
    metadata = beside(tmp_path, NAME, document)
    assert (metadata.file, metadata.notes) == (None, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"image_std": [0, 1, 1]},
        {"image_std": [0.5, 0.5]},
        {"image_mean": "0.5"},
        {"image_mean": [1, 2, float("nan")]},
        {"rescale_factor": 0},
        {"size": {"shortest_edge": -1}},
        {"size": {"shortest_edge": 1 << 40}},
        {"do_resize": "true"},
        {"crop_size": {"height": 224}},
        {"size": {"height": 100, "width": 100}},
    ],
)
def test_values_that_make_no_sense(tmp_path: Path, changes: dict[str, Any]) -> None:
    metadata = beside(tmp_path, NAME, {**CLIP, **changes})
    assert not metadata.inputs
    (note,) = metadata.notes
    assert note.startswith(str(tmp_path / NAME))
    assert "\n" not in note


def test_an_image_becomes_what_transformers_make_of_it(tmp_path: Path) -> None:
    """A square image of twice the size: every four pixels are one, whatever the filter, and then a cut."""
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), small.repeat(2, axis=0).repeat(2, axis=1)[..., ::-1])
    document = {**CLIP, "resample": 2, "size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}}
    spec = described(beside(tmp_path, NAME, json.dumps(document)))
    found = np.array(load_image(tmp_path / "a.png", spec))
    cut = small[8:56, 8:56] * document["rescale_factor"]
    expected = (cut - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-5)
