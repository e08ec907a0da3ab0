"""What an int8 model is made from, and making it."""

from __future__ import annotations

import copy
import glob
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pyncnnq.calibration.calibrate import Calibration
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.winograd import forbid_where_sums_overflow
from pyncnnq.model import Model
from pyncnnq.optimization.techniques import MIXED_PRECISION
from pyncnnq.quantization import QuantizedModel, quantize
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.rewrites import asymmetric, zero_point


@dataclass(frozen=True, eq=False)
class Draft:
    """A float model and a calibration from which an int8 model can be made.

    Attributes:
        method: how thresholds were chosen.
        techniques: what else was done to get here, in order.
        model: the float model.
        calibration: its table and how that came about; weights may have 8 bits everywhere.
        in_float: the layers that the user keeps in float.
        spared: those that stay in float for the sake of accuracy.
        uncorrected: the model before its biases were corrected for what int8 does to weights; the spared layers are as
            they are there.
        folds: whether blobs are to be stored with zero points.
        ranges: the smallest and the largest value of each blob that feeds a quantizable layer.
    """

    method: str
    techniques: tuple[str, ...]
    model: Model
    calibration: Calibration
    in_float: frozenset[str] = frozenset()
    spared: tuple[str, ...] = ()
    uncorrected: Model | None = None
    folds: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def with_technique(self, technique: str, **changes: Any) -> Draft:
        """The same with something done to it."""
        return replace(self, techniques=(*self.techniques, technique), **changes)

    def with_float(self, *layers: str) -> Draft:
        """The same with more layers in float for the sake of accuracy."""
        techniques = tuple(technique for technique in self.techniques if technique != MIXED_PRECISION)
        return (
            replace(self, techniques=(*techniques, MIXED_PRECISION), spared=(*self.spared, *layers)) if layers else self
        )

    @property
    def table(self) -> Table:
        """The table without the rows of layers that stay in float."""
        return without_rows(self.calibration.table, self.model, self.in_float.union(self.spared))

    def quantizers(self) -> dict[str, Quantizer]:
        """How the blobs that will be stored with zero points become int8, by name."""
        if not self.folds:
            return {}
        return zero_point.quantizers(self.model, self.table) | asymmetric.quantizers(
            self.model, self.table, self.ranges
        )

    def finish(self, choices: Mapping[str, Any]) -> Finished:
        """Make the int8 model.

        Args:
            choices: what `pyncnnq.quantize` takes beside the model and its table.
        """
        model, table = self.model.copy(), self.table
        if self.uncorrected is not None:
            for name in self.spared:
                model.layer(name).weights = dict(self.uncorrected.layer(name).weights)
                model.layer(name).params = self.uncorrected.layer(name).params.copy()
        folded: list[str] = []
        if self.folds:
            shifted = zero_point.fold_zero_points(model, table)
            centred = asymmetric.fold_asymmetric(shifted.model, shifted.table, self.ranges)
            model, table, folded = centred.model, centred.table, [*shifted.changed, *centred.changed]
        no_winograd = forbid_where_sums_overflow(model, table)
        exclude = choices.get("exclude", ())
        choices = {
            **choices,
            "exclude": [*([exclude] if isinstance(exclude, str) else exclude), *map(glob.escape, self.spared)],
        }
        int8 = quantize(model, table, **choices)
        int8.summary = int8.summary.with_reasons(dict.fromkeys(self.spared, "for the sake of accuracy"))
        return Finished(int8, model, self.calibration.with_table(table), folded, no_winograd)


@dataclass(frozen=True)
class Finished:
    """An int8 model and what it was made from in the end.

    Attributes:
        int8: the int8 model.
        model, calibration: the float model and the table; ncnn2int8 makes this int8 model of them, but for masks of
            features.
        folded: the blobs that are stored with a zero point; if there are any, `model` is of no use in float.
        no_winograd: the layers that may not use winograd, in which some input would make a sum overflow.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    folded: list[str] = field(default_factory=list)
    no_winograd: list[str] = field(default_factory=list)


def without_rows(table: Table, model: Model, layers: Collection[str]) -> Table:
    """A copy of a table without the rows of some layers."""
    table = copy.deepcopy(table)
    for layer in map(model.layer, layers):
        for key in (layer.name, *(weight_key(layer.name, index) for index in range(len(layer.op.scaled_weights())))):
            if key in table:
                del table[key]
    return table
