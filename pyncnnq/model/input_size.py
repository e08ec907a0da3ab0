"""The size of images that a model takes: stated in its Input layer, or implied by layers of fixed sizes.

A Reshape with fixed sizes, an InnerProduct, a sum with a blob of fixed size read as many numbers as they say, and how
many reach them follows from the size of the input.  Strides round, so that several sizes give the same number; the one
that networks are made for is a multiple of all strides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pyncnnq.model.layer import Layer
from pyncnnq.model.model import Model
from pyncnnq.model.ops import Convolution, Embed, Input, Pooling, Shape
from pyncnnq.model.ops.arranging import Reorg, YoloV5Focus
from pyncnnq.model.shapes import misfit, shapes

MOST_SIDE = 4096
"""The largest width and height that are looked at."""

_USUAL_CHANNELS = (3, 1)
"""Of images for a model that does not say how many it takes."""


class StatedSize(NamedTuple):
    """The size of images that a model takes.

    Attributes:
        width, height: in pixels.
        reason: the layer that says so.
    """

    width: int
    height: int
    reason: str


def stated_sizes(model: Model) -> dict[str, StatedSize | None]:
    """Return for each input of a model the size that the model states for it or implies; None where it leaves the size
    open, or for an input that takes no images.

    Only square sizes are implied, and only for a single input whose size is not stated.

    Args:
        model: the model; its weights are not needed.
    """
    layers = {blob: layer for layer in model.input_layers for blob in layer.tops}
    sizes = {blob: _in_line(layer) for blob, layer in layers.items()}
    unstated = [blob for blob, layer in layers.items() if sizes[blob] is None and _may_be_image(model, layer, blob)]
    if len(unstated) == 1:
        (blob,) = unstated
        others = {other: (3, size.height, size.width) for other, size in sizes.items() if size}
        channels = stated_channels(model, layers[blob], blob)
        found = [
            size
            for count in ((channels,) if channels else _USUAL_CHANNELS)
            if (size := _Squares(model.layers, blob, count, others).implied()) is not None
        ]
        sizes[blob] = found[0] if len(found) == 1 else None
    return sizes


def stated_channels(model: Model, layer: Layer, blob: str) -> int:
    """Return how many channels a blob of an Input layer has: as that layer says, or else the weights of a convolution
    that reads the blob; 0 where neither does."""
    w, h, c, _ = layer.as_op(Input).sizes
    convolution = reading_convolution(model, blob)
    if c or convolution is None or (w and not h):  # with a width alone it is a vector
        return c
    return convolution.input_channels()


def reading_convolution(model: Model, blob: str) -> Convolution | None:
    """Return the first convolution with weights of its own that reads an input; None if none does."""
    views = [reader.op for reader in model.graph().readers(blob)]
    return next((op for op in views if isinstance(op, Convolution) and not op.has_dynamic_weight), None)


def advise(model: Model, inputs: Mapping[str, Shape]) -> str:
    """Return what to do about inputs of a size that contradicts a model.

    Args:
        model: the model; its weights are not needed.
        inputs: the shapes of its inputs, by blob.
    """
    images = {blob: shape for blob, shape in inputs.items() if len(shape) == 3}
    if len(images) != 1:
        return "give inputs of the sizes that the model was exported with"
    ((blob, (channels, height, width)),) = images.items()
    squares = _Squares(model.layers, blob, channels, {other: inputs[other] for other in inputs if other != blob})
    for layer in model.input_layers:
        size = _in_line(layer) if blob in layer.tops else None
        if size and squares.fits(size.width, size.height):
            return f"{size.reason} states {size.width},{size.height}: {_give(channels, size.width, size.height)}"
    if implied := squares.implied():
        return f"{implied.width},{implied.height} does: {_give(channels, implied.width, implied.height)}"
    if squares.is_bounded:
        least, most = squares.bounds
        return f"a width and height from {least} to {most} does: {_give(channels, most, most)}"
    multiples = [-(-length // squares.stride) * squares.stride for length in (width, height)]
    if squares.fits(*multiples):
        return f"multiples of {squares.stride} do: {_give(channels, *multiples)}"
    return "give inputs of the size that the model was exported with"


def _give(channels: int, width: int, height: int) -> str:
    return f"give `size=({width}, {height})`, or arrays of {channels} x {height} x {width}"


def _in_line(layer: Layer) -> StatedSize | None:
    width, height, _, depth = layer.as_op(Input).sizes
    return StatedSize(width, height, str(layer)) if width and height and not depth else None


def _may_be_image(model: Model, layer: Layer, blob: str) -> bool:
    width, height, _, depth = layer.as_op(Input).sizes
    readers = model.graph().readers(blob)
    return not width and not height and not depth and not any(isinstance(reader.op, Embed) for reader in readers)


@dataclass(frozen=True)
class _Squares:
    """What a model makes of inputs that are as wide as high.

    Attributes:
        layers: of the model.
        blob: the input.
        channels: how many it has.
        others: the shapes of the other inputs.
    """

    layers: Sequence[Layer]
    blob: str
    channels: int
    others: Mapping[str, Shape]

    def implied(self) -> StatedSize | None:
        """Return the only size that all fixed layers allow, of those that all strides divide if there are several."""
        if not self.is_bounded:
            return None
        least, most = self.bounds
        sides = [side for side in range(least, most + 1) if side % self.stride == 0 or least == most]
        if len(sides) != 1 or not self.fits(sides[0], sides[0]):
            return None
        limit = next(layer for layer in self.layers if self._excess(layer, self._shapes(most + 1)) > 0)
        return StatedSize(sides[0], sides[0], str(limit))

    def fits(self, width: int, height: int) -> bool:
        """Return whether every layer can read what it gets, as far as is known."""
        known = self._shapes(width, height)
        return not any(misfit(layer, known) for layer in self.layers)

    @property
    def is_bounded(self) -> bool:
        """Whether some layers allow only some sizes."""
        least, most = self.bounds
        return least <= most < MOST_SIDE

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest side that give no fixed layer too few numbers, or too many."""
        sides = range(1, MOST_SIDE + 1)
        least = bisect_left(sides, True, key=lambda side: not self._is_too_small(side)) + 1
        return least, bisect_left(sides, True, key=self._is_too_large)

    @cached_property
    def stride(self) -> int:
        """How many pixels of the input a step in the smallest blob is."""
        strides: dict[str, int] = {}
        for layer in self.layers:
            op = layer.op
            own = op.stride_w if isinstance(op, Convolution | Pooling) else 1
            own = op.stride if isinstance(op, Reorg) else 2 if isinstance(op, YoloV5Focus) else own
            before = max((strides.get(bottom, 1) for bottom in layer.bottoms), default=1)
            strides.update(dict.fromkeys(layer.tops, before * max(own, 1)))
        return max(strides.values(), default=1)

    @cached_property
    def _largest(self) -> Mapping[str, Shape]:
        """The shapes for a size beyond all that are looked at: what is the same for others is fixed."""
        return self._shapes(2 * MOST_SIDE)

    def _shapes(self, width: int, height: int = 0) -> dict[str, Shape]:
        return shapes(self.layers, {**self.others, self.blob: (self.channels, height or width, width)})

    def _is_too_small(self, side: int) -> bool:
        known = self._shapes(side)
        return len(known) < len(self._largest) or any(self._excess(layer, known) < 0 for layer in self.layers)

    def _is_too_large(self, side: int) -> bool:
        known = self._shapes(side)
        return any(self._excess(layer, known) > 0 for layer in self.layers)

    def _excess(self, layer: Layer, known: Mapping[str, Shape]) -> int:
        """Return by how many numbers a layer gets more than it takes, below 0 if it gets fewer; 0 where that is not
        known."""
        wrong = misfit(layer, known)
        if wrong is None:
            return 0
        first, last = (known[blob] == self._largest.get(blob) for blob in (layer.bottoms[0], layer.bottoms[-1]))
        if len(layer.bottoms) == 1:
            return 0 if first else wrong.excess
        return 0 if first == last else -wrong.excess if last else wrong.excess
