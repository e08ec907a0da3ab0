"""How the layers of a model are connected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from pyncnnq.errors import ModelError
from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import LAYER_TYPES


class Graph:
    """The connections of a list of layers as they are now; build a new one after the layers change."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._roots: dict[str, str] = {}
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
        copies = []
        while blob not in self._roots:
            producer = self._producers.get(blob)
            if producer is None or producer.type != "Split":
                self._roots[blob] = blob
            else:
                copies.append(blob)
                blob = producer.bottoms[0]
        root = self._roots[blob]
        self._roots.update(dict.fromkeys(copies, root))
        return root

    def in_order(self, blobs: Iterable[str]) -> list[str]:
        """Return blobs, each once, in the order in which the network computes them."""
        wanted = set(blobs)
        return [blob for blob in self._producers if blob in wanted]

    def is_non_negative(self, blob: str) -> bool:
        """Return whether the layers prove that no value of `blob` is below zero, whatever the input."""
        return blob in self._non_negative

    @cached_property
    def _non_negative(self) -> set[str]:
        blobs: set[str] = set()
        for layer in self._layers:  # writers stand above readers
            proven = layer.op.is_non_negative
            if proven or (proven is None and blobs.issuperset(layer.bottoms)):
                blobs.update(layer.tops)
        return blobs

    def readers(self, blob: str) -> list[Layer]:
        """Return the layers that read `blob` directly or through Split layers; no Split is among them."""
        readers = []
        waiting = self.consumers(blob)[::-1]
        while waiting:
            layer = waiting.pop()
            if layer.type == "Split":
                waiting += [reader for top in layer.tops for reader in self.consumers(top)][::-1]
            else:
                readers.append(layer)
        return readers


def check_graph(layers: Sequence[Layer]) -> None:
    """Make sure that names are unique, that layers have the blobs that they need, and that every blob is written once,
    before it is read.

    Raises:
        ModelError: naming the layer, its line and the blob.
    """
    names: dict[str, Layer] = {}
    producers: dict[str, Layer] = {}
    for layer in layers:
        if layer.name in names:
            raise ModelError(f"{layer}: the name is already taken by {names[layer.name]}; layer names must be unique")
        names[layer.name] = layer
        _check_arity(layer)
        for bottom in layer.bottoms:
            if bottom not in producers:
                raise ModelError(f"{layer}: reads blob {bottom!r}, which no layer above it writes")
        for top in layer.tops:
            if top in producers:
                raise ModelError(
                    f"{layer}: writes blob {top!r}, which {producers[top]} writes already, and ncnn reads that one "
                    "alone; give the blob another name"
                )
            producers[top] = layer


def _check_arity(layer: Layer) -> None:
    """Make sure that a layer has the blobs without which ncnn would reach beyond its lists; nothing is known of types
    that ncnn does not have."""
    if layer.type not in LAYER_TYPES:
        return
    op = layer.op
    for what, blobs, least in (("reads", layer.bottoms, op.least_bottoms), ("writes", layer.tops, op.least_tops)):
        if len(blobs) < least:
            raise ModelError(f"{layer}: {what} {len(blobs)} blobs, ncnn needs {least} or more; export the model again")
