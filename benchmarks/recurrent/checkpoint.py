"""Tensors from a checkpoint as old versions of PyTorch wrote them, without PyTorch.

The file is a row of pickles (a magic number, a version, facts about the machine, the objects, the keys of storages) and
then the storages in the order of their keys: an int64 count and the elements.  Tensors stand among the objects as a
storage, an offset, a shape and strides.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8", "IntStorage": "<i4", "DoubleStorage": "<f8"}

Tensors = dict[str, NDArray[np.float32]]


def read_checkpoint(path: Path, part: str) -> Tensors:
    """Return the tensors of a part of a checkpoint by name, such as `model_state`."""
    with path.open("rb") as file:
        for _ in range(3):
            _Reader(file).load()
        reader = _Reader(file)
        objects = reader.load()
        for key in pickle.load(file):
            (count,) = np.fromfile(file, "<i8", 1)
            reader.fill(key, file, int(count))
    return {name: tensor() for name, tensor in objects[part].items()}


class _Reader(pickle.Unpickler):
    """Reads tensors, which can be asked for when their storages are filled; of classes it knows no others."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._storages: dict[str, NDArray[Any]] = {}
        self._types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name.startswith("_rebuild_"):
            return self._tensor
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"a checkpoint with {module}.{name} is not read")

    def persistent_load(self, words: Any) -> str:
        _, kind, key, *_ = words
        self._types[key] = _TYPES[kind]
        return str(key)

    def fill(self, key: str, file: IO[bytes], count: int) -> None:
        self._storages[key] = np.fromfile(file, self._types[key], count)

    def _tensor(self, key: Any, offset: int = 0, shape: Any = (), strides: Any = (), *_: Any) -> Callable[[], Any]:
        def read() -> NDArray[Any]:
            values = self._storages[key][offset:]
            return as_strided(values, shape, [step * values.itemsize for step in strides]).copy()

        return key if callable(key) else read  # a parameter holds a tensor
