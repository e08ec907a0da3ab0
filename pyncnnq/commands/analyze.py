"""`pyncnnq analyze`: which layers of an int8 model lose what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import PATH, data_options, model_arguments, output_options
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze_on
from pyncnnq.evaluation.findings import Analysis, LayerDiagnosis
from pyncnnq.inputs import pick
from pyncnnq.model import load_model
from pyncnnq.report.facts import finite
from pyncnnq.report.progress import progress
from pyncnnq.report.tables import print_table


@click.command("analyze")
@model_arguments
@click.argument("int8_param", type=PATH)
@click.argument("int8_bin", type=PATH)
@click.argument("data", nargs=-1)
@data_options
@output_options
def analyze_command(
    param: Path,
    bin: Path,
    int8_param: Path,
    int8_bin: Path,
    data: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say which layers of an int8 model cost most, and why.

    PARAM and BIN are the float model, INT8_PARAM and INT8_BIN the int8 model made from it; DATA and the options from
    --preset on as for `pyncnnq calibrate`.  Unless --samples says otherwise, 32 samples are used.  `pyncnnq evaluate
    --report` shows all of it as a page.
    """
    request = DataRequest.read(data, options)
    model, int8 = load_model(param, bin), load_model(int8_param, int8_bin)
    found = request.find(model)
    result = analyze_on(
        model,
        int8,
        replace(found, samples=pick(found.samples, request.setting("samples", MOST_SAMPLES))),
        request.setting("workers"),
        strict=request.setting("strict", False),
        progress=lambda what: progress(what, quiet=quiet or as_json),
    )
    if as_json:
        click.echo(json.dumps(finite(asdict(result)), indent=2))
        return
    for reason in result.skipped:
        click.echo(f"warning: skipped {reason}", err=True)
    if not quiet:
        _print(result)


def _print(result: Analysis) -> None:
    columns = ("layer", "type", "in float", "alone", "with all", "weights", "clipped", "range")
    print_table(columns, [_row(one) for one in result.layers], numeric=columns[2:])
    for step in result.curve:
        click.echo(f"{_all_but(step.in_float)}: {step.sqnr:.2f} dB, {step.int8_macs:.1f} % of multiplications in int8")
    for layer in result.layers:
        for line in (*layer.faults, *layer.advice):
            click.echo(f"{layer.name}: {line}")
    click.echo(
        f"{result.samples[0]} samples, {result.samples[1]} of them to rank layers; in dB, the gain in float "
        "that of the outputs"
    )


def _row(one: LayerDiagnosis) -> Sequence[str]:
    gain = "-" if one.gain is None else f"{one.gain:+.2f}"
    weights = "-" if one.weights_sqnr is None else f"{one.weights_sqnr:.1f}"
    cut = "-" if one.saturation is None else f"{one.saturation:.2f} %"
    return one.name, one.type, gain, f"{one.local_sqnr:.1f}", f"{one.sqnr:.1f}", weights, cut, f"{one.range_ratio:.1f}x"


def _all_but(names: Sequence[str]) -> str:
    if not names:
        return "all layers in int8"
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"all but {shown}"
