"""From a float model and calibration data to its calibration table, layers fused first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pyncnnq.calibration.calibrate import Calibration, check_choices, check_model
from pyncnnq.calibration.calibrate import calibrate as choose_scales
from pyncnnq.calibration.methods import DEFAULT
from pyncnnq.calibration.provenance import record_inputs
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import Data, find_fitting
from pyncnnq.model import Model
from pyncnnq.model.checks import needs_data
from pyncnnq.optimization.collect import Run, digests_of, network_digest
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing import fuse as fuse_layers
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.rewrites.fusing.marks import mark
from pyncnnq.runtime.engines.choice import EngineLike, engine_of
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.statistics.collected import Collected
from pyncnnq.statistics.observe import Statistics, observe_samples


def calibrate(
    model: Model,
    *data: Data | Statistics,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    engine: EngineLike = None,
    strict: bool = False,
    progress: Progress = silent,
    method: str = DEFAULT,
    weight_bits: str | None = None,
    fuse: bool = True,
    resume: str | Path | None = None,
) -> Calibration:
    """Return the calibration table of a model, as `pyncnnq calibrate` writes it.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them; nothing for a model that has
            weight rows only.  Or statistics of the model (see `pyncnnq.collect` and `pyncnnq.load_statistics`), which
            say whether it is fused first.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        engine: what runs the model, by default processes of this machine (see `pyncnnq.start_engine`).
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of the pass over the samples.
        method: how scales are chosen, a name in `pyncnnq.calibration.methods.METHODS`.
        weight_bits: how the bits of weights are chosen, a name in `pyncnnq.calibration.weight_scales.WEIGHT_BITS`;
            default: that of the method.
        fuse: fuse the layers of the model first; the table is for the fused model then, and says so.
        resume: a folder for statistics as they are done; what lies there of the same run is not done again.

    Raises:
        ModelError: a model that is int8 already, or has weights that are not finite.
        InputError: no data, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: an unknown name, or ncnn cannot run the model on this data.
    """
    check_choices(method, weight_bits)
    if len(data) == 1 and isinstance(data[0], Collected):
        return _calibrate_collected(model, data[0], method, weight_bits)
    if not needs_data(model) or (len(data) == 1 and isinstance(data[0], Statistics)):
        return _calibrate_as_it_is(model, data, method, weight_bits)
    found = find_fitting(model, data, options, samples)  # type: ignore[arg-type]
    check_model(model)
    statistics: Statistics
    with temporary_folder() as folder, engine_of(engine, workers, len(found.samples)) as pool:
        fused = fuse_for(model, found, Path(folder)) if fuse else Fused(model)
        with progress("calibrate") as update:
            if resume is None:
                statistics = observe_samples(
                    fused.model, found.samples, found.inputs, pool, strict=strict, progress=update
                )
            else:
                run = Run.of(model, fused.model, found, pool, strict=strict, fused=fuse)
                statistics = run.collect((1, 1), resume, update)
    result = choose_scales(fused.model, statistics, method=method, weight_bits=weight_bits)
    result.warnings[:0] = found.warnings
    record_inputs(result.table, found)
    _note_fused(result, fused)
    return replace(result, statistics=statistics, ignored_files=found.ignored, fused=fused.changes, inputs=found.facts)


def _note_fused(result: Calibration, fused: Fused) -> None:
    if fused.changes:
        mark(result.table)
    if fused.reweighted:
        result.warnings.append(
            f"the table is for the fused model: {len(fused.reweighted)} layers have new weights; pyncnnq quantize "
            "fuses it by itself, but ncnn2int8 needs the model that ncnnoptimize writes (`fuse=False`: leave the "
            "model as it is)"
        )


def _calibrate_collected(model: Model, statistics: Collected, method: str, weight_bits: str | None) -> Calibration:
    origin = statistics.origin
    if digests_of(model) != origin.model:
        raise InputError(f"{statistics.place}: is of another model than {model.param_path}")
    fused = fuse_layers(model) if origin.fused else Fused(model)
    if network_digest(fused.model) != origin.network:
        raise InputError(f"{statistics.place}: another version of pyncnnq fused the model; collect again")
    result = choose_scales(fused.model, statistics, method=method, weight_bits=weight_bits)
    result.warnings[:0] = origin.warnings
    for comment in origin.comments:
        result.table.comment(comment)
    _note_fused(result, fused)
    inputs = [
        {**facts, "from": statistics.place} if facts["kind"] == "image" else dict(facts) for facts in origin.inputs
    ]
    return replace(result, statistics=statistics, fused=fused.changes, inputs=inputs)


def _calibrate_as_it_is(
    model: Model, data: Sequence[Data | Statistics], method: str, weight_bits: str | None
) -> Calibration:
    statistics = data[0] if data and isinstance(data[0], Statistics) else Statistics()
    result = choose_scales(model, statistics, method=method, weight_bits=weight_bits)
    if data and not needs_data(model):
        result.warnings.append("no layer of this model needs calibration data: the data was not looked at")
    return replace(result, statistics=statistics)
