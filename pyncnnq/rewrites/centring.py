"""Centring: channels shifted so that their ranges lie around zero, since ncnn's int8 has no zero point of its own.

A channel with values from 2 to 6 uses a quarter of the int8 numbers up to 6.  If the layer that writes it adds d = -4
to its bias, and the layer that reads it takes the weights times d off its own, the float outputs stay as they are:

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
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.channel_flow import copies_of, is_sum, keeps_constants
from pyncnnq.rewrites.linear import bias, is_linear_or_scale, outputs_of, set_bias, takes_channels, weights_by_channel
from pyncnnq.rewrites.rewritten import Rewritten
from pyncnnq.statistics.ranges import ChannelRanges

Floats = NDArray[np.float64]


def centre(model: Model, ranges: Mapping[str, ChannelRanges]) -> Rewritten:
    """Shift channels to lie around zero, wherever biases of the writers and readers can make up for the shift.

    Such a blob is written by a convolution or InnerProduct without an activation, by a Scale, or by an addition one of
    whose terms is written so and read by nothing else; it is read, through Split and Interp, only by quantizable layers
    that do not pad, and by such additions.

    Args:
        model: a float model.
        ranges: channel ranges of the blobs that feed its quantizable layers (see
            `pyncnnq.statistics.ranges.channel_ranges`).

    Returns:
        The new model; `changed` names the centred blobs, without copies of Split and Interp.

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
    """
    require_sound_float(model)
    plan = _Plan(model, ranges)
    model = model.copy()
    for layer in model.layers:
        change = plan.change_of_bias(layer)
        if change is not None:
            set_bias(layer, bias(layer) + change)
    storage = {name: BlobStorage(np.ones_like(shift), -shift) for name, shift in plan.all_shifts().items()}
    return Rewritten(model, tuple(plan.names), storage)


@dataclass(frozen=True)
class _Addition:
    """An addition, and that of its terms which only the addition reads and whose bias can be changed."""

    layer: Layer
    term: str


class _Plan:
    """The blobs of a model to centre.

    Attributes:
        names: the centred blobs whose writers shift them, in model order.
        shifts: what is added to the channels of each centred blob, shape (channels,); copies and resized blobs too.
    """

    def __init__(self, model: Model, ranges: Mapping[str, ChannelRanges]) -> None:
        self._graph = model.graph()
        self._dimensions = dimensions(model.layers)
        additions = [_Addition(layer, term) for layer in model.layers if (term := self._free_term(layer)) is not None]
        self._by_sum = {addition.layer.tops[0]: addition for addition in additions}
        self._by_term = {addition.term: addition for addition in additions}
        self.names: list[str] = []
        self.shifts: dict[str, Floats] = {}
        for layer in model.layers:
            if is_linear_or_scale(layer) or (layer.tops and layer.tops[0] in self._by_sum):
                self._add(layer.tops[0], ranges)

    def all_shifts(self) -> dict[str, Floats]:
        """Return the shifts of all blobs, those of the free terms of additions too."""
        terms = {term: np.asarray(sum(shifts)) for term in self._by_term if (shifts := self._term_shifts(term))}
        return {**self.shifts, **terms}

    def change_of_bias(self, layer: Layer) -> Floats | None:
        """Return what to add to the bias of a layer, shape (outputs,); None to leave the bias as it is."""
        changes = []
        if layer.op.needs_activation_scale and layer.bottoms[0] in self.shifts:
            shift = self.shifts[layer.bottoms[0]]
            weights = weights_by_channel(layer, shift.size).sum(axis=3)
            changes.append(-(weights * shift.reshape(weights.shape[0], 1, -1)).sum(axis=2).ravel())
        for top in layer.tops:
            if top in self._by_term:
                changes += self._term_shifts(top)
            elif top in self.shifts and is_linear_or_scale(layer):
                changes.append(self.shifts[top])
        return np.asarray(sum(changes)) if changes else None

    def _term_shifts(self, term: str) -> list[Floats]:
        """Return the summands of the shift with which a free term shifts its sum, and makes up for the other term's."""
        addition = self._by_term[term].layer
        shifts = [self.shifts[blob] for blob in addition.tops if blob in self.shifts]
        return shifts + [-self.shifts[blob] for blob in addition.bottoms if blob in self.shifts]

    def _free_term(self, layer: Layer) -> str | None:
        """Return the term of an addition whose bias can shift the sum, and make up for shifts of the other term."""
        if not is_sum(layer) or self._dimensions.get(layer.bottoms[0]) != self._dimensions.get(layer.bottoms[1]):
            return None
        for term in layer.bottoms:
            writer = self._graph.producer(term)
            if writer is not None and is_linear_or_scale(writer) and len(self._graph.consumers(term)) == 1:
                return term
        return None

    def _add(self, blob: str, ranges: Mapping[str, ChannelRanges]) -> None:
        """Plan to centre a blob and its copies, if all readers permit, and ranges were measured."""
        if self._dimensions.get(blob) not in (1, 3):  # the first axis of others is not that of channels
            return
        copies = copies_of(blob, self._graph, keeps_constants)
        measured = [ranges[copy] for copy in copies if copy in ranges]
        channels = self._outputs(blob)
        if (
            not measured
            or any(copy.min.size != channels for copy in measured)
            or not all(self._allow(copy, channels) for copy in copies)
        ):
            return
        low = np.minimum.reduce([copy.min for copy in measured])
        high = np.maximum.reduce([copy.max for copy in measured])
        if (low < high).any():  # a vector may have been the same in all images, which says nothing of others
            self.shifts.update(dict.fromkeys(copies, -(low + high) / 2))
            self.names.append(blob)

    def _outputs(self, blob: str) -> int:
        """Return the number of outputs of the layer whose bias shifts a blob; 0 for an unknown blob."""
        writer = self._graph.producer(self._by_sum[blob].term if blob in self._by_sum else blob)
        return outputs_of(writer) if writer is not None else 0

    def _allow(self, blob: str, channels: int) -> bool:
        """Return whether all readers of a blob can make up for a shift of it."""
        readers = self._graph.consumers(blob)
        return bool(readers) and all(
            keeps_constants(reader) or self._makes_up(reader, blob, channels) for reader in readers
        )

    def _makes_up(self, reader: Layer, blob: str, channels: int) -> bool:
        """Return whether a reader's bias, or that of a term that it adds to the blob, can make up for a shift."""
        if reader.op.needs_activation_scale:
            return not reader.op.pads and takes_channels(reader, channels)
        addition = self._by_sum.get(reader.tops[0]) if reader.tops else None
        return addition is not None and blob != addition.term and self._outputs(reader.tops[0]) == channels
