"""A summary of what quantizing did to each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pyncnnq.model import Layer


@dataclass(frozen=True)
class LayerSummary:
    """What became of a layer of a type that ncnn runs in int8.

    Attributes:
        name: the layer.
        type: its type in the float model.
        written_as: its type in the int8 model: InnerProduct for a 1x1 Convolution of a vector, else the same.
        reason: why it stays in float; empty for an int8 layer.
        chained_to: the layers that read its output as int8.
        unchained: layers that would, had they one common input scale.
    """

    name: str
    type: str
    written_as: str
    reason: str
    chained_to: tuple[str, ...]
    unchained: tuple[str, ...]

    @property
    def int8(self) -> bool:
        return not self.reason

    @property
    def outcome(self) -> str:
        """What became of the layer, in words."""
        if self.reason:
            return f"float: {self.reason}"
        words = "int8"
        if self.written_as != self.type:
            words += f", as {self.written_as} since its input is a vector"
        if self.chained_to:
            words += f", chained to {', '.join(self.chained_to)}"
        if self.unchained:
            words += f", not chained: the input scales of {', '.join(self.unchained)} differ"
        return words


@dataclass(frozen=True)
class Summary:
    """What quantizing did to a model.

    Attributes:
        layers: the layers of the types that ncnn runs in int8, in model order.
        bytes_before, bytes_after: sizes of the `.bin` files.
        warnings: one line for each thing that a user should look at.
    """

    layers: tuple[LayerSummary, ...]
    bytes_before: int
    bytes_after: int
    warnings: tuple[str, ...]

    def with_reasons(self, reasons: Mapping[str, str]) -> Summary:
        """Return a summary with other reasons for layers that stay in float, by name."""
        return replace(
            self, layers=tuple(replace(layer, reason=reasons.get(layer.name, layer.reason)) for layer in self.layers)
        )

    @property
    def quantized(self) -> list[LayerSummary]:
        return [layer for layer in self.layers if layer.int8]

    @property
    def kept_in_float(self) -> list[LayerSummary]:
        return [layer for layer in self.layers if not layer.int8]

    @property
    def rewritten(self) -> list[LayerSummary]:
        """The convolutions that became inner products."""
        return [layer for layer in self.layers if layer.written_as != layer.type]

    @property
    def chained(self) -> list[LayerSummary]:
        """The convolutions that hand their output on as int8."""
        return [layer for layer in self.layers if layer.chained_to]


def bin_size(layers: Iterable[Layer]) -> int:
    """Return the size in bytes of the `.bin` file of these layers."""
    pieces = (piece for layer in layers for weight in layer.weights.values() for piece in weight.pieces())
    return sum(memoryview(piece).nbytes for piece in pieces)
