"""The ways to make an int8 model that a recipe tries."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pyncnnq.calibration.calibrate import calibrate
from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.layerwise.rounding import round_weights, samples_in_memory
from pyncnnq.model import Model
from pyncnnq.model.macs import macs
from pyncnnq.model.quantizable import INT8_TYPES
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge, Judged, Progress
from pyncnnq.optimization.mixed_precision import ALLOWANCE, Budget, MixedPrecision, leave_in_float, meet
from pyncnnq.optimization.techniques import (
    BIASES,
    CENTRING,
    EQUALIZATION,
    REFITTING,
    ROUNDING,
    SCALARS,
    SCALES,
    THRESHOLDS,
    ZERO_POINTS,
)
from pyncnnq.optimization.threshold_search import LEAST_SAMPLES, SAMPLES, WORK, search_thresholds, with_scales
from pyncnnq.quantization import QuantizeOptions
from pyncnnq.quantization.selection import left_out
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.equalization import EqualizedGroup, equalize
from pyncnnq.rewrites.scalar_folding import fold_scalars
from pyncnnq.rewrites.scale_layers import insert_scales, remove_idle
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples
from pyncnnq.statistics.ranges import channel_ranges
from pyncnnq.statistics.shapes import blob_shapes

METHODS = ("auto", "minmax")
"""The methods of thresholds that are tried."""

MOST_ROUNDED = 2
"""How many ways, the best so far, go through rounding, which takes longest."""

_MEASURED_SAMPLES = 8
"""How many tell how much layers compute, on average where samples differ in size."""


class Search:
    """Makes drafts of int8 models from a float model and calibration samples.

    Attributes:
        statistics: of the calibration samples in the model that was given.
    """

    def __init__(
        self,
        model: Model,
        data: CalibrationData,
        judge: Judge,
        folder: Path,
        pool: WorkerPool,
        *,
        strict: bool,
        progress: Progress,
    ) -> None:
        """Run the model over the samples.

        Args:
            model: the float model, as read from its files.
            data: the samples to calibrate on.
            judge: of models, on other samples.
            folder: for the files of models that are made on the way.
            pool: the processes to use.
            strict: an unreadable sample is an error instead of being skipped.
            progress: called with the name of each pass.
        """
        self._model, self._data, self._judge, self._folder = model, data, judge, folder
        self._pool, self._progress = pool, progress
        self._drafts: list[Draft] = []
        self._rounded: dict[tuple[Draft, bool], Draft] = {}
        self.statistics = self._observe("calibrate", model, strict=strict)
        self._data = replace(
            data, samples=[data.samples[number] for number in self.statistics.numbers]
        )  # those that can be read

    def drafts(self, recipe: str, techniques: Collection[str], choices: Mapping[str, Any]) -> list[Draft]:
        """All that a recipe tries before rounding.

        Args:
            recipe: its name.
            techniques: those of the recipe that are wanted.
            choices: what `pyncnnq.quantize` takes beside the model and its table.
        """
        model = self._model
        in_float = frozenset(left_out(model, QuantizeOptions(**choices)))
        if recipe == "table":
            self._drafts = [Draft("auto", (), model, calibrate(model, self.statistics, method="auto"), in_float)]
        elif recipe == "fast":
            tried = _drafts(model, self.statistics, "auto", in_float, techniques)
            self._drafts = [draft for draft in tried if (BIASES in draft.techniques) == (BIASES in techniques)]
        else:
            ways: list[tuple[Model, Statistics, tuple[str, ...]]] = [(model, self.statistics, ())]
            rewritten, rewrites = self._rewrite(techniques)
            if rewrites:
                ways.append((rewritten, self._observe("calibrate again", rewritten), rewrites))
            self._drafts = [
                draft
                for one, statistics, done in ways
                for method in METHODS
                for draft in _drafts(one, statistics, method, in_float, techniques, done)
            ]
        return self._drafts

    def tuned(self, best: Judged, techniques: Collection[str]) -> list[Judged]:
        """The best model with thresholds by what they do to the outputs; nothing where none gains.

        Args:
            best: the best model so far, all int8.
            techniques: those that are wanted.
        """
        if THRESHOLDS not in techniques or not self.statistics.blobs:
            return []
        work = math.fsum(self._work.values())
        samples = pick(self._data.samples, max(LEAST_SAMPLES, min(SAMPLES, int(WORK / max(work, 1.0)))))
        with self._progress("search thresholds") as update:
            scales = search_thresholds(best, self._judge.on(samples), update)
        if not scales:
            return []
        tuned = {
            draft: with_scales(draft, scales).with_technique(THRESHOLDS)
            for draft in (best.draft, self._uncorrected(best.draft))
        }
        self._drafts += tuned.values()
        return self._judge.judge([tuned[best.draft]])

    def rounded(
        self, judged: Sequence[Judged], techniques: Collection[str], spared: tuple[str, ...] = ()
    ) -> list[Judged]:
        """The best drafts with weights rounded by what their layers see, judged: the best first; none where nothing can
        be rounded.

        Args:
            judged: models that are all int8, the best first.
            techniques: those that are wanted.
            spared: the layers to leave in float now.
        """
        if ROUNDING not in techniques or not self.statistics.blobs:
            return []
        bases: dict[tuple[str, tuple[str, ...]], Draft] = {}
        for one in judged:
            base = self._uncorrected(one.draft)
            bases.setdefault((base.method, _but(base.techniques, THRESHOLDS)), base)
        ways = [(base, False) for base in list(bases.values())[:MOST_ROUNDED]]
        if REFITTING in techniques:
            ways.append((ways[0][0], True))
        return self._judge.judge([self._round(base.with_float(*spared), refits=refits) for base, refits in ways])

    def spare_little(self, best: Judged, techniques: Collection[str]) -> MixedPrecision:
        """Leave the layers in float that gain most for next to no work.

        Args:
            best: the best model that is all int8.
            techniques: those that are wanted.
        """
        start = self._start(best, techniques)
        with self._progress("leave layers in float") as update:
            return leave_in_float(start, self._work, self._judge, ALLOWANCE, update)

    def spare(
        self, judged: Sequence[Judged], rounded: Sequence[Judged], techniques: Collection[str], budget: Budget
    ) -> MixedPrecision:
        """Leave layers in float until a budget is met.

        Args:
            judged: all models so far, the best first.
            rounded: those of them whose weights were rounded by what their layers see.
            techniques: those that are wanted.
            budget: what to reach.
        """
        best = next(one for one in judged if ROUNDING not in one.draft.techniques)
        refits = bool(rounded) and REFITTING in rounded[0].draft.techniques

        def rounded_without(spared: tuple[str, ...]) -> Judged:
            draft = self._uncorrected(best.draft).with_float(*spared)
            return self._judge.judge([self._round(draft, refits=refits)])[0]

        def start() -> Judged:
            return self._start(best, techniques)

        best_rounded = rounded[0] if rounded else None
        return meet(budget, judged, start, best_rounded, rounded_without, self._work, self._judge, self._progress)

    def _start(self, best: Judged, techniques: Collection[str]) -> Judged:
        """The model to choose layers in that stay in float: rounded, else errors that rounding takes away hide the
        others."""
        if ROUNDING not in techniques or not self.statistics.blobs:
            return best
        (start,) = self._judge.judge([self._round(self._uncorrected(best.draft), refits=False)])
        return start

    @cached_property
    def _work(self) -> dict[str, float]:
        """How many multiplications each layer that may be int8 takes for a sample, by its name."""
        layers = [layer for layer in self._model.layers if layer.type in INT8_TYPES]
        touched = {blob for layer in layers for blob in (*layer.bottoms, *layer.tops)}
        blobs = [top for layer in self._model.layers for top in layer.tops if top in touched]
        samples = pick(self._data.samples, _MEASURED_SAMPLES)
        shapes = blob_shapes(self._model, samples, self._data.inputs, blobs, self._pool)
        counts = [macs(layers, one) for one in shapes]
        return {layer.name: sum(count.get(layer.name, 0) for count in counts) / len(counts) for layer in layers}

    def _observe(self, what: str, model: Model, *, strict: bool = False) -> Statistics:
        with self._progress(what) as update:
            return observe_samples(
                model, self._data.samples, self._data.inputs, self._pool, strict=strict, progress=update
            )

    def _rewrite(self, techniques: Collection[str]) -> tuple[Model, tuple[str, ...]]:
        """A model that computes the same in float and has blobs that fit int8 better, saved; and what was done to
        it."""
        model, removed = fold_scalars(self._model) if SCALARS in techniques else (self._model, [])
        inserted: list[str] = []
        centred: list[str] = []
        equalized: list[EqualizedGroup] = []
        if CENTRING in techniques or EQUALIZATION in techniques:
            if SCALES in techniques:
                model, inserted = insert_scales(model)
            model = model.stored(self._folder, "scalars")
            with self._progress("measure channels") as update:
                ranges = channel_ranges(model, self._data.samples, self._data.inputs, self._pool, progress=update)
            if CENTRING in techniques:
                model, ranges, centred = centre(model, ranges)
            if EQUALIZATION in techniques:
                model, _, equalized = equalize(model, ranges)
            model, inserted = remove_idle(model, inserted)
        changes = ((SCALARS, removed), (SCALES, inserted), (CENTRING, centred), (EQUALIZATION, equalized))
        done = tuple(technique for technique, changed in changes if changed)
        return (model.stored(self._folder, "rewritten") if done else model), done

    def _uncorrected(self, draft: Draft) -> Draft:
        """The same draft without corrected biases, which rounding would correct again."""
        techniques = _but(draft.techniques, BIASES)
        return next(other for other in self._drafts if (other.method, other.techniques) == (draft.method, techniques))

    def _round(self, draft: Draft, *, refits: bool) -> Draft:
        if (draft, refits) not in self._rounded:
            self._rounded[draft, refits] = self._with_rounded_weights(draft, refits=refits)
        return self._rounded[draft, refits]

    def _with_rounded_weights(self, draft: Draft, *, refits: bool) -> Draft:
        samples = pick(self._data.samples, samples_in_memory(self.statistics))
        with self._progress("round") as update:
            model, table = round_weights(
                draft.model,
                draft.table,
                draft.quantizers(),
                samples,
                self._data.inputs,
                self._pool,
                refits=refits,
                progress=update,
            )
        techniques = (*draft.techniques, REFITTING, ROUNDING) if refits else (*draft.techniques, ROUNDING)
        calibration = draft.calibration.with_table(table)
        return replace(draft, techniques=techniques, model=model, calibration=calibration, uncorrected=draft.model)


def _but(techniques: Sequence[str], left_out: str) -> tuple[str, ...]:
    return tuple(technique for technique in techniques if technique != left_out)


def _drafts(
    model: Model,
    statistics: Statistics,
    method: str,
    in_float: frozenset[str],
    techniques: Collection[str],
    rewrites: tuple[str, ...] = (),
) -> list[Draft]:
    """Without and with each technique; biases are corrected first, since folding carries them along."""
    ranges = {blob: (seen.min, seen.max) for blob, seen in statistics.blobs.items()}
    calibration = calibrate(model, statistics, method=method, weight_bits="8")
    drafts = [Draft(method, rewrites, model, calibration, in_float, ranges=ranges)]
    if BIASES in techniques:
        corrected, _ = correct_biases(model, drafts[0].table, statistics)
        drafts.append(drafts[0].with_technique(BIASES, model=corrected, uncorrected=model))
    if ZERO_POINTS in techniques:
        folding = [draft.with_technique(ZERO_POINTS, folds=True) for draft in drafts]
        drafts += [draft for draft in folding if draft.quantizers()]
    return drafts
