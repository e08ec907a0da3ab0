"""`metadata.yaml` of Ultralytics."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")
from metadata_files import beside, check_values, described, only

DETECT = """description: Ultralytics YOLO11n model trained on /usr/src/ultralytics/ultralytics/cfg/datasets/coco.yaml
author: Ultralytics
date: '2025-10-14T10:47:03.453225'
version: 8.3.203
license: AGPL-3.0 License (https://ultralytics.com/license)
docs: https://docs.ultralytics.com
stride: 32
task: detect
batch: 1
imgsz:
- 384
- 640
names:
  0: person
  1: traffic light
  2: 'no'
args:
  batch: 1
  half: false
channels: 3
"""


def test_detection(tmp_path: Path) -> None:
    """The size is height, width; images are letterboxed, RGB from 0 to 1."""
    metadata = beside(tmp_path, "metadata.yaml", DETECT)
    spec = described(metadata)
    assert (spec.size, spec.pixel, str(spec.resize)) == ((640, 384), "RGB", "letterbox")
    check_values(spec, scale=1 / 255, mean=[0] * 3, std=[1] * 3)
    assert (metadata.task, metadata.classes) == ("detect", ("person", "traffic light", "no"))
    assert (metadata.file, metadata.notes) == (tmp_path / "metadata.yaml", ())


def test_older_files_say_nothing_of_channels(tmp_path: Path) -> None:
    assert described(beside(tmp_path, "metadata.yaml", DETECT.replace("channels: 3\n", ""))).pixel == "RGB"


def test_grey(tmp_path: Path) -> None:
    spec = described(beside(tmp_path, "metadata.yaml", DETECT.replace("channels: 3", "channels: 1")))
    assert (spec.pixel, len(spec.mean)) == ("GRAY", 1)


def test_images_have_no_more_channels(tmp_path: Path) -> None:
    metadata = beside(tmp_path, "metadata.yaml", DETECT.replace("channels: 3", "channels: 10"))
    assert not metadata.inputs
    assert "channels: 10" in metadata.notes[0]


@pytest.mark.parametrize(
    ("size", "resize"), [("[224, 224]", "short-side:224"), ("[192, 224]", "stretch"), ("224", "short-side:224")]
)
def test_classification_takes_the_centre(tmp_path: Path, size: str, resize: str) -> None:
    text = DETECT.replace("task: detect", "task: classify").replace("imgsz:\n- 384\n- 640", f"imgsz: {size}")
    spec = described(beside(tmp_path, "metadata.yaml", text))
    assert spec.size[0] == 224
    assert str(spec.resize) == resize


@pytest.mark.parametrize("text", ["{}", "[1]", "names: {0: a}\nstride: 32", "task: detect", "1", ""])
def test_other_files_of_that_name(tmp_path: Path, text: str) -> None:
    metadata = beside(tmp_path, "metadata.yaml", text)
    assert (metadata.file, metadata.inputs, metadata.notes) == (None, (), ())


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("- 384\n", "- 384.5\n"),
        ("- 384\n", ""),
        ("- 384\n", "- -1\n"),
        ("task: detect", "task: [detect]"),
        ("  0: person", "  a: person"),
        ("channels: 3", "channels: yes"),
    ],
)
def test_values_that_ultralytics_does_not_write(tmp_path: Path, line: str, broken: str) -> None:
    metadata = beside(tmp_path, "metadata.yaml", DETECT.replace(line, broken))
    assert not metadata.inputs
    (note,) = metadata.notes
    assert note.startswith(f"{tmp_path / 'metadata.yaml'}: ")
    assert "expected" in note
    assert "\n" not in note


def test_a_name_for_each_row(tmp_path: Path) -> None:
    """Numbers and not their texts order the names, and a list will do."""
    numbered = "".join(f"  {number}: c{number}\n" for number in reversed(range(12)))
    head, tail = DETECT.split("  0: person")[0], "channels: 3\n"
    assert beside(tmp_path, "metadata.yaml", head + numbered + tail).classes == tuple(f"c{n}" for n in range(12))
    assert beside(tmp_path, "metadata.yaml", head.replace("names:", "names: [a, b]") + tail).classes == ("a", "b")
    assert only(beside(tmp_path, "metadata.yaml", DETECT)).size == (640, 384)
