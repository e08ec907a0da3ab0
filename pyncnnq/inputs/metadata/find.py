"""The files beside a model that say how images become its inputs, in the order in which they are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs.metadata.description import Description, Metadata
from pyncnnq.inputs.metadata.documents import read_json, read_yaml
from pyncnnq.inputs.metadata.hugging_face import read_hugging_face
from pyncnnq.inputs.metadata.mmdeploy import read_mmdeploy
from pyncnnq.inputs.metadata.paddle import read_paddle
from pyncnnq.inputs.metadata.sidecar import read_sidecar, sidecar_path
from pyncnnq.inputs.metadata.timm import read_timm
from pyncnnq.inputs.metadata.ultralytics import read_ultralytics
from pyncnnq.model.pair import INT8

FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Any], Description | None]]] = {
    "metadata.yaml": (read_yaml, read_ultralytics),
    "preprocessor_config.json": (read_json, read_hugging_face),
    "config.json": (read_json, read_timm),
    "inference.yml": (read_yaml, read_paddle),
    "pipeline.json": (read_json, read_mmdeploy),
}
"""How a file of each name is read, and what it says; files of other programs may have these names."""


def find_metadata(model: Path) -> Metadata:
    """Return what the first file beside a model says that says something.

    Own files come first (`pyncnnq.inputs.metadata.sidecar`), for an int8 model also those of the float model.  A file
    of others that cannot be understood is passed over, and a note says so.

    Args:
        model: the model's `.param`, or the file that it was converted from.

    Raises:
        InputError: a file of this package that is faulty.
    """
    for path in _own_files(model):
        if _is_file(path):
            return _metadata(path, read_sidecar(path), is_own=True)
    passed_over: list[str] = []
    for name, (load, read) in FORMATS.items():
        path = model.with_name(name)
        if not _is_file(path):
            continue
        try:
            said = read(load(path))
        except InputError as error:
            place = "" if error.message.startswith(f"{path}: ") else f"{path}: "
            passed_over.append(f"{place}{error.message}; nothing is taken from it")
            continue
        if said is not None:
            notes = (*passed_over, *(f"{name}: {note}" for note in said.notes))
            return _metadata(path, replace(said, notes=notes))
    return Metadata(notes=tuple(passed_over))


def _own_files(model: Path) -> list[Path]:
    names = [model]
    if model.stem.endswith(INT8) and model.stem != INT8:
        names.append(model.with_name(f"{model.stem.removesuffix(INT8)}.param"))
    return [sidecar_path(name) for name in names]


def _metadata(path: Path, said: Description, *, is_own: bool = False) -> Metadata:
    return Metadata(
        inputs=said.inputs, notes=said.notes, task=said.task, classes=said.classes, file=path, is_own=is_own
    )


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - which never raises
