"""Centring: channels shifted so that their ranges lie around zero, since ncnn's int8 has no zero point of its own.

A channel with values from 2 to 6 uses a quarter of the int8 numbers up to 6.  If what writes it adds d = -4 to its
bias, and what reads it takes the weights times d off its own, the float outputs stay as they are:

    y = W x + b     becomes     y' = W x + (b + d)     and     v = V y + c     becomes     v = V y' + (c - V d)

Readers may not pad: their zeros would stand for other values than before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.shapes import dimensions
from pyncnnq.rewrites.linear import bias, set_bias, takes_channels, weights_by_channel
from pyncnnq.statistics.ranges import ChannelRanges

Floats = NDArray[np.float64]


def centre(model: Model, ranges: Mapping[str, ChannelRanges]) -> tuple[Model, dict[str, ChannelRanges], list[str]]:
    """Shift channels to lie around zero, wherever the biases of the layers that write and read them can make up for it.

    Such a blob is written by a convolution or InnerProduct without an activation, by a Scale, or by an addition one of
    whose terms is written so and read by nothing else; it is read, through Split and Interp, only by quantizable layers
    that do not pad, and by such additions.

    Args:
        model: a float model; it is not changed.
        ranges: of the blobs that feed its quantizable layers (see `pyncnnq.statistics.ranges.channel_ranges`).

    Returns:
        The new float model; the ranges of its blobs; and the names of the blobs that are centred, in model order.

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
    """
    require_sound_float(model)
    found = _Centred(model, ranges)
    model = model.copy()
    for layer in model.layers:
        change = found.change_of_bias(layer)
        if change is not None:
            set_bias(layer, bias(layer) + change)
    shifted = {name: one.shifted(found.offsets[name]) if name in found.offsets else one for name, one in ranges.items()}
    return model, shifted, found.names


class _Centred:
    """The blobs of a model that can be centred.

    Attributes:
        names: those written by what shifts them, in model order.
        offsets: by how much the channels of each are shifted, and those of its copies and what it is resized to.
    """

    def __init__(self, model: Model, ranges: Mapping[str, ChannelRanges]) -> None:
        self._graph = model.graph()
        self._dimensions = dimensions(model.layers)
        additions = [_Addition(layer, term) for layer in model.layers if (term := self._free_term(layer)) is not None]
        self._by_sum = {one.layer.tops[0]: one for one in additions}
        self._by_term = {one.term: one for one in additions}
        self.names: list[str] = []
        self.offsets: dict[str, Floats] = {}
        for layer in model.layers:
            if _is_linear(layer) or (layer.tops and layer.tops[0] in self._by_sum):
                self._add(layer.tops[0], ranges)

    def change_of_bias(self, layer: Layer) -> Floats | None:
        """What to add to the bias of a layer, shape (outputs,); None if it stays as it is."""
        changes = []
        if layer.op.needs_activation_scale and layer.bottoms[0] in self.offsets:
            offsets = self.offsets[layer.bottoms[0]]
            weights = weights_by_channel(layer, offsets.size).sum(axis=3)
            changes.append(-(weights * offsets.reshape(weights.shape[0], 1, -1)).sum(axis=2).ravel())
        for top in layer.tops:
            if top in self._by_term:
                addition = self._by_term[top]
                changes += [self.offsets[blob] for blob in addition.layer.tops if blob in self.offsets]
                changes += [-self.offsets[blob] for blob in addition.layer.bottoms if blob in self.offsets]
            elif top in self.offsets and _is_linear(layer):
                changes.append(self.offsets[top])
        return np.asarray(sum(changes)) if changes else None

    def _free_term(self, layer: Layer) -> str | None:
        """The term of an addition whose bias can shift the sum, and make up for shifts of the other."""
        if not _is_addition(layer) or self._dimensions.get(layer.bottoms[0]) != self._dimensions.get(layer.bottoms[1]):
            return None
        for term in layer.bottoms:
            writer = self._graph.producer(term)
            if writer is not None and _is_linear(writer) and len(self._graph.consumers(term)) == 1:
                return term
        return None

    def _add(self, blob: str, ranges: Mapping[str, ChannelRanges]) -> None:
        if self._dimensions.get(blob) not in (1, 3):  # the first axis of others is not that of channels
            return
        copies = self._copies(blob)
        measured = [ranges[copy] for copy in copies if copy in ranges]
        channels = self._outputs(blob)
        if (
            not measured
            or any(one.min.size != channels for one in measured)
            or not all(self._allow(copy, channels) for copy in copies)
        ):
            return
        low = np.minimum.reduce([one.min for one in measured])
        high = np.maximum.reduce([one.max for one in measured])
        if (low < high).any():  # a vector may have been the same in all images, which says nothing of others
            self.offsets.update(dict.fromkeys(copies, -(low + high) / 2))
            self.names.append(blob)

    def _outputs(self, blob: str) -> int:
        writer = self._graph.producer(self._by_sum[blob].term if blob in self._by_sum else blob)
        return writer.params.get_int(0, 0) if writer is not None else 0

    def _copies(self, blob: str) -> list[str]:
        """The blob, and all that Split and Interp layers make of it."""
        found = [blob]
        for one in found:
            found += [top for layer in self._graph.consumers(one) if _copies(layer) for top in layer.tops]
        return found

    def _allow(self, blob: str, channels: int) -> bool:
        """Whether all that read a blob can make up for a shift of it."""
        readers = self._graph.consumers(blob)
        return bool(readers) and all(_copies(reader) or self._makes_up(reader, blob, channels) for reader in readers)

    def _makes_up(self, reader: Layer, blob: str, channels: int) -> bool:
        if reader.op.needs_activation_scale:
            return not reader.op.pads and takes_channels(reader, channels)
        addition = self._by_sum.get(reader.tops[0]) if reader.tops else None
        return addition is not None and blob != addition.term and self._outputs(reader.tops[0]) == channels


@dataclass(frozen=True)
class _Addition:
    """An addition, and the term of it that only it reads and whose bias can be changed."""

    layer: Layer
    term: str


def _is_linear(layer: Layer) -> bool:
    if layer.type == "Scale":
        return len(layer.bottoms) == 1 and layer.params.get_int(0, 0) > 0
    return layer.op.needs_activation_scale and layer.params.get_int(9, 0) == 0


def _is_addition(layer: Layer) -> bool:
    return layer.type == "BinaryOp" and layer.params.get_int(0, 0) == 0 and len(set(layer.bottoms)) == 2


def _copies(layer: Layer) -> bool:
    """Whether a constant added to each value of a channel comes out as it is."""
    return layer.type == "Split" or (layer.type == "Interp" and len(layer.bottoms) == 1)
