"""Zero points for blobs that are never negative, so that they use all of int8.

ncnn quantizes by a scale alone, so after a ReLU half of [-127, 127] is never used.  A blob with values in [0, T] is
stored shifted by T/2 instead (see pyncnnq/rewrites/shifts.py), and its sign is turned where a reader pads.  Otherwise
the sign stays, as the largest is then still the largest, and max pooling may stand between.

In a residual block the bias of a convolution makes up for the shift of the other term, and if that term is turned and
the sum is not, or the other way round, the addition becomes a subtraction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyncnnq.calibration.table import Table
from pyncnnq.model import Graph, Layer, Model
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Arranging, Dropout, Pooling, Reduction, ReductionType
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.quantization.selection import prevented
from pyncnnq.rewrites.channel_flow import is_sum
from pyncnnq.rewrites.linear import is_linear
from pyncnnq.rewrites.rewritten import RewrittenWithTable
from pyncnnq.rewrites.shifts import (
    UNSHIFTED,
    Shift,
    can_read_shifted,
    ends_at_zero,
    fold_shifts,
    quantizers_of,
    rectifies,
)


def fold_zero_points(model: Model, table: Table, readers: Collection[str] | None = None) -> RewrittenWithTable:
    """Store blobs that are never negative with a zero point, wherever all layers that touch them can match.

    Blobs tied by layers that only move values (Split, Concat, Slice, ShuffleChannel, Reshape, ..., pooling) share one
    zero point: half of the largest of their thresholds, and get one scale.  They are left as they are if one is an
    output of the model, written by anything but a convolution or InnerProduct with a ReLU or a Clip at 0, or read by
    anything but convolutions and InnerProducts, of which one at least will be int8; if the readers of one blob have
    different scales; or if any of the scales would become smaller.  A ReLU layer, or a Clip at 0, may write them too if
    it reads a convolution without an activation, or the sum of such a convolution and another blob: of a residual
    block.  Such an addition, and no other, may read them too.

    The layers to leave in float must be chosen before, by removing their rows from the table; later changes of weights
    or their scales must change the biases too.

    Args:
        model: a float model.
        table: its calibration table; 127 / scale of an activation row is the threshold T of the blob.
        readers: the names of the layers that may read shifted blobs; None: any layer may.

    Returns:
        The new model, to be quantized, and its table, with the activation rows of readers changed; `changed` names the
        blobs that are stored shifted.  In a reader, sums may now overflow that could not before (see
        pyncnnq/calibration/winograd.py).

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.
        TableError: a table that does not fit the model.
    """
    require_sound_float(model)
    table.check(model)
    floats = prevented(model, table)
    return fold_shifts(model, table, _shifts(model, table, floats, readers), floats)


def quantizers(model: Model, table: Table) -> dict[str, Quantizer]:
    """Return how the blobs that `fold_zero_points` would shift become int8, by name, but for the sign."""
    return quantizers_of(_shifts(model, table, prevented(model, table)))


@dataclass(frozen=True)
class _RectifiedSum:
    """The sum that a ReLU layer, or a Clip at 0, reads, where the bias of a linear layer can shift the sum.

    Attributes:
        blob: the sum, which nothing else reads; or the output of a linear layer, as a sum of one term.
        free: the terms that are outputs of a linear layer, and read by nothing else.
        others: the other terms.
        rectified: the blob that the ReLU or Clip writes.
    """

    blob: str
    free: tuple[str, ...]
    others: tuple[str, ...]
    rectified: str

    def term_shifts(self, shifts: Mapping[str, Shift]) -> dict[str, Shift]:
        """Return the shifts of the sum and its free terms; the first free term makes up for the other terms."""
        if not shifts.keys() & {self.rectified, *self.others}:
            return {}
        shift = shifts.get(self.rectified, UNSHIFTED)
        middle = shift.middle - sum(shifts.get(other, UNSHIFTED).middle for other in self.others)
        terms = {**dict.fromkeys(self.free, Shift(shift.sign, 0.0)), self.free[0]: Shift(shift.sign, middle)}
        return {self.blob: shift, **terms} if self.rectified in shifts else terms


def _shifts(
    model: Model, table: Table, floats: Collection[str], allowed: Collection[str] | None = None
) -> dict[str, Shift]:
    """Return the shifts of the blobs that can be shifted, in model order."""
    barred = {layer.name for layer in model.layers}.difference(allowed) if allowed is not None else set[str]()
    sums = _rectified_sums(model)
    graph = model.graph()
    shifts: dict[str, Shift] = {}
    totals = {total.blob for total in sums}
    rectified = {total.rectified for total in sums}
    places: dict[str, list[int]] = {}
    for place, layer in enumerate(model.layers):
        for blob in {*layer.bottoms, *layer.tops}:
            places.setdefault(blob, []).append(place)
    for group in _connected([{top} for layer in model.layers for top in layer.tops], map(_tied_blobs, model.layers)):
        touching = [model.layers[place] for place in sorted({place for blob in group for place in places[blob]})]
        shift = _group_shift(group, touching, graph, table, (totals, rectified), floats, barred)
        shifts |= dict.fromkeys(group, shift) if shift is not None else {}
    for rectified_sum in sums:
        shifts |= rectified_sum.term_shifts(shifts)
    return {top: shifts[top] for layer in model.layers for top in layer.tops if top in shifts}


def _group_shift(
    blobs: set[str],
    touching: Sequence[Layer],
    graph: Graph,
    table: Table,
    sums: tuple[Collection[str], Collection[str]],
    floats: Collection[str],
    barred: Collection[str],
) -> Shift | None:
    """Return the shift of blobs that need one zero point; None if they cannot be shifted.

    Args:
        blobs: their names.
        touching: the layers that read or write one of these blobs, in model order.
        graph: the model's connections.
        table: the model's table.
        sums: the blobs of all sums that are rectified, and the rectified ones.
        floats: the names of the layers that stay in float.
        barred: the names of the layers that may not read shifted blobs.
    """
    between = [layer for layer in touching if _is_between(layer)]
    ends = [layer for layer in touching if not _is_between(layer)]
    totals, rectified = sums
    writers = [layer for layer in ends if any(top in blobs and top not in rectified for top in layer.tops)]
    readers = [layer for layer in ends if blobs.intersection(layer.bottoms) and not _adds_up(layer, totals)]
    if not (
        all(map(ends_at_zero, writers))
        and all(layer.name not in barred and can_read_shifted(layer) for layer in readers)
        and all(map(graph.consumers, blobs))  # no output of the model
    ):
        return None
    sign = _sign(readers, between)
    zero_point = _zero_point([layer for layer in readers if layer.name not in floats], graph, table)
    return None if sign is None or zero_point is None else Shift(sign, zero_point, 127 / zero_point)


def _rectified_sums(model: Model) -> list[_RectifiedSum]:
    """Return the sums that a ReLU or Clip layer reads and whose shift a bias can make up for, in model order."""
    graph = model.graph()
    sums = []
    for layer in model.layers:
        if rectifies(layer):
            (blob,) = layer.bottoms
            writer = graph.producer(blob)
            terms = writer.bottoms if writer is not None and is_sum(writer) else [blob]
            free = tuple(term for term in terms if _is_free(term, graph))
            if free and len(graph.consumers(blob)) == 1:
                others = tuple(term for term in terms if term not in free)
                sums.append(_RectifiedSum(blob, free, others, layer.tops[0]))
    return sums


def _is_free(blob: str, graph: Graph) -> bool:
    """Return whether a linear layer writes a blob, and one layer alone reads it."""
    writer = graph.producer(blob)
    return writer is not None and is_linear(writer) and len(graph.consumers(blob)) == 1


def _adds_up(layer: Layer, totals: Collection[str]) -> bool:
    """Return whether a layer is an addition whose sum is one of those that are rectified."""
    return is_sum(layer) and layer.tops[0] in totals


def _connected(sets: Iterable[set[str]], links: Iterable[set[str]]) -> list[set[str]]:
    """Return disjoint sets, those merged that have elements in one link."""
    set_of = {element: elements for elements in sets for element in elements}
    for link in filter(None, links):
        *others, largest = sorted({id(set_of[element]): set_of[element] for element in link}.values(), key=len)
        for smaller in others:  # into the largest, so that no element moves more than log2(n) times
            largest |= smaller
            set_of.update(dict.fromkeys(smaller, largest))
    return list({id(elements): elements for elements in set_of.values()}.values())


def _tied_blobs(layer: Layer) -> set[str]:
    """Return the blobs that need one zero point because of a layer, which writes shifted blobs if it reads such."""
    return {*layer.bottoms, *layer.tops} if _is_between(layer) else set()


def _is_between(layer: Layer) -> bool:
    """Return whether a layer only moves or averages values, or takes the largest."""
    match layer.op:
        case Arranging():
            return True
        case Pooling() as op:
            return op.is_max or op.averages_values_alone
        case Dropout() as op:
            return op.scale == 1
        case Reduction() as op:
            return op.operation == ReductionType.MEAN and op.coeff == 1
    return False


def _sign(readers: Sequence[Layer], between: Sequence[Layer]) -> int | None:
    """Return -1 where a reader pads, else 1; None if the sign cannot be turned, as maxima would become minima."""
    if not any(reader.op.pads for reader in readers):
        return 1
    return None if any(isinstance(layer.op, Pooling) and layer.op.is_max for layer in between) else -1


def _zero_point(readers: Sequence[Layer], graph: Graph, table: Table) -> float | None:
    """Return half of the largest threshold of some int8 readers.

    None if there are no readers, a reader would lose by the zero point, or the readers of a blob have different scales.
    """
    scales: dict[str, float] = {}
    for reader in readers:
        scale = float(table[reader.name][0])
        if scales.setdefault(graph.split_root(reader.bottoms[0]), scale) != scale:
            return None
    if not scales or 2 * min(scales.values()) < max(scales.values()):
        return None
    return float(np.float32(127 / min(scales.values()) / 2))
