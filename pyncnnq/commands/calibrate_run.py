"""What `pyncnnq calibrate` does, once its workers have been started."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.calibration.calibrate import CalibratedLayer, Calibration, calibrate, check_choices, check_model
from pyncnnq.calibration.methods import DEFAULT
from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import print_fused
from pyncnnq.files import check_writable
from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import load_model
from pyncnnq.model.quantizable import needs_data
from pyncnnq.report.progress import progress
from pyncnnq.report.tables import print_table
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.rewrites.fusing.marks import mark
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples


def run(
    param: Path,
    bin: Path,
    data: tuple[str, ...],
    output: Path | None,
    pool: WorkerPool,
    options: Mapping[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Do what the command line asks for (see `calibrate_command`, whose options these are)."""
    request = DataRequest.read(data, options)
    choices = {"method": request.setting("method", DEFAULT), "weight_bits": request.setting("weight_bits")}
    check_choices(**choices)
    model = load_model(param, bin)
    target = output or param.with_suffix(".table")
    check_writable(target, inputs=[param, bin, *request.files])
    if not needs_data(model):
        result = calibrate(model, **choices)
        if request.paths:
            result.warnings.append("no layer of this model needs calibration data: the data was not looked at")
        _finish(target, result, None, None, Fused(model), quiet=quiet, as_json=as_json)
        return
    found = request.find(model)
    check_writable(target, inputs=[path for sample in found.samples for path in sample])
    check_model(model)
    samples = pick(found.samples, request.setting("samples"))
    pool.resize(min(request.setting("workers", pool.size), len(samples)))
    with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
        fused = Fused(model) if options["no_fuse"] else fuse_for(model, replace(found, samples=samples), Path(folder))
        with progress("calibrate", quiet=quiet or as_json) as update:
            statistics = observe_samples(
                fused.model, samples, found.inputs, pool, strict=request.setting("strict", False), progress=update
            )
        pool.end()  # only then is all known that ncnn printed
    result = calibrate(fused.model, statistics, **choices)
    if fused.changes:
        mark(result.table)
    if fused.reweighted:
        result.warnings.append(
            f"the table is for the fused model: {len(fused.reweighted)} layers have new weights; pyncnnq "
            "quantize fuses it by itself, but "
            "ncnn2int8 needs the model that ncnnoptimize writes (--no-fuse: leave the model as it is)"
        )
    _finish(target, result, statistics, found, fused, quiet=quiet, as_json=as_json)


def _finish(
    target: Path,
    result: Calibration,
    statistics: Statistics | None,
    found: CalibrationData | None,
    fused: Fused,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    result.table.write(target)
    skipped = statistics.skipped if statistics else []
    samples = statistics.samples if statistics else 0
    ignored = found.ignored if found else 0
    if as_json:
        summary = {
            "table": str(target),
            "samples": samples,
            "skipped": skipped,
            "ignored_files": ignored,
            "layers": [asdict(layer) for layer in result.layers],
            "fused": fused.changes,
            "warnings": result.warnings,
            "ncnn_messages": dict(statistics.printed) if statistics else {},
        }
        click.echo(json.dumps(summary, indent=2))
        return
    for reason in skipped:
        click.echo(f"warning: skipped {reason}", err=True)
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if quiet:
        return
    for line, count in statistics.printed.items() if statistics else ():
        click.echo(f"printed while running{f', {count} times' if count > 1 else ''}: {line}", err=True)
    columns = ("layer", "type", "max", "threshold", "scale", "weight bits")
    rows = [
        (
            layer.name,
            layer.type,
            f"{layer.absmax:.6g}",
            f"{layer.threshold:.6g}",
            f"{layer.scale:.6g}",
            _weight_bits(layer),
        )
        for layer in result.layers
    ]
    if rows:
        print_table(columns, rows, numeric=columns[2:])
    passed_over = [f"{len(skipped)} unreadable"] * bool(skipped) + [f"{ignored} other files ignored"] * bool(ignored)
    print_fused(fused.changes)
    counts = ", ".join([f"{samples} samples", *passed_over]) if found else "weight rows only, no data needed"
    click.echo(f"{target}: {sum(1 for _ in result.table.rows())} rows, {counts}")


def _weight_bits(layer: CalibratedLayer) -> str:
    return (
        f"{layer.weight_bits}, {layer.bounded_outputs} outputs less"
        if layer.bounded_outputs
        else str(layer.weight_bits)
    )
