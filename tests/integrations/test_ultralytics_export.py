"""From a float export of Ultralytics to an int8 one, and from the batches of a loader to samples."""

from __future__ import annotations

import shutil
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.integrations import ultralytics
from pyncnnq.integrations.torch import _save_samples

METADATA = """description: a made classifier
task: classify
stride: 1
imgsz:
- 64
- 64
names:
  0: circle
  1: square
  2: triangle
  3: star
  4: cross
  5: heart
  6: ring
  7: moon
"""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder as `model.export(format="ncnn")` writes it, with the program that it leaves there."""
    folder = tmp_path / "shapes_ncnn_model"
    folder.mkdir()
    shutil.copy(DEMO.param, folder / "model.ncnn.param")
    shutil.copy(DEMO.bin, folder / "model.ncnn.bin")
    (folder / "metadata.yaml").write_text(METADATA)
    (folder / "model_ncnn.py").touch()
    return folder


def test_a_folder_becomes_an_int8_folder_that_ultralytics_reads(exported: Path) -> None:
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    result = ultralytics.quantize_folder(exported, DEMO.images, samples=16, workers=1, recipe="fast")
    assert result.folder == exported.with_name("shapes_int8_ncnn_model")
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    names = {path.name for path in result.folder.iterdir()}
    assert names == {"model.ncnn.param", "model.ncnn.bin", "model.ncnn.json", "metadata.yaml", "report.html"}
    assert (result.folder / "metadata.yaml").read_text() == METADATA
    int8 = pyncnnq.load_model(result.folder / "model.ncnn.param", result.folder / "model.ncnn.bin")
    assert (int8.inputs, int8.outputs) == (["in0"], ["out0"])  # by which Ultralytics runs it
    # Judged by the files that were written, as Ultralytics prepares images (RGB, divided by 255), and not as the demo
    # does; on samples that were not calibrated on.
    assert result.optimized.statistics.samples + len(result.evaluation.samples) == 16
    again = pyncnnq.evaluate(
        pyncnnq.load_model(exported / "model.ncnn.param", exported / "model.ncnn.bin"),
        int8,
        [sample.path for sample in result.evaluation.samples],
        options=pyncnnq.InputOptions(preset="zero-one", size=(64, 64)),
        workers=1,
    )
    assert again.worst_sqnr == result.evaluation.worst_sqnr > 10
    assert f"{result.evaluation.worst_sqnr:.2f} dB" in result._repr_html_()


def test_a_yolo_is_exported_and_quantized_on_its_data_set(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Yolo:
        task = "classify"

        def export(self, **options: Any) -> str:
            asked.append(options)
            return str(exported)

    def check_cls_dataset(data: str) -> dict[str, Any]:
        asked.append(data)
        return {"train": "others", "val": DEMO.images}

    utils, data, package = (
        types.ModuleType(name) for name in ("ultralytics.data.utils", "ultralytics.data", "ultralytics")
    )
    utils.check_cls_dataset = check_cls_dataset  # type: ignore[attr-defined]
    data.utils = utils  # type: ignore[attr-defined]
    package.__spec__ = ModuleSpec("ultralytics", None)
    for module in (package, data, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    taken: list[Any] = []
    monkeypatch.setattr(ultralytics, "quantize_folder", lambda *given, **_: taken.append(given))
    ultralytics.export(Yolo(), data="shapes", imgsz=64)
    assert asked == ["shapes", {"format": "ncnn", "imgsz": 64}]
    assert taken == [(str(exported), [str(DEMO.images)])]


def test_what_is_no_export_is_refused_before_any_work(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(PyncnnqError, match=r"model\.ncnn\.param"):  # the float model would be lost
        ultralytics.quantize_folder(exported, DEMO.images, output=exported)
    (exported / "metadata.yaml").unlink()
    with pytest.raises(ModelError, match=r"shapes_ncnn_model: holds no metadata\.yaml"):
        ultralytics.quantize_folder(exported, DEMO.images)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes_ncnn_model"]


def test_batches_of_a_loader_become_samples(tmp_path: Path) -> None:
    batches = [(np.full((4, 3, 2, 2), batch, np.float32), "labels") for batch in range(3)]
    assert _save_samples(batches, tmp_path, 6) == (3, 2, 2)
    assert [float(np.load(file).mean()) for file in sorted(tmp_path.iterdir())] == [0, 0, 0, 0, 1, 1]
    with pytest.raises(InputError, match="2 shapes"):
        _save_samples([np.zeros((1, 2)), np.zeros((1, 3))], tmp_path, 9)
    with pytest.raises(InputError, match="0 shapes"):
        _save_samples([], tmp_path, 9)
