"""The models that `models.json` of the shared folder describes, with the photographs to calibrate on and to judge
by."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq import InputOptions, Model, load_model
from pyncnnq.compare.parts import parts_of
from pyncnnq.inputs import Resize


@dataclass(frozen=True)
class DescribedModel:
    """A float model and its data.

    Attributes:
        name: that of its files.
        model: as read from them; it has one input.
        options: the preprocessing of photographs.
        outputs: the blobs that int8 is judged by.
        logits: the inputs of those outputs that a Softmax or a Sigmoid writes: they show errors that it hides.
        calib, eval: folders of photographs.
        classes: the names of the classes, by index; none where the model is no classifier.
    """

    name: str
    model: Model
    options: InputOptions
    outputs: tuple[str, ...]
    logits: tuple[str, ...]
    calib: Path
    eval: Path
    classes: tuple[str, ...]

    def label(self, photograph: Path) -> int:
        """The class of a photograph of `eval`: that of its folder, or else the first word of its name."""
        folder = photograph.parent.name
        return self.classes.index(folder if folder in self.classes else photograph.name.split("_")[0])


def names(shared: Path) -> list[str]:
    """The described models whose files are there."""
    return [name for name in _descriptions(shared) if (shared / f"models/{name}.param").exists()]


def read(shared: Path, name: str) -> DescribedModel:
    """A model of `shared/models/models.json`."""
    description = _descriptions(shared)[name]
    model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
    (preprocessing,) = description["inputs"].values()
    short_side = re.match(r"short-side (\d+)", preprocessing["resize"])
    resize = Resize("short-side", int(short_side[1])) if short_side else Resize()
    options = InputOptions(resize=resize, **{key: preprocessing[key] for key in ("size", "mean", "norm", "pixel")})
    outputs = tuple(description["outputs"])
    parts = [part.name for part in parts_of(model)]
    logits = tuple(name for name in parts if name not in outputs)
    data = shared / "data" / ("cifar10" if "CIFAR-10" in description["task"] else "imagenet")
    classes = _classes(data) if "classification" in description["task"] else ()
    return DescribedModel(name, model, options, outputs, logits, data / "calib", data / "eval", classes)


def _descriptions(shared: Path) -> dict[str, Any]:
    described = json.loads((shared / "models/models.json").read_text())
    return {name: one for name, one in described.items() if isinstance(one, dict)}


def _classes(data: Path) -> tuple[str, ...]:
    listed = data / "wnids.txt"
    if listed.exists():
        return tuple(listed.read_text().split())
    return tuple(sorted(folder.name for folder in (data / "eval").iterdir()))
