"""A model: its layers, read from and written to a pair of `.param` and `.bin` files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.files import read_file, write_files
from pyncnnq.model.graph import Graph, check_graph
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import LAYER_TYPES
from pyncnnq.model.pair import require_pair
from pyncnnq.model.text import MAGIC, ParamText, encode, parse_param
from pyncnnq.model.weights import TruncatedError, Weight, read_weight

StrPath = str | os.PathLike[str]


class Model:
    """An ncnn model.

    Attributes:
        layers: in file order; may be edited, writing checks that they are consistent.
        param_path, bin_path: where it was read from, for messages; None if it was not.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        header: str | None = None,
        trailer: str = "",
        param_path: Path | None = None,
        bin_path: Path | None = None,
    ) -> None:
        self.layers = list(layers)
        self.param_path = param_path
        self.bin_path = bin_path
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
    def files(self) -> tuple[Path, Path]:
        """The pair of files that ncnn can run the model from: the files that it was read from, or see `stored`.

        Raises:
            ModelError: there are none, as for a copy.
        """
        if self._files is None:
            raise ModelError("ncnn runs models from files: save this one, then load it from there")
        return self._files

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
        paths = {"param_path": self.param_path, "bin_path": self.bin_path}
        return Model(layers, header=self._header, trailer=self._trailer, **paths)

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
        _rename_splits(parsed.layers)
        check_graph(parsed.layers)
        _check_counts(parsed)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return Model(parsed.layers, header=parsed.header, trailer=parsed.trailer, param_path=path)


def load_model(param_path: StrPath, bin_path: StrPath) -> Model:
    """Read a model; its weights are read-only views of the `.bin` file's bytes.

    Raises:
        ModelError: a file that is missing or unsound, or two files that are not a pair.
        PyncnnqError: a process was ended while it replaced the files, and this one cannot finish that.
    """
    with reading(param_path, bin_path):
        model = load_param(param_path)
        model.bin_path = Path(bin_path)
        data = read_file(model.bin_path, ModelError)
        require_pair(Path(param_path), model.bin_path, data)
    try:
        _read_weights(model.layers, data)
    except ModelError as error:
        raise ModelError(f"{model.bin_path}: {error}; {_advice(model)}") from None
    model._files = Path(param_path), model.bin_path
    return model


def _rename_splits(layers: list[Layer]) -> None:
    """Give each Split a name of its own: pnnx splits twice, and begins to count anew (in every YOLOv8); ncnn does not
    look at names."""
    names = {layer.name for layer in layers}
    seen: set[str] = set()
    for layer in layers:
        if layer.type == "Split" and layer.name in seen:
            layer.name = next(name for count in itertools.count(2) if (name := f"{layer.name}_{count}") not in names)
            names.add(layer.name)
        seen.add(layer.name)


def _check_counts(parsed: ParamText) -> None:
    blobs = sum(len(layer.tops) for layer in parsed.layers)
    for what, declared, found in (
        ("layers", parsed.layer_count, len(parsed.layers)),
        ("blobs", parsed.blob_count, blobs),
    ):
        if declared != found:
            raise ModelError(
                f"line 2 says {declared} {what}, the file has {found}: it is cut off, or was edited by hand"
            )


def _read_weights(layers: list[Layer], data: bytes) -> None:
    offset = 0
    for layer in layers:
        for name, size, storage in layer.expected_weights():
            try:
                layer.weights[name], offset = read_weight(data, offset, name, size, storage)
            except TruncatedError as error:
                raise ModelError(f"{layer}: at byte {offset}, {name} {error}") from None
    if offset != len(data):
        raise ModelError(f"{len(data) - offset} bytes are left after the last layer, which ends at {offset}")


def _advice(model: Model) -> str:
    unknown = next((layer for layer in model.layers if layer.type not in LAYER_TYPES), None)
    if unknown:
        return f"{unknown} is of a type that ncnn does not have: if it has weights, the file cannot be read"
    return f"the file is damaged, or not the one that belongs to {model.param_path}"
