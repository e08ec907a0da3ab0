"""Layers that stock ncnn does not have, in Python: classes derived from `ncnn.Layer`, in a file of the user's.

The name of a class is the layer type, unless the class has an attribute `layer_type`.  A class is what ncnn's own
`register_custom_layer` takes: `load_param` and `load_model` read the layer, `forward` or `forward_inplace` computes it.
What `load_model` asks for tells which arrays the layer has in the `.bin` file.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import BUILT_IN, PACKAGED
from pyncnnq.model.weights import Storage, Weight

OWN = Path(__file__).with_name("yolov5_focus.py")
"""The file of the layers that come with this package."""

_STORAGES: dict[int, Storage] = {0: "tagged", 1: "raw"}
"""How an array is stored, by the type that `load_model` asks for."""

Classes = Mapping[str, type[Any]]
"""The classes of layers, by layer type."""

ReadArray = Callable[[str, int, Storage], Weight]
"""From the name, the number of elements and the storage of an array to the array."""


class ModelFiles(NamedTuple):
    """The files that a model is run from.

    Attributes:
        param, bin: what ncnn reads.
        custom_layers: the Python file with the layers that stock ncnn does not have; None for a model without any.
    """

    param: Path
    bin: Path
    custom_layers: Path | None = None


def is_custom(layer: Layer) -> bool:
    """Return whether stock ncnn does not have the layer's type."""
    return layer.type not in BUILT_IN


def count_custom(layers: Iterable[Layer]) -> dict[str, int]:
    """Return how many layers there are of each type that stock ncnn does not have, in model order."""
    return dict(Counter(layer.type for layer in layers if is_custom(layer)))


def listed(counts: Mapping[str, int]) -> str:
    """Return types with the number of their layers, in words."""
    return ", ".join(f"{kind} ({count} layer{'s' if count > 1 else ''})" for kind, count in counts.items())


def file_for(layers: Iterable[Layer], file: Path | None, place: str) -> Path | None:
    """Return the Python file that these layers need; None if stock ncnn has them all.

    Args:
        layers: of a model.
        file: the user's file.
        place: what errors begin with.

    Raises:
        ModelError: layers that neither stock ncnn nor the file nor this package has, all of them named.
    """
    counts = count_custom(layers)
    if not counts:
        return None
    known = PACKAGED.keys() | (custom_classes(file) if file else {}).keys()
    missing = {kind: count for kind, count in counts.items() if kind not in known}
    if missing:
        advice = f"{file} has no class for them" if file else "give their Python implementation with `custom_layers=`"
        raise ModelError(f"{place}layer types that stock ncnn does not have: {listed(missing)}; {advice}")
    return file or OWN


def custom_classes(file: Path) -> Classes:
    """Return the classes of a file and of this package.  The file is run once in each process, and when it changed.

    Raises:
        PyncnnqError: it cannot be read or run, has no class derived from `ncnn.Layer`, or one for a type that there is
            already.
    """
    if not file.is_file():
        raise _error(f"{file}: {'is no file' if file.exists() else 'no such file'}")
    return _classes(file, file.stat().st_mtime_ns)


@functools.cache
def _classes(file: Path, _time: int) -> Classes:
    import ncnn  # here and not above: it takes long, and few models need it

    with _said(file):
        module = _run(file)
    classes: dict[str, Any] = {}
    for value in list(vars(module).values()):
        if not isinstance(value, type) or not issubclass(value, ncnn.Layer) or value is ncnn.Layer:
            continue
        kind = vars(value).get("layer_type", value.__name__)
        if not isinstance(kind, str) or not kind or any(map(str.isspace, kind)):
            raise _error(f"{file}: class {value.__name__}: expected a word as its `layer_type`, found {kind!r}")
        if kind in BUILT_IN:
            raise _error(f"{file}: class {value.__name__}: ncnn has a layer type {kind} already; give it another name")
        if classes.setdefault(kind, value) is not value:
            raise _error(
                f"{file}: two classes are of the layer type {kind}: {classes[kind].__name__}, {value.__name__}"
            )
    if not classes:
        raise _error(f"{file}: has no class derived from ncnn.Layer; docs/custom-layers.md has an example")
    own = {} if file == OWN else custom_classes(OWN)
    return MappingProxyType({**own, **classes})


def create(layer: Layer, file: Path, read: ReadArray) -> Any:
    """Return the Python object that computes a layer, after it has read its parameters and arrays.

    Args:
        layer: the layer.
        file: where its class is.
        read: called for each array that it asks for.

    Raises:
        PyncnnqError: its class cannot read it.
    """
    import ncnn

    class Arrays(ncnn.ModelBin):  # type: ignore[misc]
        """What `load_model` reads from."""

        count = 0

        def load(self, w: int, type: int) -> Any:
            """Return an array of `w` elements; type 1: of float32, 0: a tag says what it is stored as."""
            if type not in _STORAGES or w < 1:
                raise ValueError(f"load({w}, {type}): expected a size of at least 1, and the type 0 or 1")
            self.count += 1
            return _mat(read(f"array_{self.count}", int(w), _STORAGES[type]))

    with said_of(layer, file):
        python = custom_classes(file)[layer.type]()
        python.type, python.name = layer.type, layer.name
        require_zero("load_param", python.load_param(_param_dict(layer)))
        require_zero("load_model", python.load_model(Arrays()))
    return python


def stored_arrays(layer: Layer) -> ReadArray:
    """Return what gives `create` the arrays of a layer that has been read already."""
    waiting = iter(layer.weights.values())

    def read(_name: str, size: int, storage: Storage) -> Weight:
        weight = next(waiting, None)
        if weight is None or (weight.data.size, weight.storage) != (size, storage):
            has = "no more" if weight is None else f"{weight.data.size} elements ({weight.storage})"
            raise ValueError(f"load_model asks for {size} elements ({storage}), the layer has {has}")
        return weight

    return read


@contextmanager
def said_of(layer: Layer, file: Path) -> Iterator[None]:
    """Turn whatever a layer's class raises into a PyncnnqError that names the layer, and the line of the file."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except PyncnnqError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise PyncnnqError(f"layer {layer.name!r} ({layer.type}): {_place(file, error)}: {_words(error)}") from error


def require_zero(method: str, status: object) -> None:
    """Raise ValueError for a status other than success."""
    if status != 0:
        raise ValueError(f"{method} returned {status}, expected 0")


def _run(file: Path) -> ModuleType:
    """Run a file as a module, without Python's cache beside it; modules beside it can be imported."""
    module = ModuleType(f"pyncnnq_custom_layers_{file.stem}")
    module.__file__ = str(file)
    code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    folder = str(file.absolute().parent)
    sys.modules[module.__name__] = module  # where dataclasses look
    sys.path.append(folder)
    try:
        exec(code, vars(module))
    finally:
        sys.path.remove(folder)
    return module


@contextmanager
def _said(file: Path) -> Iterator[None]:
    """Turn whatever a file raises while it runs into a PyncnnqError that names the line."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except PyncnnqError as error:
        raise error if error.option else _error(f"{_place(file, error)}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise _error(f"{_place(file, error)}: {_words(error)}") from error


def _place(file: Path, error: BaseException) -> str:
    """Return the file, and the line in it that an exception comes from."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}, line {error.lineno}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{file}, line {line}" if line else str(file)


def _words(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _error(message: str) -> PyncnnqError:
    return PyncnnqError(message, option="custom_layers")


def _param_dict(layer: Layer) -> Any:
    """Return the parameters of a layer as ncnn hands them to `load_param`; the wheel has no texts there."""
    import ncnn

    result = ncnn.ParamDict()
    keys = layer.params.keys()
    for key in keys:
        value = layer.params.value(key)
        if isinstance(value, tuple):
            numbers = np.array(value, np.float32 if any(isinstance(number, float) for number in value) else np.int32)
            result.set(key, _filled(numbers))
        elif not isinstance(value, str):
            result.set(key, value)
    return result


def _mat(weight: Weight) -> Any:
    """Return an array as ncnn's ModelBin returns it: int8 as it is, all else as float32."""
    return _filled(weight.data if weight.format == "int8" else weight.float32())


def _filled(values: np.ndarray[Any, Any]) -> Any:
    """Return a Mat of one dimension that owns its memory."""
    import ncnn

    mat = ncnn.Mat((values.size,), elemsize=values.itemsize)
    if values.size:
        np.asarray(mat).view(values.dtype)[...] = values
    return mat
