"""From a float model and calibration data to the int8 model with the smallest error, judged on samples held out of the
calibration."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyncnnq.calibration.calibrate import Calibration
from pyncnnq.calibration.provenance import record_inputs
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.latency.profile import Profile
from pyncnnq.model import Model
from pyncnnq.model.model import StrPath
from pyncnnq.notebook import as_html
from pyncnnq.optimization.bench import Bench
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.description import description
from pyncnnq.optimization.fitted_activations import FittedActivations
from pyncnnq.optimization.fitted_activations import fit_activations as fit
from pyncnnq.optimization.front import Front, find_front
from pyncnnq.optimization.judge import Judge, split_samples
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.preparing import prepare
from pyncnnq.optimization.recipes import recipe_named
from pyncnnq.optimization.search import Search
from pyncnnq.optimization.settings import Settings
from pyncnnq.optimization.speed import Speed, leave_slower, proven
from pyncnnq.optimization.technique import Stage
from pyncnnq.optimization.techniques import chosen_techniques
from pyncnnq.optimization.wishes import Wish, wished_goal
from pyncnnq.quantization import QuantizedModel
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.statistics.observe import Statistics


@dataclass(kw_only=True)
class Optimized:
    """The best int8 model that was found, and what it was made from.

    Attributes:
        int8: the int8 model.
        model: the float model that it was made from: the user's, fused and with other weights and biases.
        calibration: the table, and how it came about.
        folded: the names of blobs that are stored with a zero point; if there are any, `model` is of no use in float
            (see `fold_zero_points`).
        no_winograd: the names of layers that may not use winograd, since some input would make a sum overflow there.
        fused: what became of the layers that were fused into others or removed, by name (see `pyncnnq.fuse`).
        chosen: how the int8 model was made.
        candidates: all that were tried, the best first; but for those of a budget, of which only the chosen one is
            here, before all others.
        statistics: of the calibration samples; the held-out samples that were skipped are named there too.
        held_out: how many samples judged.
        mixed: the layers that were left in float; None if there were to be none.
        speed: which layers stay in float for the sake of speed; None if nobody asked.
        front: the models between speed and accuracy; None if nobody asked.
        fitted: the activations that were replaced; None if nobody asked.
        ignored_files: how many files of other types and hidden ones lay in the folders of data, by suffix.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    folded: list[str]
    no_winograd: list[str]
    fused: dict[str, str]
    chosen: Candidate
    candidates: list[Candidate]
    statistics: Statistics
    held_out: int
    mixed: MixedPrecision | None
    speed: Speed | None = None
    front: Front | None = None
    fitted: FittedActivations | None = None
    ignored_files: Mapping[str, int] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        tried = [
            (", ".join((one.method, *one.techniques)), ", ".join(f"{key} {dB:.2f} dB" for key, dB in one.sqnr.items()))
            for one in self.candidates
        ]
        return as_html("tried, the best first", ("techniques", "SQNR"), tried) + self.int8._repr_html_()

    def save(self, param_path: StrPath, bin_path: StrPath) -> None:
        """Write the int8 model and its manifest.

        Raises:
            PyncnnqError: see `pyncnnq.Model.save`.
        """
        self.int8.save(param_path, bin_path)

    @property
    def warnings(self) -> list[str]:
        """What a user should look at: of data and calibration, outputs that could not choose, and a budget that is
        not met."""
        parts = [part.warnings for part in (self.mixed, self.speed) if part is not None]
        return [*self.calibration.warnings, *self._not_told_apart, *(line for lines in parts for line in lines)]

    @property
    def _not_told_apart(self) -> list[str]:
        blobs = list(self.chosen.telling)
        lost = [blob for blob, ratio in self.chosen.sqnr.items() if ratio == -math.inf]
        everywhere = [blob for blob in lost if all(one.sqnr[blob] == -math.inf for one in self.candidates)]
        here = [blob for blob in lost if blob not in everywhere]
        differs = "has another shape than in the float model, or is not finite, in"
        warnings = []
        if everywhere:
            count = len(self.candidates)
            tried = (
                f"each of the {count} int8 models that were tried" if count > 1 else "the one int8 model that was tried"
            )
            taken = "; so their ratios tell none from another"
            warnings.append(f"{', '.join(everywhere)}: {differs} {tried}{taken * (count > 1 and everywhere == blobs)}")
        if here:
            warnings.append(
                f"{', '.join(here)}: {differs} the int8 model that was chosen: the others that were tried are worse in "
                "other outputs"
            )
        return warnings


def optimize_on(
    model: Model,
    data: CalibrationData,
    pool: Engine,
    *,
    strict: bool = False,
    progress: Progress = silent,
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget | None = None,
    task: str | None = None,
    goal: str | None = None,
    device: Profile | None = None,
    wish: Wish | None = None,
    fit_activations: float | None = None,
    fuse: bool = True,
    options: QuantizeOptions | None = None,
) -> Optimized:
    """Try the techniques of a recipe, alone and together, and return what is best on held-out samples.

    All weights get 8 bits; where some input could make a sum overflow in winograd, the layer is told not to use it.
    Stock ncnn runs float and int8 models alike.  The result is the same for any number of workers.

    Args:
        model: the float model, as read from its files.
        data: samples and their preprocessing (see `pyncnnq.inputs.data.find_data`); some of them are held out (see
            `pyncnnq.optimization.recipes.Recipe`).
        pool: the processes to use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of each pass.
        recipe: a name in `pyncnnq.optimization.recipes.RECIPES`.
        without: names of techniques to leave out (see `pyncnnq.optimization.techniques.TECHNIQUES`).
        budget: what the model shall reach, and how many layers may stay in float for that; None or an empty one: no
            layer but those that the recipe leaves in float unasked.
        task: the name of what the outputs mean, or `NAME:SETTING` (see `pyncnnq.evaluate`); default: the first task
            that knows.
        goal: what the model is for, a name in `pyncnnq.optimization.goals.GOALS`; default: `accuracy`, with a device
            `balanced`.
        device: the profile of the device that the model is for (see `pyncnnq.profile`); default: where the goal asks
            for speed, this machine is measured on one thread.
        wish: which other points between speed and accuracy to find, and which of them to take; None: none.
        fit_activations: replace Swish and GELU behind convolutions by a fitted HardSwish that ncnn computes with them,
            as many as leave the float outputs at this signal-to-noise ratio, in dB; None: none.
        fuse: fuse the layers of the model first (see `pyncnnq.fuse`).
        options: which layers stay in float anyway, and how their weights are stored.

    Raises:
        InputError: fewer than 4 samples, or data that does not fit the model.
        PyncnnqError: ncnn cannot run the model on this data, an unknown recipe, technique, task or goal, a pattern that
            matches no layer, or a profile of another model.
    """
    tried, aim = recipe_named(recipe), wished_goal(goal, device=device, wish=wish)
    techniques = [technique for technique in chosen_techniques(tried, without) if aim.name in technique.goals]
    if not aim.is_accurate:
        techniques = [technique for technique in techniques if technique.stage is not Stage.MIXED_PRECISION]
    options, budget = options or QuantizeOptions(), None if budget == Budget() else budget
    if budget is None or not budget.lets_float or options.names_layers:  # which would not be found any more
        techniques = [technique for technique in techniques if not technique.for_budgets]
    samples, held_out = split_samples(data.samples, tried)
    metric = budget.metric if budget is not None else None
    settings = Settings(pool, options, strict=strict, progress=progress)
    with temporary_folder() as folder:
        fused = fuse_for(model, data, Path(folder)) if fuse else Fused(model)
        fitted = None
        if fit_activations is not None:
            fitted = fit(fused.model, replace(data, samples=samples), Path(folder), settings, fit_activations)
            fused = replace(fused, model=fitted.model)
        prepared = prepare(fused.model, techniques, replace(data, samples=samples), Path(folder), settings)
        speed = None
        if aim.is_fast:
            speed, options = leave_slower(prepared.model, data, Path(folder), settings, device)
            settings = replace(settings, options=options)
        judge = Judge(model.files, prepared.model, held_out, data.inputs, settings, metric=metric, task=task)
        few = tried.first if budget is None else None  # a goal is looked at on all samples
        first = judge.some(few) if few is not None and few < judge.count else judge
        bench = Bench(prepared, replace(data, samples=samples), first, Path(folder), settings, final=judge)
        search = Search(tried, techniques, bench)
        search.run(budget)
        front = None
        if speed is not None and wish is not None:
            front = find_front(search, bench, speed, prepared.model, Path(folder), wish)
        if speed is not None and device is None:
            speed = proven(speed, prepared.model, search.judged[0].made.int8, Path(folder))
    bench.source.statistics.skipped += dict.fromkeys([*first.skipped, *judge.skipped])
    result = replace(
        _optimized(search, bench, fused.changes), ignored_files=data.ignored, speed=speed, front=front, fitted=fitted
    )
    result.calibration = replace(result.calibration, inputs=data.facts)
    result.calibration.warnings[:0] = data.warnings
    record_inputs(result.calibration.table, data)
    preprocessing = {name: str(spec) for name, spec in zip(model.inputs, data.inputs, strict=True)}
    result.int8.manifest = replace(
        result.int8.manifest,
        recipe=recipe,
        fused=fused.changes,
        calibration={
            "preprocessing": preprocessing,
            "inputs": data.facts,
            "synthetic": data.is_synthetic,
            **description(result),
        },
    )
    return result


def _optimized(search: Search, bench: Bench, fused: dict[str, str]) -> Optimized:
    """Return the best model of a search."""
    best = search.judged[0]
    made = best.made
    return Optimized(
        int8=made.int8,
        model=made.model,
        calibration=made.calibration,
        folded=made.folded,
        no_winograd=made.no_winograd,
        fused=fused,
        chosen=best.candidate,
        candidates=[judged.candidate for judged in search.judged],
        statistics=bench.source.statistics,
        held_out=bench.final.count,
        mixed=search.mixed,
    )
