"""A model: its layers, read from and written to a pair of `.param` and `.bin` files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.files import read_file, write_files
from pyncnnq.model.custom_layers import ModelFiles, count_custom, create, custom_classes, file_for, listed
from pyncnnq.model.graph import Graph, check_graph
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import Unknown
from pyncnnq.model.pair import require_pair
from pyncnnq.model.text import MAGIC, ParamText, encode, parse_param
from pyncnnq.model.weights import Storage, TruncatedError, Weight, read_weight

StrPath = str | os.PathLike[str]

_SHOWN = 3


class Model:
    """An ncnn model.

    Attributes:
        layers: in file order; may be edited, writing checks that they are consistent.
        param_path, bin_path: where it was read from, for messages; None if it was not.
        origin: the file beside which others may say how the model is used: its `.param`, or what it was converted from;
            None if it comes from no file.
        custom_layers: the Python file with layers that ncnn does not have (see pyncnnq/model/custom_layers.py), if the
            user gave one.
        warnings: what is odd in the files that it was read from, and does no harm.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        header: str | None = None,
        trailer: str = "",
        param_path: Path | None = None,
        bin_path: Path | None = None,
        custom_layers: Path | None = None,
    ) -> None:
        self.layers = list(layers)
        self.param_path = param_path
        self.bin_path = bin_path
        self.origin = param_path
        self.custom_layers = custom_layers
        self.warnings: list[str] = []
        self._files: tuple[Path, Path] | None = None
        self._header = header
        self._trailer = trailer

    @property
    def input_layers(self) -> list[Layer]:
        return [layer for layer in self.layers if layer.type == "Input"]

    @property
    def inputs(self) -> list[str]:
        """The blobs to be filled from outside: the tops of the Input layers."""
        return [top for layer in self.input_layers for top in layer.tops]

    @property
    def outputs(self) -> list[str]:
        """The blobs that nothing reads."""
        return self.graph().outputs()

    @property
    def files(self) -> ModelFiles:
        """The files that ncnn can run the model from: the files that it was read from, or see `stored`.

        Raises:
            ModelError: there are none, as for a copy; or nobody has a layer of some types.
        """
        if self._files is None:
            raise ModelError("ncnn runs models from files: save this one, then load it from there")
        return ModelFiles(*self._files, file_for(self.layers, self.custom_layers, self._place()))

    def graph(self) -> Graph:
        """Return the connections of the layers as they are now."""
        return Graph(self.layers)

    def layer(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises:
            ModelError: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ModelError(f"{self._place()}there is no layer {name!r}")

    def copy(self) -> Model:
        """Return a copy that can be edited on its own; it shares the arrays, which are never changed in place."""
        layers = [layer.copy() for layer in self.layers]
        paths = {"param_path": self.param_path, "bin_path": self.bin_path, "custom_layers": self.custom_layers}
        copy = Model(layers, header=self._header, trailer=self._trailer, **paths)
        copy.warnings = list(self.warnings)
        copy.origin = self.origin
        return copy

    def check_finite(self) -> None:
        """Make sure that every float weight is a finite number; a MemoryData may be a mask of infinities.

        Raises:
            ModelError: naming the layer, the array and the first offending element.
        """
        for layer in self.layers:
            for weight in layer.weights.values():
                if layer.type != "MemoryData" and weight.format not in ("int8", "packed"):
                    self._check_finite(layer, weight)

    def _check_finite(self, layer: Layer, weight: Weight) -> None:
        values = weight.float32()
        finite = np.isfinite(values)
        if not finite.all():
            first = int(np.argmin(finite))
            count = int(finite.size - np.count_nonzero(finite))
            which = f"the first is [{first}] = {values[first]}"
            found = f"{weight.name} has {count} of {values.size} elements that are not finite, {which}"
            place = f"{self.bin_path}: " if self.bin_path else ""
            raise ModelError(f"{place}{layer}: {found}; export the model again from sound weights")

    def param_text(self) -> str:
        """Return the `.param` file: untouched lines as they were read."""
        return self._header_text() + "".join(layer.text() for layer in self.layers) + self._trailer

    def bin_bytes(self) -> bytes:
        """Return the `.bin` file.

        Raises:
            ModelError: a layer whose weights are not those that its parameters ask for.
        """
        pieces: list[bytes | memoryview] = []
        for layer in self.layers:
            layer.check_weights()
            for weight in layer.weights.values():
                pieces += weight.pieces()
        return b"".join(pieces)

    def save(self, param_path: StrPath, bin_path: StrPath) -> None:
        """Write the pair of files, both or neither.

        Raises:
            ModelError: layers that do not fit together, or weights that do not fit their layer.
            PyncnnqError: the files cannot be written.
        """
        write_files(self.contents(Path(param_path), Path(bin_path)))

    def contents(self, param_path: Path, bin_path: Path) -> dict[Path, bytes]:
        """Return what `save` writes, by file.

        Raises:
            ModelError: layers that do not fit together, or weights that do not fit their layer.
        """
        if param_path == bin_path:
            raise ModelError(f"{param_path}: .param and .bin cannot be one file")
        check_graph(self.layers)
        return {param_path: encode(self.param_text()), bin_path: self.bin_bytes()}

    def stored(self, folder: Path, name: str) -> Model:
        """Write temporary files for ncnn to run, without waiting for the disk.

        Returns:
            A copy that runs from these files; messages go on naming the files that this model was read from.

        Raises:
            ModelError, PyncnnqError: see `save`.
        """
        check_graph(self.layers)
        copy = self.copy()
        copy._files = folder / f"{name}.param", folder / f"{name}.bin"
        try:
            copy._files[0].write_bytes(encode(self.param_text()))
            copy._files[1].write_bytes(self.bin_bytes())
        except OSError as error:
            raise PyncnnqError(f"{folder}: cannot write a temporary model: {error.strerror}") from error
        return copy

    def _header_text(self) -> str:
        counts = (len(self.layers), sum(len(layer.tops) for layer in self.layers))
        if self._header is not None:
            words = self._header.split()
            if (int(words[1]), int(words[2])) == counts:
                return self._header
        end = "\r\n" if self._header is not None and "\r\n" in self._header else "\n"
        return f"{MAGIC}{end}{counts[0]} {counts[1]}{end}"

    def _place(self) -> str:
        return f"{self.param_path}: " if self.param_path else ""


def load_param(param_path: StrPath) -> Model:
    """Read a `.param` file alone: a model whose layers have no weights.

    Raises:
        ModelError: a file that is missing, or not a sound `.param` file.
    """
    path = Path(param_path)
    data = read_file(path, ModelError)
    try:
        parsed = parse_param(data)
        warnings = [*_check_layer_count(parsed), *_name_apart(parsed.layers), *_add_inputs(parsed)]
        check_graph(parsed.layers)
        warnings += _check_blob_count(parsed)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    model = Model(parsed.layers, header=parsed.header, trailer=parsed.trailer, param_path=path)
    model.warnings = [f"{path}: {warning}" for warning in warnings]
    return model


def load_model(param_path: StrPath, bin_path: StrPath, custom_layers: StrPath | None = None) -> Model:
    """Read a model; its weights are read-only views of the `.bin` file's bytes.

    Args:
        param_path, bin_path: its files.
        custom_layers: a Python file with classes derived from `ncnn.Layer`, for layers that ncnn does not have: a class
            is of the layer type of its name, or of its attribute `layer_type`.

    Raises:
        ModelError: a file that is missing or unsound, or two files that are not a pair.
        PyncnnqError: a Python file that cannot be used; or a process was ended while it replaced the files, and this
            one cannot finish that.
    """
    with reading(param_path, bin_path):
        model = load_param(param_path)
        model.bin_path = Path(bin_path)
        data = read_file(model.bin_path, ModelError)
        require_pair(Path(param_path), model.bin_path, data)
    if custom_layers is not None:
        model.custom_layers = Path(custom_layers)
        custom_classes(model.custom_layers)  # an error in it now rather than in a worker, later
    try:
        _read_weights(model.layers, data, model.custom_layers)
    except ModelError as error:
        raise ModelError(f"{model.bin_path}: {error}; {_advice(model)}") from None
    model._files = Path(param_path), model.bin_path
    return model


def _check_layer_count(parsed: ParamText) -> list[str]:
    """Leave as many layers as line 2 says, which is what ncnn reads; return warnings."""
    declared, found = parsed.layer_count, len(parsed.layers)
    if declared == 0:
        raise ModelError("line 2 says 0 layers, which ncnn does not load")
    if declared > found:
        raise ModelError(f"line 2 says {declared} layers, the file has {found}: it is cut off, or was edited by hand")
    if declared == found:
        return []
    del parsed.layers[declared:]
    return [f"line 2 says {declared} layers, the file has {found}; like ncnn, the first {declared} are read"]


def _name_apart(layers: list[Layer]) -> list[str]:
    """Give each layer a name of its own, and return warnings: ncnn does not look at names, tables do.

    Equal names of Splits are common and not worth a word: pnnx splits twice, and begins to count anew.
    """
    taken = {layer.name for layer in layers}
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    renamed = []
    for layer in layers:
        name = layer.name
        if name in seen:
            number = numbers.get(name, 2)
            while f"{name}_{number}" in taken:
                number += 1
            layer.name = f"{name}_{number}"
            numbers[name] = number + 1
            taken.add(layer.name)
            if layer.type != "Split":
                renamed.append(f"{name!r} in line {layer.line} is {layer.name!r}")
        seen.add(layer.name)
    if not renamed:
        return []
    more = f" and {len(renamed) - _SHOWN} more" if len(renamed) > _SHOWN else ""
    return [f"layers have the name of another: {', '.join(renamed[:_SHOWN])}{more}"]


def _add_inputs(parsed: ParamText) -> list[str]:
    """Add an Input for each blob that no layer writes, as ncnn lets its user fill such a blob; return warnings."""
    written = {top for layer in parsed.layers for top in layer.tops}
    open_blobs = {
        bottom: layer for layer in reversed(parsed.layers) for bottom in layer.bottoms if bottom not in written
    }
    names = {layer.name for layer in parsed.layers}
    inputs = []
    for blob in reversed(open_blobs):
        name = blob
        while name in names:
            name += "_input"
        names.add(name)
        inputs.append(Layer("Input", name, [], [blob]))
    parsed.layers[:0] = inputs
    return [f"{layer} reads blob {blob!r}, which no layer writes: it is an input" for blob, layer in open_blobs.items()]


def _check_blob_count(parsed: ParamText) -> list[str]:
    """Make sure that ncnn makes room for all blobs; return warnings."""
    declared, found = parsed.blob_count, sum(len(layer.tops) for layer in parsed.layers)
    if declared < found:
        raise ModelError(
            f"line 2 says {declared} blobs, the file has {found}: ncnn writes beyond its list; write {found} there"
        )
    return [f"line 2 says {declared} blobs, the file has {found}"] if declared > found else []


def _read_weights(layers: list[Layer], data: bytes, custom_layers: Path | None) -> None:
    """Read the weights of all layers.

    Raises:
        ModelError: the file ends too soon or too late; ncnn would read a longer one, but most often it is that of
            another model.
    """
    offset = 0

    def read(layer: Layer, name: str, size: int, storage: Storage) -> Weight:
        nonlocal offset
        try:
            layer.weights[name], offset = read_weight(data, offset, name, size, storage)
        except TruncatedError as error:
            raise ModelError(f"{layer}: at byte {offset}, {name} {error}") from None
        return layer.weights[name]

    classes = custom_classes(custom_layers) if custom_layers else {}

    def is_custom(layer: Layer) -> bool:
        return isinstance(layer.op, Unknown) and layer.type in classes

    for layer in layers:
        if custom_layers and is_custom(layer):
            create(layer, custom_layers, partial(read, layer))
        else:
            for expected in layer.expected_weights():
                read(layer, *expected)
    if offset != len(data):
        raise ModelError(f"{len(data) - offset} bytes are left after the last layer, which ends at {offset}")


def _advice(model: Model) -> str:
    file = model.custom_layers
    counts = count_custom(layer for layer in model.layers if isinstance(layer.op, Unknown))
    unknown = {kind: count for kind, count in counts.items() if not file or kind not in custom_classes(file)}
    if unknown:
        return (
            f"ncnn does not have these layer types: {listed(unknown)}; if they have weights, their Python "
            "implementation tells which: give `custom_layers=`"
        )
    reader = f", or {file} reads other arrays than it holds" if counts else ""
    return f"the file is damaged, or not the one that belongs to {model.param_path}{reader}"
