"""What `pyncnnq quantize` does with calibration data, once its workers have been started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.calibration.calibrate import check_model
from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import int8_targets, model_targets
from pyncnnq.commands.quantize_summary import print_summary
from pyncnnq.files import check_writable, write_files
from pyncnnq.inputs import pick
from pyncnnq.model import load_model
from pyncnnq.model.text import encode
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.quantization.manifest import manifest_path
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.report.progress import progress
from pyncnnq.runtime.pool import WorkerPool


def quantize_from_data(
    param: Path,
    bin: Path,
    data: tuple[str, ...],
    output: Path | None,
    pool: WorkerPool,
    options: Mapping[str, Any],
    choices: Mapping[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Find the best int8 model and write it, and beside it a JSON file that says how it was made.

    Args:
        param, bin: the float model's files.
        data: what the command line says of the data.
        output: the files to write; None for PARAM's name with -int8.
        pool: the processes to use; they end with this call.
        options: those of the command line that are for data.
        choices: what else `pyncnnq.optimize` takes.
        quiet, as_json: what is printed.
    """
    request = DataRequest.read(data, options)
    targets = int8_targets(output, param, inputs=(param, bin, *request.files))
    model = load_model(param, bin)
    adjusted = _adjusted_targets(options["adjusted"], inputs=(param, bin, *request.files, *targets))
    budget = Budget(**{name: options[name] for name in ("min_sqnr", "max_drop", "max_float_layers", "metric")})
    found = request.find(model)
    for target in (*targets, manifest_path(targets[0]), *adjusted):
        check_writable(target, inputs=[path for sample in found.samples for path in sample])
    check_model(model)
    samples = pick(found.samples, request.setting("samples"))
    pool.resize(min(request.setting("workers", pool.size), len(samples)))
    result = optimize_on(
        model,
        replace(found, samples=samples),
        pool,
        strict=request.setting("strict", False),
        progress=lambda what: progress(what, quiet=quiet or as_json),
        recipe=options["recipe"],
        budget=budget,
        fuse=choices["fuse"],
        options=QuantizeOptions(**{n: choices[n] for n in ("exclude", "only", "keep_first_last", "float32")}),
    )
    pool.end()
    contents = result.int8.contents(*targets)
    if adjusted:
        contents |= {**result.model.contents(*adjusted[:2]), adjusted[2]: encode(result.calibration.table.text())}
    write_files(contents)
    for line in (*(f"skipped {reason}" for reason in result.statistics.skipped), *result.warnings):
        if not as_json:
            click.echo(f"warning: {line}", err=True)
    if not quiet and not as_json:
        print_candidates(result)
    made_from = result.int8.manifest.calibration
    print_summary(result.int8.summary, targets, result.fused, quiet=quiet, as_json=as_json, made_from=made_from)


def _adjusted_targets(name: Path | None, inputs: tuple[Path, ...]) -> tuple[Path, ...]:
    """Where to write the float model that the int8 model is made from, and its table; nowhere if that is not asked
    for."""
    if name is None:
        return ()
    param, bin_path = model_targets(name, inputs)
    return param, bin_path, param.with_suffix(".table")


def print_candidates(result: Optimized) -> None:
    """One line for each, the best first."""
    for candidate in result.candidates:
        mark = "chosen: " if candidate is result.chosen else "        "
        click.echo(f"{mark}{', '.join((candidate.method, *candidate.techniques))}: {_ratios(candidate)}")
    if result.mixed:
        _print_steps(result.mixed)
    click.echo(f"{result.statistics.samples} samples calibrated, {result.held_out} held out to judge")


def _print_steps(mixed: MixedPrecision) -> None:
    for step, rounded in [(step, "") for step in mixed.steps] + [(step, ", rounded") for step in mixed.rounded]:
        layer = f"and {step.in_float[-1]}" if len(step.in_float) > 1 else step.in_float[0] if step.in_float else "none"
        drop = f", drop {step.quality.drop:g}" if mixed.budget.max_drop is not None else ""
        told = f"{_ratios(step.quality)}{drop}; {step.int8_macs:.1%} of MACs in int8"
        click.echo(f"{len(step.in_float)} in float, {layer}{rounded}: {told}")


def _ratios(candidate: Candidate) -> str:
    return ", ".join(f"{name} {ratio:.2f} dB" for name, ratio in candidate.sqnr.items())
