"""How the layers of a model are connected."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.errors import ModelError
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import Calibrated, Split

_SATURATING = ("Softmax", "Sigmoid")
"""Layer types whose output hides the errors of their input where it is nearly 0 or 1."""


class Graph:
    """The connections of a list of layers as they are now; build a new one after the layers change."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._producers = {top: layer for layer in layers for top in layer.tops}
        self._consumers: dict[str, list[Layer]] = {}
        for layer in layers:
            for bottom in dict.fromkeys(layer.bottoms):
                self._consumers.setdefault(bottom, []).append(layer)

    def producer(self, blob: str) -> Layer | None:
        """Return the layer that writes `blob`; None when there is no such blob."""
        return self._producers.get(blob)

    def consumers(self, blob: str) -> list[Layer]:
        """Return the layers that read `blob`, in model order, each once."""
        return list(self._consumers.get(blob, ()))

    def outputs(self) -> list[str]:
        """Return the blobs that nothing reads, in model order."""
        return [blob for blob in self._producers if blob not in self._consumers]

    def split_root(self, blob: str) -> str:
        """Return the blob that `blob` is a copy of through Split layers; itself when it comes from no Split.

        Siblings behind a Split, and behind Splits of its outputs, have one root.
        """
        producer = self._producers.get(blob)
        while producer is not None and producer.type == "Split" and producer.bottoms:
            blob = producer.bottoms[0]
            producer = self._producers.get(blob)
        return blob

    def before_saturation(self, output: str) -> str:
        """Return the input of the Softmax or Sigmoid that writes a blob; the blob itself if another layer does."""
        producer = self._producers.get(output)
        return producer.bottoms[0] if producer is not None and producer.type in _SATURATING else output

    def is_non_negative(self, blob: str) -> bool:
        """Return whether the layers prove that no value of `blob` is below zero, whatever the input."""
        layer = self._producers.get(blob)
        if layer is None:
            return False
        proven = layer.op.is_non_negative
        if proven is None:
            return bool(layer.bottoms) and all(map(self.is_non_negative, layer.bottoms))
        return proven

    def readers(self, blob: str) -> list[Layer]:
        """Return the layers that read `blob` directly or through Split layers; no Split is among them."""
        readers = []
        for layer in self.consumers(blob):
            if layer.type == "Split":
                readers += [reader for top in layer.tops for reader in self.readers(top)]
            else:
                readers.append(layer)
        return readers


def check_graph(layers: Sequence[Layer]) -> None:
    """Make sure that names are unique, and that every blob is written once, before it is read.

    Raises:
        ModelError: naming the layer, its line and the blob.
    """
    names: dict[str, Layer] = {}
    producers: dict[str, Layer] = {}
    for layer in layers:
        if layer.name in names:
            raise ModelError(f"{layer}: the name is already taken by {names[layer.name]}; layer names must be unique")
        names[layer.name] = layer
        if layer.type == "Input" and len(layer.tops) != 1:
            raise ModelError(f"{layer}: writes {len(layer.tops)} blobs, an Input writes one")
        if not layer.bottoms and isinstance(layer.op, Calibrated | Split):
            raise ModelError(f"{layer}: reads no blob")
        for bottom in layer.bottoms:
            if bottom not in producers:
                raise ModelError(f"{layer}: reads blob {bottom!r}, which no layer above it writes")
        for top in layer.tops:
            if top in producers:
                raise ModelError(f"{layer}: writes blob {top!r}, which {producers[top]} writes already")
            producers[top] = layer
