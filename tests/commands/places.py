"""Folders with every kind of file that a command reads, for tests of what it may write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx_models import node, weights, write_onnx

import pyncnnq
from pyncnnq.demo import DEMO

OPTIONS = pyncnnq.InputOptions(preset="none")


def make_place(folder: Path) -> Path:
    """Fill a folder; many files have names that commands write, such as `labels.json` for a list of labels."""
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(sorted(DEMO.images.iterdir())[:4]):
        shutil.copy(image, folder / f"images/{number}.png")
    shutil.copy(DEMO.param, folder / "net.param")
    shutil.copy(DEMO.bin, folder / "weights.bin")
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    table = pyncnnq.calibrate(
        model, sorted((folder / "images").iterdir()), options=OPTIONS, workers=1, fuse=False
    ).table
    (folder / "scales.json").write_text(table.text())
    pyncnnq.quantize(model, table, fuse=False).save(folder / "int8.param", folder / "int8.bin")
    np.save(folder / "array.npy", np.ones((3, 64, 64), np.float32))
    for name in ("photo.jpg", "sample.bin"):
        shutil.copy(folder / "images/0.png", folder / name)
    (folder / "listed.bin").write_text("images/1.png\nsample.bin\n" * 2)
    (folder / "many.json").write_text("images/1.png\n" * 4)
    for name in ("config.json", "config.bin"):
        (folder / name).write_text("[[input]]\ndata = ['photo.jpg']\n")
    (folder / "labels.json").write_text("".join(f"{name}\n" for name in DEMO.classes))
    (folder / "metric.py").write_text("def score(outputs, paths):\n    return 1.0\n")
    for name in ("weighted.onnx", "model.bin", "model.table"):
        save_onnx(folder / name)
    return folder


def save_onnx(path: Path) -> None:
    """Write an ONNX model whose weights are in weighted.bin."""
    write_onnx(
        path, [node("Conv", "x w", "y", pads=[1, 1, 1, 1])], {"x": [1, 3, 8, 8]}, {"y": [1, 4, 8, 8]},
        weights(w=[4, 3, 3, 3]),
    )  # fmt: skip
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weighted.bin", size_threshold=0)


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in each file."""
    return {
        os.path.relpath(path, folder): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
