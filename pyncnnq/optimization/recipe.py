"""From a float model and calibration data to the int8 model with the smallest error, judged on samples held out of the
calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration.calibrate import Calibration
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen
from pyncnnq.model import Model
from pyncnnq.optimization.description import description
from pyncnnq.optimization.judge import Candidate, Judge, Judged, Progress, split_samples
from pyncnnq.optimization.mixed_precision import NO_BUDGET, Budget, MixedPrecision
from pyncnnq.optimization.search import Search
from pyncnnq.optimization.techniques import MIXED_PRECISION, chosen_techniques
from pyncnnq.quantization import QuantizedModel
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics


@dataclass
class Optimized:
    """The best int8 model that was found, and what it was made from.

    Attributes:
        int8: the int8 model.
        model: the float model that it was made from: the one that was given, fused and with other weights and biases.
        calibration: the table, and how it came about.
        folded: the blobs that are stored with a zero point; if there are any, `model` is of no use in float (see
            `fold_zero_points`).
        no_winograd: the layers that may not use winograd, since some input would make a sum overflow there.
        fused: what became of the layers that were fused into others or removed, by name (see `pyncnnq.fuse`).
        chosen: how it was made.
        candidates: all that were tried, the best first; but for those of a budget, of which only the chosen one is
            here, before all others.
        statistics: of the calibration samples; what was skipped of the held-out ones is named there too.
        held_out: how many samples judged.
        mixed: the layers that were left in float; None if there were to be none.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    folded: list[str]
    no_winograd: list[str]
    fused: dict[str, str]
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
    fuse: bool = True,
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
        min_sqnr, max_drop, max_float_layers, metric: see `Budget`; without the first three no layer stays in float for
            accuracy.
        fuse: fuse the layers of the model first (see `pyncnnq.fuse`).

    Raises:
        InputError: fewer than 4 samples, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: ncnn cannot run the model on this data, or an unknown recipe or technique.
    """
    budget = Budget(min_sqnr, max_drop, max_float_layers, metric)
    found = find_chosen(model, data, options, samples)
    passed: dict[str, Any] = {
        "strict": strict,
        "progress": progress,
        "recipe": recipe,
        "without": without,
        "budget": budget,
        "fuse": fuse,
    }
    with WorkerPool(workers) as pool:
        return optimize_on(model, found, pool, **passed, **choices)


def optimize_on(
    model: Model,
    data: CalibrationData,
    pool: WorkerPool,
    *,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget = NO_BUDGET,
    fuse: bool = True,
    **choices: Any,
) -> Optimized:
    """Try the techniques of a recipe, alone and together, and keep what is best on held-out samples.

    All weights get 8 bits; where some input could make a sum overflow in winograd, the layer is told not to use it.
    Stock ncnn runs float and int8 models alike.  The result is the same for any number of workers.

    Args:
        model: the float model, as read from its files.
        data: samples and their preprocessing (see `pyncnnq.inputs.data.find_data`); one in eight of them, 2 to 32, is
            held out.
        pool: the processes to use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of each pass.
        recipe: a name in `pyncnnq.optimization.techniques.RECIPES`.
        without: techniques to leave out, names in `RECIPES["best"]`.
        budget: for which layers may stay in float.
        fuse: fuse the layers of the model first (see `pyncnnq.fuse`).
        choices: what `pyncnnq.quantize` takes beside the model and its table.

    Raises:
        InputError: fewer than 4 samples, or data that does not fit the model.
        PyncnnqError: ncnn cannot run the model on this data, or an unknown recipe or technique.
    """
    techniques = chosen_techniques(recipe, without)
    calibration_samples, held_out = split_samples(data.samples)
    how: dict[str, Any] = {"strict": strict, "progress": progress}
    with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
        fused = fuse_for(model, data, Path(folder)) if fuse else Fused(model)
        judge = Judge(model.files, fused.model, held_out, data.inputs, pool, choices, metric=budget.metric, **how)
        search = Search(fused.model, replace(data, samples=calibration_samples), judge, Path(folder), pool, **how)
        judged = judge.judge(search.drafts(recipe, techniques, choices))
        budget.check(judged[0].candidate)
        judged = _sorted([*judged, *search.tuned(judged[0], techniques)])
        mixed = (
            None if budget.given or MIXED_PRECISION not in techniques else search.spare_little(judged[0], techniques)
        )
        rounded = search.rounded(judged, techniques, mixed.in_float if mixed else ())
        judged = _sorted([*judged, *rounded, *([mixed.best] if mixed and mixed.in_float else [])])
        if mixed is not None:
            mixed = replace(mixed, best=judged[0])
        elif budget.given:
            mixed = search.spare(judged, rounded, techniques, budget)
            judged = [mixed.best, *judged] if mixed.in_float else judged
    best = judged[0]
    search.statistics.skipped += judge.skipped
    result = Optimized(
        best.made.int8,
        best.made.model,
        best.made.calibration,
        best.made.folded,
        best.made.no_winograd,
        fused.changes,
        best.candidate,
        [one.candidate for one in judged],
        search.statistics,
        judge.count,
        mixed,
    )
    preprocessing = {name: str(spec) for name, spec in zip(model.inputs, data.inputs, strict=True)}
    result.int8.manifest = replace(
        result.int8.manifest,
        recipe=recipe,
        method=result.chosen.method,
        techniques=result.chosen.techniques,
        fused=result.fused,
        calibration={"preprocessing": preprocessing, **description(result)},
    )
    return result


def _sorted(judged: Sequence[Judged]) -> list[Judged]:
    """The best first, of equals the first of those given."""
    return sorted(judged, key=lambda one: -one.candidate.score)
