"""The models that a command line names: two files, one of them, or a folder that holds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pyncnnq.errors import ModelError
from pyncnnq.inputs.image_suffixes import IMAGE_SUFFIXES
from pyncnnq.model.pair import INT8

_CONVERTED = "pyncnnq deploy {} IMAGES -o FOLDER makes an int8 model of it, pyncnnq convert {} a float one"
_BY_ONNX = "export it to ONNX; pyncnnq deploy and convert take that"

_OTHERS: dict[tuple[str, ...], tuple[str, str]] = {
    (".onnx",): ("an ONNX model", _CONVERTED),
    (".pt", ".pth", ".torchscript"): ("a file of PyTorch", f"if it is TorchScript, {_CONVERTED}"),
    (".ckpt", ".safetensors"): ("weights without a network", _BY_ONNX),
    (".tflite", ".pb", ".h5", ".keras"): ("a model of TensorFlow", f"tf2onnx makes ONNX of it: {_BY_ONNX}"),
    (".pdmodel", ".pdiparams"): ("a model of Paddle", f"paddle2onnx makes ONNX of it: {_BY_ONNX}"),
    (".caffemodel", ".prototxt"): ("a model of Caffe", "ncnn's caffe2ncnn makes a .param and a .bin of it"),
    (".cfg", ".weights"): ("a model of Darknet", "ncnn's darknet2ncnn makes a .param and a .bin of it"),
}
"""Models of other tools by the endings of their names: what they are, and what to do."""

_NO_WEIGHTS = (*IMAGE_SUFFIXES, ".npy", ".npz", ".txt", ".table", ".param")
"""Endings of what may follow a .param whose .bin is not named."""

_LISTED = 10


def take_model(arguments: Sequence[str], *, int8: bool = False, is_all: bool = False) -> tuple[list[Path], list[str]]:
    """Take the model off the front of a command line's arguments.

    A folder stands for the one model in it.  A .param alone stands for itself and the .bin of its name beside it, if
    what follows is none.

    Args:
        arguments: what is left of them.
        int8: of a folder that holds a float model and its int8 model, take the int8 model.
        is_all: nothing may follow the model.

    Returns:
        The model's two files, as far as they are there, and the other arguments.

    Raises:
        ModelError: a folder without a model or with several, or a model of another tool.
    """
    if not arguments:
        return [], []
    path, rest = Path(arguments[0]), list(arguments[1:])
    if _is_folder(path):
        return list(_only_model(path, int8=int8)), rest
    for endings, (kind, advice) in _OTHERS.items():
        if path.suffix.lower() in endings:
            raise ModelError(f"{path}: is {kind}, and not one of ncnn: {advice.replace('{}', path.name)}")
    beside = path.with_suffix(".bin")
    names_weights = bool(rest) and (is_all or _may_be_weights(rest[0]))
    if path.suffix == ".param" and not names_weights and _is_file(beside):
        return [path, beside], rest
    return [path, *map(Path, rest[:1])], rest[1:]


def _may_be_weights(argument: str) -> bool:
    path = Path(argument)
    return not ("=" in argument or path.suffix.lower() in _NO_WEIGHTS or _is_folder(path))


def _only_model(folder: Path, *, int8: bool) -> tuple[Path, Path]:
    """Return the files of the one model in a folder."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError as error:
        raise ModelError(f"{folder}: cannot read: {error.strerror}") from error
    stems = [name.removesuffix(".param") for name in names if name.endswith(".param")]
    stems = [stem for stem in stems if f"{stem}.bin" in names]
    made = [stem for stem in stems if stem.endswith(INT8) and stem.removesuffix(INT8) in stems]
    stems = made if int8 and made else [stem for stem in stems if stem not in made]
    if len(stems) == 1:
        return folder / f"{stems[0]}.param", folder / f"{stems[0]}.bin"
    if stems:
        listed = ", ".join(f"{stem}.param" for stem in stems[:_LISTED]) + ", ..." * (len(stems) > _LISTED)
        raise ModelError(f"{folder}: holds {len(stems)} models, {listed}: name the two files of one of them")
    others = [name for name in names if any(Path(name).suffix.lower() in endings for endings in _OTHERS)]
    found = f", but {', '.join(others[:_LISTED])}" if others else ""
    raise ModelError(f"{folder}: is a folder without a model of ncnn, NAME.param and NAME.bin{found}; name its files")


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - which never raises


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - which never raises
