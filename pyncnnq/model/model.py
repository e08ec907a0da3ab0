"""A model: its layers, written to a pair of `.param` and `.bin` files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.files import write_files
from pyncnnq.model.custom_layers import ModelFiles, file_for
from pyncnnq.model.graph import Graph, check_graph
from pyncnnq.model.layer import Layer
from pyncnnq.model.text import MAGIC, encode
from pyncnnq.model.weights import Weight
from pyncnnq.notebook import as_html

StrPath = str | os.PathLike[str]


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

    def _repr_html_(self) -> str:
        rows = [(layer.name, layer.type, ", ".join(layer.bottoms), ", ".join(layer.tops)) for layer in self.layers]
        title = f"ncnn model of {len(rows)} layers: {', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        return as_html(title, ("layer", "type", "reads", "writes"), rows)

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
