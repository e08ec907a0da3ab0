"""`inference.yml` of PaddleOCR and PaddleX."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")
from metadata_files import beside, check_values, described, only

NAME = "inference.yml"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

DETECTION = """Global:
  model_name: PP-OCRv5_mobile_det
PreProcess:
  transform_ops:
  - DecodeImage:
      channel_first: false
      img_mode: BGR
  - DetLabelEncode: null
  - DetResizeForTest:
      resize_long: 960
  - NormalizeImage:
      mean:
      - 0.485
      - 0.456
      - 0.406
      order: hwc
      scale: 1./255.
      std:
      - 0.229
      - 0.224
      - 0.225
  - ToCHWImage: null
  - KeepKeys:
      keep_keys:
      - image
      - shape
PostProcess:
  name: DBPostProcess
  thresh: 0.3
"""
RECOGNITION = """Global:
  model_name: PP-OCRv5_mobile_rec
PreProcess:
  transform_ops:
  - DecodeImage:
      channel_first: false
      img_mode: BGR
  - MultiLabelEncode:
      gtc_encode: NRTRLabelEncode
  - RecResizeImg:
      image_shape:
      - 3
      - 48
      - 320
  - KeepKeys:
      keep_keys:
      - image
PostProcess:
  name: CTCLabelDecode
  character_dict:
  - a
  - '!'
  - ''''
  - "\\u4E2D"
  - 7
"""
CLASSIFICATION = """Global:
  model_name: PP-LCNet_x1_0
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 256
  - CropImage:
      size: 224
  - NormalizeImage:
      channel_num: 3
      mean: [0.485, 0.456, 0.406]
      order: ''
      scale: 0.00392156862745098
      std: [0.229, 0.224, 0.225]
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 5
    label_list:
    - tench
    - goldfish
"""


def test_detection(tmp_path: Path) -> None:
    """Pages keep their aspect ratio there, so that no size is stated."""
    metadata = beside(tmp_path, NAME, DETECTION)
    row = only(metadata)
    assert (row.size, row.pixel, str(row.resize)) == (None, "BGR", "stretch")
    check_values(row, scale=1 / 255, mean=MEAN, std=STD)
    (note,) = metadata.notes
    assert "resize_long 960" in note
    assert metadata.task == "DBPostProcess"


def test_detection_of_a_fixed_size(tmp_path: Path) -> None:
    metadata = beside(tmp_path, NAME, DETECTION.replace("resize_long: 960", "image_shape: [736, 1280]"))
    assert (described(metadata).size, metadata.notes) == ((1280, 736), ())


def test_recognition(tmp_path: Path) -> None:
    """The operator that resizes normalises too, to [-1, 1]."""
    metadata = beside(tmp_path, NAME, RECOGNITION)
    spec = described(metadata)
    assert (spec.size, spec.pixel, str(spec.resize)) == ((320, 48), "BGR", "stretch")
    check_values(spec, scale=1 / 255, mean=[0.5] * 3, std=[0.5] * 3)
    assert metadata.classes == ("a", "!", "'", "\u4e2d", "7")
    assert "RecResizeImg keeps the aspect ratio" in metadata.notes[0]


def test_classification(tmp_path: Path) -> None:
    metadata = beside(tmp_path, NAME, CLASSIFICATION)
    spec = described(metadata)
    assert (spec.size, spec.pixel, str(spec.resize)) == ((224, 224), "RGB", "short-side:256")
    check_values(spec, scale=1 / 255, mean=MEAN, std=STD)
    assert (metadata.classes, metadata.notes) == (("tench", "goldfish"), ())


def test_lines_that_are_turned(tmp_path: Path) -> None:
    """PP-LCNet_x0_25_textline_ori: width, height."""
    text = CLASSIFICATION.replace("resize_short: 256", "size: [160, 80]").replace(
        "  - CropImage:\n      size: 224\n", ""
    )
    spec = described(beside(tmp_path, NAME, text))
    assert (spec.size, str(spec.resize)) == ((160, 80), "stretch")


@pytest.mark.parametrize(
    "scale", ["1./255.", "1.0/255.0", "1/255", "0.00392156862745098", "'0.00392156862745098'", "null"]
)
def test_scales(tmp_path: Path, scale: str) -> None:
    """They are numbers, or texts that Paddle evaluates."""
    row = only(beside(tmp_path, NAME, DETECTION.replace("1./255.", scale)))
    check_values(row, scale=1 / 255, mean=MEAN, std=STD)


@pytest.mark.parametrize(
    ("text", "line", "broken", "problem"),
    [
        (DETECTION, "1./255.", "__import__('os')", "__import__"),
        (DETECTION, "1./255.", "1/0", "1/0"),
        (DETECTION, "img_mode: BGR", "img_mode: GRAY", "GRAY"),
        (RECOGNITION, "      - 3\n", "      - 1\n", "1 channels"),
        (CLASSIFICATION, "std: [0.229, 0.224, 0.225]", "std: [0, 0, 0]", "std"),
        (CLASSIFICATION, "  - ResizeImage:\n      resize_short: 256\n", "  - {a: 1, b: 2}\n", "transform_ops"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, text: str, line: str, broken: str, problem: str) -> None:
    metadata = beside(tmp_path, NAME, text.replace(line, broken))
    assert not metadata.inputs
    (note,) = metadata.notes
    assert problem in note


def test_operators_that_are_not_done_are_named(tmp_path: Path) -> None:
    text = CLASSIFICATION.replace("  - ToCHWImage: null\n", "  - RandFlipImage:\n      flip_code: 1\n  - ToCHWImage\n")
    assert beside(tmp_path, NAME, text).notes == (f"{NAME}: RandFlipImage is not done here",)


def test_without_numbers(tmp_path: Path) -> None:
    head, _ = CLASSIFICATION.split("  - NormalizeImage")
    metadata = beside(tmp_path, NAME, head)
    assert (only(metadata).mean, only(metadata).size) == (None, (224, 224))
    assert "does not normalize" in metadata.notes[0]


@pytest.mark.parametrize("text", ["mode: paddle\ndraw_threshold: 0.5\n", "- a", "PreProcess: 1"])
def test_other_files_of_that_name(tmp_path: Path, text: str) -> None:
    metadata = beside(tmp_path, NAME, text)
    assert (metadata.file, metadata.notes) == (None, ())
