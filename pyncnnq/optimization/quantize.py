"""From a float model, and its calibration table or calibration data, to the int8 model, layers fused first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import overload

from pyncnnq.calibration.calibrate import check_model
from pyncnnq.calibration.table import Table
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import Data, find_fitting
from pyncnnq.latency.profile import Profile
from pyncnnq.latency.profile_file import profile_of
from pyncnnq.model import Model
from pyncnnq.model.model import StrPath
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.optimization.wishes import Wish
from pyncnnq.quantization import QuantizedModel, QuantizeOptions, quantize_with_options
from pyncnnq.rewrites.fusing.marks import fuse_as_table
from pyncnnq.runtime.engines.choice import EngineLike, engine_of
from pyncnnq.runtime.progress import Progress, silent


@overload
def quantize(
    model: Model,
    table: Table,
    /,
    *,
    fuse: bool = True,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
) -> QuantizedModel: ...


@overload
def quantize(
    model: Model,
    /,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    engine: EngineLike = None,
    strict: bool = False,
    progress: Progress = silent,
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget | None = None,
    task: str | None = None,
    goal: str | None = None,
    device: Profile | StrPath | None = None,
    front: bool = False,
    pick: int | None = None,
    latency_budget: float | None = None,
    fit_activations: float | None = None,
    fuse: bool = True,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
) -> Optimized: ...


def quantize(
    model: Model,
    /,
    *data: Table | Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    engine: EngineLike = None,
    strict: bool = False,
    progress: Progress = silent,
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget | None = None,
    task: str | None = None,
    goal: str | None = None,
    device: Profile | StrPath | None = None,
    front: bool = False,
    pick: int | None = None,
    latency_budget: float | None = None,
    fit_activations: float | None = None,
    fuse: bool = True,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
) -> QuantizedModel | Optimized:
    """Return the int8 model of a float model, as `pyncnnq quantize` writes it; both results have `save`.

    With a table, the layers get the scales of the table.  With data, the model is calibrated in several ways, and what
    is best on samples held out of the calibration is returned.

    Args:
        model: the float model, as read from its files; it is left as it is.
        data: the calibration table; or for each model input a folder, a list file, a file, or several of them.
        options, samples, workers, engine, strict, progress: see `pyncnnq.calibrate`.
        recipe, without, budget, task, goal: see `pyncnnq.optimization.recipe.optimize_on`.
        device: the profile of the device that the model is for, or its file (see `pyncnnq.profile`).
        front, pick, latency_budget: see `pyncnnq.optimization.wishes.Wish`.
        fit_activations: see `pyncnnq.optimization.recipe.optimize_on`.
        fuse: fuse the layers of the model first (see `pyncnnq.fuse`); with a table: if it was made for the fused model.
        exclude, only, keep_first_last, float32: see `pyncnnq.quantization.QuantizeOptions`.

    Raises:
        PyncnnqError: a model that is int8 already, weights that are not finite, a pattern that matches no layer, an
            unknown recipe, technique, task or goal, a profile that cannot be read or is of another model, or ncnn
            cannot run the model on this data.
        TableError: a table that does not fit the model, or was made for the fused model where `fuse` is False.
        InputError: fewer than 4 samples, data that does not fit the model, or preprocessing that is missing.
    """
    layers = QuantizeOptions(exclude=exclude, only=only, keep_first_last=keep_first_last, float32=float32)
    if data and isinstance(data[0], Table):
        for_data: dict[str, object] = {"samples": samples, "workers": workers, "engine": engine, "strict": strict}
        for_data |= {"without": without, "budget": budget, "task": task, "goal": goal, "device": device}
        for_data |= {"front": front, "pick": pick, "latency_budget": latency_budget}
        for_data |= {"fit_activations": fit_activations}
        for name, value in (*for_data.items(), ("options", options), ("recipe", recipe != "best")):
            if value:
                raise PyncnnqError("is for calibration data, not for a table; leave it out", option=name)
        return _quantize_by_table(model, data[0], layers, fuse=fuse)
    chosen = find_fitting(model, data, options, samples)  # type: ignore[arg-type]
    search = partial(
        optimize_on,
        recipe=recipe,
        without=without,
        budget=budget,
        task=task,
        goal=goal,
        device=profile_of(device),
        wish=Wish.of(front=front, pick=pick, latency_budget=latency_budget, has_device=device is not None),
        fit_activations=fit_activations,
        fuse=fuse,
        options=layers,
    )
    check_model(model)
    with engine_of(engine, workers, len(chosen.samples)) as pool:
        return search(model, chosen, pool, strict=strict, progress=progress)


def _quantize_by_table(model: Model, table: Table, options: QuantizeOptions, *, fuse: bool) -> QuantizedModel:
    fused, warnings = fuse_as_table(model, table, may_fuse=fuse)
    int8 = quantize_with_options(fused.model, table, options)
    int8.summary = replace(int8.summary, warnings=(*warnings, *int8.summary.warnings))
    int8.manifest = replace(int8.manifest, fused=fused.changes)
    return int8
