"""Classes of channels that can be multiplied by a number only together, and channels that cannot be multiplied.

Behind a convolution each channel can have a factor of its own: the weights and the bias of the output absorb the
factor, and the weights of the layers that read the channel take it back.  Layers in between that move, add or rectify
channels tie the channels that they read to those that they write.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import (
    UNSET,
    BinaryOp,
    Calibrated,
    Concat,
    Dropout,
    Eltwise,
    Flatten,
    Interp,
    Pooling,
    PReLU,
    ReLU,
    Reshape,
    Scale,
    ShuffleChannel,
    Slice,
    Split,
)
from pyncnnq.model.ops.arithmetic import EltwiseOperation
from pyncnnq.model.shapes import dimensions
from pyncnnq.rewrites.channel_flow import is_sum
from pyncnnq.rewrites.linear import takes_channels
from pyncnnq.statistics.observed import observed_blobs
from pyncnnq.statistics.ranges import ChannelRanges

Ids = NDArray[np.intp]

_HOMOGENEOUS = (ReLU, PReLU, Dropout, Interp, Pooling)
"""Layers that write a positive multiple of each channel if they read one."""


@dataclass(frozen=True)
class ChannelClasses:
    """The classes of a model's channels; all channels of a class have one factor.

    Attributes:
        of: for each blob whose channels are known, the class of each channel, a number below `count`.
        count: the number of classes.
        free: whether a class may have another factor than 1, shape (count,).
    """

    of: dict[str, Ids]
    count: int
    free: NDArray[np.bool_]

    def by_channel(self, blob: str, factors: NDArray[np.float64], channels: int) -> NDArray[np.float64]:
        """Return the factor of each channel of a blob, given the factors of all classes; 1 for an unknown blob."""
        return factors[self.of[blob]] if blob in self.of else np.ones(channels)


def channel_classes(model: Model, ranges: Mapping[str, ChannelRanges]) -> ChannelClasses:
    """Find the classes of a float model's channels.

    The channels around a layer that this module does not know have the factor 1.  So have the model's inputs and
    outputs, and the channels around non-linear layers and activations: also ReLU6, since channels multiplied to fill
    its range would be clipped in unseen images; convolutions that pad with a number, which stands for one value of all
    channels; and grouped convolutions, since the outputs of a group share a weight scale in ncnn.

    Args:
        model: a float model.
        ranges: channel ranges of the blobs that feed quantizable layers (see
            `pyncnnq.statistics.ranges.channel_ranges`).
    """
    return _Walk(model, ranges).classes()


class _Walk:
    """Goes through the layers of a model in order, and keeps the classes of the channels that they write."""

    def __init__(self, model: Model, ranges: Mapping[str, ChannelRanges]) -> None:
        self._ranges = ranges
        self._dimensions = dimensions(model.layers)
        self._parents: list[int] = []
        self._locked: list[bool] = []
        self._of: dict[str, Ids] = {}
        for layer in model.layers:
            self._add(layer)
        for blob in model.outputs:
            self._lock(blob)
        for blob in (observed.name for observed in observed_blobs(model)):
            if blob in self._of and (blob not in ranges or ranges[blob].min.size != self._of[blob].size):
                self._forget(blob)

    def classes(self) -> ChannelClasses:
        """Return the classes of all channels."""
        of = {blob: np.array([self._root(number) for number in ids], np.intp) for blob, ids in self._of.items()}
        free = np.array([not self._locked[self._root(number)] for number in range(len(self._parents))], np.bool_)
        return ChannelClasses(of, len(self._parents), free)

    def _add(self, layer: Layer) -> None:
        """Give the channels that a layer writes their classes."""
        tops = self._tops(layer, [self._of.get(bottom) for bottom in layer.bottoms])
        if tops is None:
            for bottom in layer.bottoms:
                self._lock(bottom)
            return
        for top, ids in zip(layer.tops, tops, strict=True):
            self._of[top] = ids
            if self._dimensions.get(top) not in (1, 3):  # the first axis of others is not that of channels
                self._forget(top)

    def _tops(self, layer: Layer, bottoms: Sequence[Ids | None]) -> list[Ids] | None:
        """Return the channels that a layer writes; None if the channels that it reads do not tell."""
        if layer.op.needs_activation_scale:
            return [self._of_quantizable(layer, bottoms[0])]
        known = [ids for ids in bottoms if ids is not None]
        if isinstance(layer.op, Scale) and len(bottoms) == 1:
            size = layer.op.scale_data_size
            return [self._new(size)] if size > 0 and all(ids.size == size for ids in known) else None
        if isinstance(layer.op, BinaryOp) and layer.op.is_multiplication:
            return self._of_product(layer, bottoms)
        if len(known) < len(bottoms) or not known:
            return None
        return self._moved(layer, known, [self._dimensions[bottom] for bottom in layer.bottoms])

    def _moved(self, layer: Layer, known: list[Ids], dims: list[int]) -> list[Ids] | None:
        """Return the channels that a layer without weights writes, given those of all blobs that it reads."""
        first = known[0]
        match layer.op:
            case Split():
                return [first] * len(layer.tops)
            case op if isinstance(op, _HOMOGENEOUS) and len(known) == 1:
                return [first]
            case Concat(axis=axis) if axis in (0, -dims[0]):
                return [np.concatenate(known)]
            case Slice(axis=axis) as op if axis in (0, -dims[0]):
                return _slices(op, first)
            case ShuffleChannel() as op if dims == [3]:
                return _shuffled(op, first)
            case op if _adds(layer) and len(set(dims)) == 1 and len({ids.size for ids in known}) == 1:
                for ids in known[1:]:
                    self._tie(first, ids)
                return [first]
            case Flatten() | Reshape() if len(known) == 1:
                return self._flattened(layer, first, dims[0])
        return None

    def _of_quantizable(self, layer: Layer, ids: Ids | None) -> Ids:
        """Return new classes for the outputs of a quantizable layer."""
        op = layer.as_op(Calibrated)
        shares_scales = op.groups > 1 and not op.is_depthwise
        if shares_scales or op.pads_with_value or (ids is not None and not takes_channels(layer, ids.size)):
            self._lock(layer.bottoms[0])
        return self._new(op.num_output, locked=shares_scales or not op.activation.is_homogeneous)

    def _of_product(self, layer: Layer, bottoms: Sequence[Ids | None]) -> list[Ids] | None:
        """Return the channels of the only factor that can have multiplied channels; lock those of the other factor.

        The other factor is, for example, the gate of squeeze-and-excite.
        """
        gated = [
            (ids, other)
            for ids, bottom, other in zip(bottoms, layer.bottoms, reversed(layer.bottoms), strict=True)
            if ids is not None and ids.size > 1 and self._dimensions.get(bottom) == 3
        ]
        if len(gated) != 1:
            return None
        ((ids, gate),) = gated
        self._lock(gate)
        return [ids]

    def _flattened(self, layer: Layer, ids: Ids, dims: int) -> list[Ids] | None:
        """Return the channels of a vector that holds each channel's elements one after another.

        The ranges of the vector tell how many elements a channel has.
        """
        if self._dimensions.get(layer.tops[0]) != 1 or (isinstance(layer.op, Reshape) and layer.op.permute):
            return None
        if dims == 1:
            return [ids]
        ranges = self._ranges.get(layer.tops[0])
        if ranges is None or ranges.min.size % ids.size:
            return None
        return [np.repeat(ids, ranges.min.size // ids.size)]

    def _new(self, count: int, *, locked: bool = False) -> Ids:
        """Return new classes; locked classes keep the factor 1."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        self._locked += [locked] * count
        return np.arange(first, first + count)

    def _root(self, number: int) -> int:
        """Return the number that stands for all classes tied to this class."""
        while self._parents[number] != number:
            self._parents[number] = number = self._parents[self._parents[number]]
        return number

    def _tie(self, some: Ids, others: Ids) -> None:
        """Make the classes of channels one, pair by pair."""
        for a, b in zip(map(self._root, some), map(self._root, others), strict=True):
            self._parents[b] = a
            self._locked[a] |= self._locked[b]

    def _forget(self, blob: str) -> None:
        """Lock the channels of a blob, and treat them as unknown from here on."""
        self._lock(blob)
        del self._of[blob]

    def _lock(self, blob: str) -> None:
        """Let the channels of a blob keep the factor 1."""
        for number in self._of.get(blob, ()):
            self._locked[self._root(number)] = True


def _slices(op: Slice, ids: Ids) -> list[Ids] | None:
    """Return the channels of each output of a Slice; None if it does not give a size for each.

    As in ncnn's src/layer/slice.cpp the rest is divided among the outputs without a size that are yet to come.
    """
    sizes = op.slices
    if len(sizes) != len(op.layer.tops) or op.indices:
        return None
    ends = [0]
    for index, size in enumerate(sizes):
        ends.append(ends[-1] + ((ids.size - ends[-1]) // (len(sizes) - index) if size == UNSET else size))
    return [ids[start:end] for start, end in itertools.pairwise(ends)]


def _shuffled(op: ShuffleChannel, ids: Ids) -> list[Ids] | None:
    """Return the channels of the output of a ShuffleChannel (ncnn's src/layer/shufflechannel.cpp)."""
    if op.group < 1 or ids.size % op.group:
        return None
    rows = ids.size // op.group if op.reverse else op.group
    return [ids.reshape(rows, -1).T.ravel()]


def _adds(layer: Layer) -> bool:
    """Return whether a layer adds blobs, each perhaps with a factor."""
    op = layer.op
    return is_sum(layer) or (isinstance(op, Eltwise) and op.op_type == EltwiseOperation.SUM)
