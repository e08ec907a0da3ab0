"""The parts of an output, each of which is judged by itself: boxes, say, and the scores that lie beside them.

An error ratio over a blob sees its largest numbers alone: boxes in pixels hide scores between 0 and 1.  So outputs are
taken apart where the layers put them together.  What a Softmax or a Sigmoid writes is judged there and before: its
output hides errors where it is nearly 0 or 1, and shows those that change decisions.  Layers that pick, such as a
DetectionOutput, are judged at what they read: a small error changes how many they pick, and their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyncnnq.compare.source import source
from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.ops import Int8Op, Linear

_SATURATING = ("Softmax", "Sigmoid")
_PICKING = ("DetectionOutput", "Proposal", "YoloDetectionOutput", "Yolov3DetectionOutput")
_BY_SHAPE = ("PriorBox",)
"""Layer types for which the values that they read do not count."""

_MOST_PARTS, _DEEPEST = 32, 4
"""A Concat of more parts is not taken apart, nor one in so many others."""


@dataclass(frozen=True)
class Part:
    """Numbers of one kind in an output.

    Attributes:
        output: the output.
        blobs: those that hold the numbers, one for each scale of a detector, say; they are judged together.
        decides: whether int8 models are chosen by it.  What a Softmax makes of a vector does not: its error is that of
            the few samples that are undecided.
        is_before: whether it is what a Softmax or Sigmoid reads.
    """

    output: str
    blobs: tuple[str, ...]
    decides: bool = True
    is_before: bool = False

    @property
    def name(self) -> str:
        """The blobs, as one word."""
        return "+".join(self.blobs)


def parts_of(model: Model) -> list[Part]:
    """Return the parts of all outputs of a model, output by output, in the order in which the network computes them."""
    outputs = _Outputs(model)
    return [part for output in model.outputs for part in outputs.parts(output)]


def is_picked(model: Model, output: str) -> bool:
    """Return whether a layer that picks some of what it reads writes an output."""
    return _Outputs(model).picker(output) is not None


@dataclass(frozen=True)
class _Kind:
    """Numbers that some layer computes, wherever others put them.

    Attributes:
        kind: the type of that layer and how many channels it writes; two of one kind may be two scales of one thing.
        blobs: where they are.
        before: what the Softmax or Sigmoid that computes them reads; empty for other layers.
    """

    kind: tuple[str, int]
    blobs: tuple[str, ...]
    before: tuple[str, ...] = ()


class _Outputs:
    """Looks at the layers that make the outputs of a model."""

    def __init__(self, model: Model) -> None:
        self._graph = model.graph()
        self._dims = dimensions(model.layers)
        self._order = {blob: place for place, blob in enumerate(top for layer in model.layers for top in layer.tops)}
        self._layers = model.layers

    def picker(self, output: str) -> Layer | None:
        """Return the layer that picks what an output holds; None if none does."""
        layer = source(self._graph, output)
        return layer if layer is not None and layer.type in _PICKING else None

    def parts(self, output: str) -> list[Part]:
        picker = self.picker(output)
        if picker is not None:
            weighed = self._weighed()
            found = [kind for blob in picker.bottoms if blob in weighed for kind in self._apart(blob)]
            is_vector = False
        else:
            found = self._apart(output)
            if len(found) == 1:
                found = [replace(found[0], blobs=(output,))]
            is_vector = len(found) == 1 and self._dims.get(output, 1) == 1
        parts = [part for kind in found for part in _parts(output, kind, is_vector)]
        return sorted(parts, key=lambda part: self._order[part.blobs[-1]]) or [Part(output, (output,))]

    def _apart(self, blob: str, depth: int = 0) -> list[_Kind]:
        """Return the numbers of a blob, taken apart where a Concat put them together."""
        layer = source(self._graph, blob)
        name = self._graph.split_root(blob)
        if layer is None or not layer.bottoms:
            return [_Kind(("", 0), (name,))]
        if layer.type == "Concat" and 1 < len(layer.bottoms) <= _MOST_PARTS and depth < _DEEPEST:
            return self._concatenated(name, [self._apart(bottom, depth + 1) for bottom in layer.bottoms])
        before = (self._graph.split_root(layer.bottoms[0]),) if layer.type in _SATURATING else ()
        outputs = layer.op.num_output if isinstance(layer.op, Linear) and self._dims.get(blob) != 1 else 0
        return [_Kind((layer.type, outputs), (name,), before)]

    def _concatenated(self, blob: str, children: Sequence[Sequence[_Kind]]) -> list[_Kind]:
        """Return what lies beside each other in a blob; where all children are alike, they are scales of one thing."""
        first, *others = children
        kinds = [each.kind for each in first]
        if any([each.kind for each in child] != kinds for child in others):
            found = [kind for child in children for kind in child]
            return found if len(found) <= _MOST_PARTS else [_Kind(("Concat", 0), (blob,))]
        merged = [
            _Kind(
                each[0].kind,
                tuple(dict.fromkeys(name for kind in each for name in kind.blobs)),
                tuple(dict.fromkeys(name for kind in each for name in kind.before)),
            )
            for each in zip(*children, strict=True)
        ]
        return [replace(merged[0], blobs=(blob,))] if len(merged) == 1 else merged

    def _weighed(self) -> set[str]:
        """Return the blobs that depend on layers with weights."""
        weighed: set[str] = set()
        for layer in self._layers:
            if layer.type not in _BY_SHAPE and (isinstance(layer.op, Int8Op) or weighed.intersection(layer.bottoms)):
                weighed.update(layer.tops)
        return weighed


def _parts(output: str, kind: _Kind, is_vector: bool) -> Iterator[Part]:
    """Return what a Softmax or Sigmoid reads, if one computes the numbers, and the numbers themselves."""
    if kind.before:
        yield Part(output, kind.before, is_before=True)
    yield Part(output, kind.blobs, decides=not (kind.before and is_vector))
