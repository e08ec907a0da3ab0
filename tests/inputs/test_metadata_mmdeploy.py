"""`pipeline.json` of mmdeploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from metadata_files import beside, check_values, described, only

NAME = "pipeline.json"
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
LOAD = {"type": "LoadImageFromFile", "backend_args": None}
RESIZE = {"type": "Resize", "keep_ratio": False, "size": [320, 320]}
KEEP = {**RESIZE, "keep_ratio": True}
LETTER = {"type": "LetterResize", "scale": [640, 384], "allow_scale_up": False, "use_mini_pad": False}
NORMALIZE = {"type": "Normalize", "to_rgb": True, "mean": MEAN, "std": STD}
REST = [{"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": ["img"], "meta_keys": ["img_shape"]}]


def pipeline(*transforms: Any) -> dict[str, Any]:
    preprocess = {
        "type": "Task",
        "module": "Transform",
        "name": "Preprocess",
        "input": ["img"],
        "output": ["prep_output"],
    }
    net = {"type": "Task", "module": "Net", "name": "rtmdet", "input_map": {"img": "input"}}
    tasks = [{**preprocess, "transforms": [LOAD, *transforms, *REST]}, net, {"type": "Task", "module": "mmdet"}]
    return {"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": tasks}}


@pytest.mark.parametrize(("to_rgb", "pixel"), [(True, "RGB"), (False, "BGR")])
def test_a_fixed_size(tmp_path: Path, to_rgb: bool, pixel: str) -> None:
    metadata = beside(tmp_path, NAME, pipeline(RESIZE, {**NORMALIZE, "to_rgb": to_rgb}))
    spec = described(metadata)
    assert (spec.size, spec.pixel, str(spec.resize), metadata.notes) == ((320, 320), pixel, "stretch", ())
    check_values(spec, scale=1, mean=MEAN, std=STD)


def test_classification(tmp_path: Path) -> None:
    """The shorter side, and then the centre."""
    shorter = {"type": "Resize", "keep_ratio": True, "size": [256, -1]}
    metadata = beside(tmp_path, NAME, pipeline(shorter, {"type": "CenterCrop", "crop_size": 224}, NORMALIZE))
    spec = described(metadata)
    assert (spec.size, str(spec.resize), metadata.notes) == ((224, 224), "short-side:256", ())


def test_grey(tmp_path: Path) -> None:
    document = pipeline(RESIZE, {**NORMALIZE, "mean": [127.5], "std": [127.5]})
    document["pipeline"]["tasks"][0]["transforms"][0] = {**LOAD, "color_type": "grayscale"}
    assert described(beside(tmp_path, NAME, document)).pixel == "GRAY"


@pytest.mark.parametrize(
    ("transforms", "size", "resize", "noted"),
    [
        ([KEEP, {"type": "Pad", "size": [320, 320]}], (320, 320), "letterbox", "right and below"),
        ([{**KEEP, "size": [640, 384]}, {"type": "Pad", "size": [384, 640]}], (640, 384), "letterbox", "right"),
        ([{**LETTER, "pad_val": {"img": 114}}], (640, 384), "letterbox", ""),
        ([LETTER], (640, 384), "letterbox", "border of 0"),
        ([{**KEEP, "size": [1333, 800]}, {"type": "Pad", "size_divisor": 32}], None, "letterbox", "1333,800"),
        ([KEEP, {"type": "Pad", "size_divisor": 32}], (320, 320), "letterbox", "right and below"),
        ([KEEP], (320, 320), "letterbox", "sizes differ"),
        ([{**RESIZE, "size": [640, 384]}], (640, 384), "stretch", "width, height"),
        ([RESIZE, {"type": "CenterCrop", "crop_size": [224, 192]}], (192, 224), "stretch", "CenterCrop"),
        ([{**RESIZE, "interpolation": "bicubic"}], (320, 320), "stretch", "bicubic"),
        ([RESIZE, {"type": "RandomFlip", "flip_ratio": 0.5}], (320, 320), "stretch", "RandomFlip"),
        ([{"type": "Resize", "keep_ratio": True, "size": [256, -1]}], None, None, "shorter side 256"),
        ([], None, None, ""),
    ],
)  # fmt: skip
def test_what_is_done_otherwise_is_noted(
    tmp_path: Path, transforms: list[Any], size: tuple[int, int] | None, resize: str | None, noted: str
) -> None:
    metadata = beside(tmp_path, NAME, pipeline(*transforms, NORMALIZE))
    row = only(metadata)
    assert (row.size, row.resize and str(row.resize)) == (size, resize)
    assert len(metadata.notes) == bool(noted)
    assert all(note.startswith(f"{NAME}: ") and noted in note for note in metadata.notes)


def test_without_numbers(tmp_path: Path) -> None:
    metadata = beside(tmp_path, NAME, pipeline(RESIZE))
    assert (only(metadata).mean, only(metadata).pixel, only(metadata).size) == (None, None, (320, 320))
    assert "does not normalize" in metadata.notes[0]


@pytest.mark.parametrize(
    "transform",
    [
        {**RESIZE, "size": []},
        {**RESIZE, "size": [0, 5]},
        {"type": "Resize"},
        {**NORMALIZE, "std": [1, 0, 1]},
        {**NORMALIZE, "mean": []},
        5,
        {"type": 5},
    ],
)
def test_values_that_make_no_sense(tmp_path: Path, transform: Any) -> None:
    metadata = beside(tmp_path, NAME, pipeline(transform))
    assert not metadata.inputs
    assert len(metadata.notes) == 1


@pytest.mark.parametrize("document", [{"pipeline": []}, {"pipeline": {"tasks": []}}, [1], {"stages": ["build"]}])
def test_pipelines_of_others(tmp_path: Path, document: Any) -> None:
    metadata = beside(tmp_path, NAME, document)
    assert (metadata.file, metadata.notes) == (None, ())
