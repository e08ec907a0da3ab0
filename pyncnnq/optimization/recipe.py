"""From a float model and calibration data to the int8 model with the smallest error, judged on samples held out of the calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration import Calibration, calibrate
from pyncnnq.data import CalibrationData, Data, find_chosen
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import InputOptions
from pyncnnq.macs import macs
from pyncnnq.model import Model, load_model
from pyncnnq.optimization.bias_correction import correct_biases
from pyncnnq.optimization.centring import centre
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.equalization import equalize
from pyncnnq.optimization.judge import Candidate, Judge, Judged, Progress, split_samples
from pyncnnq.optimization.mixed_precision import MIXED_PRECISION, NO_BUDGET, Budget, MixedPrecision, leave_in_float
from pyncnnq.optimization.rounding import round_weights
from pyncnnq.optimization.scalar_folding import fold_scalars
from pyncnnq.quantizable import INT8_TYPES
from pyncnnq.quantization import QuantizedModel
from pyncnnq.quantization.selection import left_out
from pyncnnq.statistics.driver import Statistics, blob_sizes, channel_ranges, observe_samples
from pyncnnq.statistics.pool import WorkerPool

SCALARS, CENTRING, EQUALIZATION = "scalar folding", "centring", "equalization"
BIASES, ZERO_POINTS, ROUNDING = "bias correction", "zero points", "rounding"

RECIPES: Mapping[str, tuple[str, ...]] = {
    "table": (),
    "fast": (BIASES, ZERO_POINTS),
    "best": (SCALARS, CENTRING, EQUALIZATION, BIASES, ZERO_POINTS, ROUNDING),
}
"""The techniques of each recipe.  `table` chooses scales only; `fast` runs the model once over the samples; `best` takes its time."""

METHODS = ("auto", "minmax")
"""The methods of thresholds that are tried."""


@dataclass
class Optimized:
    """The best int8 model that was found, and what it was made from.

    Attributes:
        int8: the int8 model.
        model: the float model that it was made from: the one that was given, with other weights and biases.
        calibration: the table, and how it came about.
        folded: the blobs that are stored with a zero point; if there are any, `model` is of no use in float (see `fold_zero_points`).
        no_winograd: the layers that may not use winograd, since some input would make a sum overflow there.
        chosen: how it was made.
        candidates: all that were tried, the best first; but for those of a budget, of which only the chosen one is here, before all others.
        statistics: of the calibration samples; what was skipped of the held-out ones is named there too.
        held_out: how many samples judged.
        mixed: the layers that a budget left in float; None without one.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    folded: list[str]
    no_winograd: list[str]
    chosen: Candidate
    candidates: list[Candidate] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)
    held_out: int = 0
    mixed: MixedPrecision | None = None

    @property
    def warnings(self) -> list[str]:
        """What a user should look at: of the calibration, and of a budget that is not met."""
        return [*self.calibration.warnings, *(self.mixed.warnings if self.mixed else ())]


def optimize(
    model: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
    recipe: str = "best",
    without: Collection[str] = (),
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    max_float_layers: int | None = None,
    metric: str | None = None,
    **choices: Any,
) -> Optimized:
    """The most accurate int8 model of a float model that a recipe finds.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict, progress, recipe, without, choices: see `optimize_on`.
        min_sqnr, max_drop, max_float_layers, metric: see `Budget`; without the first three no layer stays in float for accuracy.

    Raises:
        InputError: fewer than 4 samples, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: ncnn cannot run the model on this data, or an unknown recipe or technique.
    """
    budget = Budget(min_sqnr, max_drop, max_float_layers, metric)
    found = find_chosen(model, data, options, samples)
    return optimize_on(model, found, workers, strict=strict, progress=progress, recipe=recipe, without=without, budget=budget, **choices)


def optimize_on(
    model: Model,
    data: CalibrationData,
    workers: int | None = None,
    *,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget = NO_BUDGET,
    **choices: Any,
) -> Optimized:
    """Try the techniques of a recipe, alone and together, and keep what is best on held-out samples.

    All weights get 8 bits; where some input could make a sum overflow in winograd, the layer is told not to use it.  Stock ncnn runs float
    and int8 models alike.  The result is the same for any number of workers.

    Args:
        model: the float model, as read from its files.
        data: samples and their preprocessing (see `pyncnnq.data.find_data`); one in ten of them, 2 to 16, is held out.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of each pass.
        recipe: a name in RECIPES.
        without: techniques to leave out, names in `RECIPES["best"]`.
        budget: for which layers may stay in float.
        choices: what `pyncnnq.quantize` takes beside the model and its table.

    Raises:
        InputError: fewer than 4 samples, or data that does not fit the model.
        PyncnnqError: ncnn cannot run the model on this data, or an unknown recipe or technique.
    """
    techniques = _techniques(recipe, without)
    calibration_samples, held_out = split_samples(data.samples)
    with progress("calibrate") as update:
        statistics = observe_samples(model, calibration_samples, data.inputs, WorkerPool(workers), strict=strict, progress=update)
    in_float = frozenset(left_out(model, **{name: choices.get(name, default) for name, default in _SELECTION.items()}))
    judge = Judge(model, held_out, data.inputs, workers, choices, metric=budget.metric, strict=strict, progress=progress)

    def rounded(draft: Draft) -> Draft:
        with progress("round") as update:
            other, table = round_weights(
                draft.model, draft.table, draft.quantizers(), calibration_samples, data.inputs, WorkerPool(workers), progress=update
            )
        return draft.with_technique(ROUNDING, model=other, calibration=draft.calibration.with_table(table))

    drafts = [draft for method in METHODS for draft in _drafts(model, statistics, method, in_float, techniques)]
    with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
        calibrated = replace(data, samples=calibration_samples)
        rewritten, rewrites = _rewrite(model, calibrated, techniques, Path(folder), workers, progress)
        if rewrites:
            with progress("calibrate again") as update:
                seen = observe_samples(rewritten, calibration_samples, data.inputs, WorkerPool(workers), progress=update)
            for method in METHODS:
                drafts += _drafts(rewritten, seen, method, in_float, techniques, rewrites)
    judged = judge.judge(drafts)
    budget.check(judged[0].candidate)
    start = judged[0]
    unrounded = _uncorrected(start.draft, drafts)
    if ROUNDING in techniques:
        judged = sorted([*judged, *judge.judge([rounded(unrounded)])], key=lambda one: -one.candidate.score)
    mixed = None
    if budget.given:
        int8_layers = [layer for layer in model.layers if layer.type in INT8_TYPES]
        sizes = blob_sizes(model, held_out, data.inputs, [layer.tops[0] for layer in int8_layers], WorkerPool(workers))
        work = {layer.name: macs(layer, sizes[layer.tops[0]]) for layer in int8_layers}

        def rounded_without(layers: tuple[str, ...]) -> Judged:
            draft = rounded(replace(unrounded, spared=layers)).with_technique(MIXED_PRECISION)
            return judge.judge([draft])[0]

        mixed = MixedPrecision(budget, judged[0], (), ())
        if not budget.is_met(judged[0].candidate):
            with progress("leave layers in float") as update:
                mixed = leave_in_float(start, work, judge, budget, update)
            if judged[0] is not start:
                mixed = mixed.round_weights(judged[0], rounded_without)
        judged = [mixed.best, *judged] if mixed.in_float else judged
    best = judged[0]
    statistics.skipped += judge.skipped
    return Optimized(
        best.made.int8,
        best.made.model,
        best.made.calibration,
        best.made.folded,
        best.made.no_winograd,
        best.candidate,
        [one.candidate for one in judged],
        statistics,
        judge.count,
        mixed,
    )


_SELECTION: Mapping[str, Any] = {"exclude": (), "only": (), "keep_first_last": False}
"""The options of `quantize` that keep layers in float."""


def _techniques(recipe: str, without: Collection[str]) -> list[str]:
    if recipe not in RECIPES:
        raise PyncnnqError(f"unknown recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    for name in without:
        if name not in RECIPES["best"]:
            raise PyncnnqError(f"unknown technique {name!r}; there are: {', '.join(RECIPES['best'])}")
    return [name for name in RECIPES[recipe] if name not in without]


def _uncorrected(draft: Draft, drafts: Sequence[Draft]) -> Draft:
    """The same draft without corrected biases."""
    techniques = tuple(technique for technique in draft.techniques if technique != BIASES)
    return next(other for other in drafts if (other.method, other.techniques) == (draft.method, techniques))


def _rewrite(
    model: Model, data: CalibrationData, techniques: Collection[str], folder: Path, workers: int | None, progress: Progress
) -> tuple[Model, tuple[str, ...]]:
    """A model that computes the same in float and has blobs that fit int8 better, saved in a folder; and what was done to it."""
    done = []
    if SCALARS in techniques:
        model, removed = fold_scalars(model)
        done += [SCALARS] if removed else []
    if CENTRING in techniques or EQUALIZATION in techniques:
        model = _saved(model, folder, "scalars")
        with progress("measure channels") as update:
            ranges = channel_ranges(model, data.samples, data.inputs, WorkerPool(workers), progress=update)
        if CENTRING in techniques:
            model, ranges, centred = centre(model, ranges)
            done += [CENTRING] if centred else []
        if EQUALIZATION in techniques:
            model, _, equalized = equalize(model, ranges)
            done += [EQUALIZATION] if equalized else []
    return (_saved(model, folder, "rewritten") if done else model), tuple(done)


def _saved(model: Model, folder: Path, name: str) -> Model:
    """ncnn runs models from files."""
    param, bin_path = folder / f"{name}.param", folder / f"{name}.bin"
    model.save(param, bin_path)
    return load_model(param, bin_path)


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
