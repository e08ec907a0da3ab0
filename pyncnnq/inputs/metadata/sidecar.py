"""The file of this package beside a model: MODEL.toml beside MODEL.param holds the preprocessing of its inputs.

It is a configuration file (`pyncnnq.inputs.config`) of `[[input]]` tables alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.files import Kind, check_replaced
from pyncnnq.inputs.config import read_config
from pyncnnq.inputs.metadata.description import Description

_HEAD = "# Preprocessing for "
_SUFFIX = ".toml"

SIDECAR = Kind("preprocessing of a model as pyncnnq writes it", lambda head: head.startswith(_HEAD.encode()))


def sidecar_path(param: Path) -> Path:
    """Return where the preprocessing of a model stands: beside its `.param`, as NAME.toml."""
    return param.with_suffix(_SUFFIX)


def sidecar_bytes(param: Path, inputs: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the preprocessing of a model as a file.

    Args:
        param: the model's file.
        inputs: how each input of the model is filled (`pyncnnq.inputs.data.CalibrationData.facts`).
    """
    lines = [f"{_HEAD}{_printable(param.name)}, written by pyncnnq: options of its commands count more.", ""]
    for facts in inputs:
        of_arrays = ": .npy arrays" * (facts["kind"] == "npy")
        lines += [f"[[input]]  # {_printable(facts['name'])}{of_arrays}", *_entries(facts), ""]
    return "\n".join(lines).encode()


def sidecar_contents(param: Path, inputs: Sequence[Mapping[str, Any]]) -> tuple[dict[Path, bytes], list[str]]:
    """Return what to write beside a model that is written, and a note where another file has that name.

    Args:
        param, inputs: see `sidecar_bytes`; nothing is written where no input takes images.
    """
    path = sidecar_path(param)
    if all(facts["kind"] == "npy" for facts in inputs):
        return {}, []
    try:
        check_replaced(path, SIDECAR)
    except PyncnnqError as error:
        return {}, [f"the preprocessing was not written: {error}"]
    return {path: sidecar_bytes(param, inputs)}, []


def read_sidecar(path: Path) -> Description:
    """Read the preprocessing of a model.

    Raises:
        InputError: the file is no configuration file, or says something else than what the inputs are.
    """
    settings = read_config(path)
    others = [field.name.replace("_", "-") for field in fields(settings) if field.name != "inputs"]
    found = [key for key in others if getattr(settings, key.replace("-", "_")) is not None]
    found += ["data"] * any(row.data is not None for row in settings.inputs)
    if found:
        raise InputError(
            f"{path}: {', '.join(found)}: a file beside a model says how images become its inputs, and nothing else; "
            "give such options in another file, by `config=`"
        )
    return Description(inputs=settings.inputs)


def _entries(facts: Mapping[str, Any]) -> list[str]:
    if facts["kind"] == "npy":
        return [f"shape = {list(facts['shape'][::-1])}"] if facts["shape"] else []
    lists = [f"{key} = {list(facts[key])}" for key in ("size", "mean", "norm")]
    return [*lists, *(f'{key} = "{facts[key]}"' for key in ("pixel", "resize"))]


def _printable(name: str) -> str:
    """Return a name as a comment may have it."""
    return name if name.isprintable() else ascii(name)[1:-1]
