"""What an int8 model is made from, and making it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from pyncnnq.calibration.calibrate import Calibration
from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.winograd import forbid_where_sums_overflow
from pyncnnq.model import Model
from pyncnnq.optimization.source import Source
from pyncnnq.quantization import QuantizedModel, quantize_with_options
from pyncnnq.quantization.faults import WRONG_ON_X86, breaks_on_x86, may_break_on_x86
from pyncnnq.quantization.manifest import Manifest
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.rewrites import asymmetric, zero_point
from pyncnnq.rewrites.rewritten import composed

MIXED_PRECISION = "mixed precision"
"""The technique that leaves layers in float for the sake of accuracy."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A float model and a calibration from which an int8 model can be made.

    Drafts are told apart by identity.

    Attributes:
        source: the float model before its weights and biases were adjusted to int8.
        method: the calibration method that chose thresholds.
        calibration: the table and how it came about; weights may have 8 bits everywhere.
        applied: the names of the techniques that changed the draft, in order.
        adjusted: the float model with other weights and biases, which fit int8 better; None if they are the source's.
        in_float: the names of layers that the user keeps in float.
        spared: the names of layers that stay in float for the sake of accuracy.
        wrong: the names of layers that stay in float since stock ncnn computes them wrong in int8.
        folds: whether blobs are to be stored with zero points.
        uncorrected: the same draft without adjusted weights and biases; None where there are none.
        untuned: the same draft with the thresholds of the calibration method; None where it has them itself.
    """

    source: Source
    method: str
    calibration: Calibration
    _: KW_ONLY
    applied: tuple[str, ...] = ()
    adjusted: Model | None = None
    in_float: frozenset[str] = frozenset()
    spared: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    folds: bool = False
    uncorrected: Draft | None = None
    untuned: Draft | None = None

    @property
    def model(self) -> Model:
        """The float model."""
        return self.source.model if self.adjusted is None else self.adjusted

    @property
    def techniques(self) -> tuple[str, ...]:
        """The names of all techniques, in order."""
        return (*self.source.techniques, *self.applied)

    @cached_property
    def table(self) -> Table:
        """The table without the rows of layers that stay in float."""
        in_float = self.in_float.union(self.spared, self.wrong)
        layers = [layer for layer in self.model.layers if layer.name in in_float]
        keys = {weight_key(layer.name, index) for layer in layers for index in range(len(layer.op.scaled_weights()))}
        return self.calibration.table.without(keys.union(layer.name for layer in layers))

    def with_float(self, *layers: str) -> Draft:
        """Return the draft with more layers in float for the sake of accuracy."""
        if not layers:
            return self
        others = tuple(technique for technique in self.applied if technique != MIXED_PRECISION)
        return replace(self, applied=(*others, MIXED_PRECISION), spared=(*self.spared, *layers))

    def with_scales(self, scales: Mapping[str, np.float32]) -> Draft:
        """Return the draft with other activation scales of some layers, by name."""
        table = self.calibration.table.copy()
        for layer, scale in scales.items():
            table[layer] = scale
        return replace(self, calibration=self.calibration.with_table(table))

    def tuned(self, technique: str, scales: Mapping[str, np.float32]) -> Draft:
        """Return the draft after a technique that chose other activation scales of some layers, by name."""
        return replace(
            self.with_scales(scales),
            applied=(*self.applied, technique),
            uncorrected=self.uncorrected and self.uncorrected.tuned(technique, scales),
            untuned=self.untuned or self,
        )

    @cached_property
    def quantizers(self) -> dict[str, Quantizer]:
        """How the blobs that will be stored with zero points become int8, by name."""
        if not self.folds:
            return {}
        return zero_point.quantizers(self.model, self.table) | asymmetric.quantizers(
            self.model, self.table, self.source.extremes
        )

    def sound(self, options: QuantizeOptions) -> Draft:
        """Return the draft with those layers in float that stock ncnn would compute wrong in int8.

        Which these are depends on the layers that read them: a chained layer is right.
        """
        if not any(may_break_on_x86(layer) for layer in self.model.layers):
            return self  # without making an int8 model
        return self._sound(options)[0]

    def finish(self, options: QuantizeOptions) -> Finished:
        """Make the int8 model, layers in float that stock ncnn would compute wrong.

        Args:
            options: those of the user.

        Raises:
            PyncnnqError: see `pyncnnq.quantize`.
        """
        return self._sound(options)[1]

    def _sound(self, options: QuantizeOptions) -> tuple[Draft, Finished]:
        """Return the sound draft, and the int8 model of it."""
        made = self._made(options)
        wrong = [layer.name for layer in made.int8.layers if breaks_on_x86(layer)]
        if not wrong:
            return self, made
        # What hands its output on as int8 to these no longer can.
        return replace(self, wrong=(*self.wrong, *wrong))._sound(options)

    def _made(self, options: QuantizeOptions) -> Finished:
        model, table, left = self.model.copy(), self.table, (*self.spared, *self.wrong)
        if self.uncorrected is not None and left:
            _restore(model, self.uncorrected.model, left)
        folded: list[str] = []
        storage = self.source.storage
        if self.folds:
            for fold in (zero_point.fold_zero_points, partial(asymmetric.fold_asymmetric, ranges=self.source.extremes)):
                result = fold(model, table)
                model, table, storage = result.model, result.table, composed(storage, result.storage)
                folded += result.changed
        no_winograd = forbid_where_sums_overflow(model, table)
        int8 = quantize_with_options(
            model, table, options.excluding(left), self.source.statistics.dimensions, as_ncnn2int8=False
        )
        reasons = dict.fromkeys(self.spared, "for the sake of accuracy") | dict.fromkeys(self.wrong, WRONG_ON_X86)
        int8.summary = int8.summary.with_reasons(reasons)
        int8.manifest = Manifest(techniques=self.techniques, blobs=storage, method=self.method)
        return Finished(int8, model, self.calibration.with_table(table), folded=folded, no_winograd=no_winograd)


@dataclass(frozen=True)
class Finished:
    """An int8 model and what it was made from in the end.

    Attributes:
        int8: the int8 model.
        model, calibration: the float model and the table; ncnn2int8 makes this int8 model of them, but for masks of
            features and the scale of a Gemm's B.
        folded: the names of blobs that are stored with a zero point; if there are any, `model` is of no use in float.
        no_winograd: the names of layers that may not use winograd, in which some input would make a sum overflow.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    _: KW_ONLY
    folded: list[str] = field(default_factory=list)
    no_winograd: list[str] = field(default_factory=list)


def _restore(model: Model, other: Model, layers: tuple[str, ...]) -> None:
    """Give some layers of a model the weights and parameters that they have in another model."""
    originals = {layer.name: layer for layer in other.layers}
    restored = set(layers)
    for layer in model.layers:
        if layer.name in restored:
            layer.weights = dict(originals[layer.name].weights)
            layer.params = originals[layer.name].params.copy()
