"""What `pyncnnq calibrate` does, once its workers have been started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pyncnnq.calibration import CalibratedLayer, Calibration, calibrate, check_choices, check_model
from pyncnnq.data import CalibrationData, find_data
from pyncnnq.errors import InputError
from pyncnnq.files import check_writable
from pyncnnq.inputs import InputOptions, Settings, exists, parse_options, parse_words, pick, read_config, split_words
from pyncnnq.model import Model, load_model
from pyncnnq.quantizable import needs_data
from pyncnnq.report.progress import progress
from pyncnnq.report.tables import print_table
from pyncnnq.statistics.driver import Statistics, observe_samples
from pyncnnq.statistics.pool import WorkerPool


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
    paths, words = split_words(data)
    config = options["config"]
    spoken = parse_words(words)
    written = read_config(config) if config else Settings()

    def setting(name: str, default: Any = None) -> Any:
        given = (options[name] or None, getattr(spoken, name), getattr(written, name))
        return next((value for value in given if value is not None), default)

    method, weight_bits = setting("method", "kl"), setting("weight_bits", "ncnn")
    check_choices(method, weight_bits)
    model = load_model(param, bin)
    target = output or param.with_suffix(".table")
    check_writable(target, inputs=[param, bin, *([config] if config else []), *map(Path, paths)])
    on_command_line = parse_options(**{name: options[name] for name in ("preset", "mean", "norm", "size", "pixel", "resize")})
    if not needs_data(model):
        result = calibrate(model, weight_bits=weight_bits)
        if paths:
            result.warnings.append("no layer of this model needs calibration data: the data was not looked at")
        _finish(target, result, None, None, quiet=quiet, as_json=as_json)
        return
    found = find_data(
        model,
        _data_for_inputs(model, paths, written.inputs),
        (str(config), written.inputs),
        ("ncnn2table's words", spoken.inputs),
        ("the command line", on_command_line),
    )
    check_writable(target, inputs=[path for sample in found.samples for path in sample])
    check_model(model)
    samples = pick(found.samples, setting("samples"))
    pool.resize(min(setting("workers", pool.size), len(samples)))
    with progress("calibrate", quiet=quiet or as_json) as update:
        statistics = observe_samples(model, samples, found.inputs, pool, strict=setting("strict", False), progress=update)
    result = calibrate(model, statistics, method=method, weight_bits=weight_bits)
    _finish(target, result, statistics, found, quiet=quiet, as_json=as_json)


def _data_for_inputs(model: Model, paths: list[str], config: Sequence[InputOptions]) -> list[Any]:
    """One DATA for each model input; all of them for a single one; those of the configuration file when none is given."""
    if not paths:
        paths_in_config = [row.data for row in config if row.data is not None]
        if paths_in_config:
            return list(paths_in_config)
        raise InputError(
            f"{model.param_path}: needs calibration data: give a folder of images, a list file or .npy files after the model's files"
        )
    if len(model.inputs) == 1:
        return [paths]
    if len(paths) == 1 and not exists(Path(paths[0])):
        return list(paths[0].split(","))  # as ncnn2table takes them: list1.txt,list2.txt
    return list(paths)


def _finish(
    target: Path,
    result: Calibration,
    statistics: Statistics | None,
    found: CalibrationData | None,
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
        (layer.name, layer.type, f"{layer.absmax:.6g}", f"{layer.threshold:.6g}", f"{layer.scale:.6g}", _weight_bits(layer))
        for layer in result.layers
    ]
    if rows:
        print_table(columns, rows, numeric=columns[2:])
    passed_over = [f"{len(skipped)} unreadable"] * bool(skipped) + [f"{ignored} other files ignored"] * bool(ignored)
    counts = ", ".join([f"{samples} samples", *passed_over]) if found else "weight rows only, no data needed"
    click.echo(f"{target}: {sum(1 for _ in result.table.rows())} rows, {counts}")


def _weight_bits(layer: CalibratedLayer) -> str:
    return f"{layer.weight_bits}, {layer.bounded_outputs} outputs less" if layer.bounded_outputs else str(layer.weight_bits)
