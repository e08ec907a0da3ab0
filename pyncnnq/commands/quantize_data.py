"""What `pyncnnq quantize` does with calibration data in place of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.calibration import check_model
from pyncnnq.commands.data_request import DataRequest
from pyncnnq.files import check_writable, write_files
from pyncnnq.inputs import pick
from pyncnnq.inputs.sources import IMAGE_SUFFIXES
from pyncnnq.model import Model
from pyncnnq.model.text import encode
from pyncnnq.optimization.judge import Candidate
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.report.optimized import description
from pyncnnq.report.progress import progress
from pyncnnq.statistics.pool import WorkerPool


def is_table(source: Sequence[str]) -> bool:
    """Whether what follows the model's files is a calibration table and not calibration data."""
    if len(source) != 1 or "=" in source[0]:
        return False
    path = Path(source[0])
    if path.is_dir() or path.suffix.lower() in (*IMAGE_SUFFIXES, ".npy") or "," in path.name:
        return False
    return path.suffix.lower() != ".txt" or not _lists_files(path)


def _lists_files(path: Path) -> bool:
    """A list has a path in each line, a table a name and numbers."""
    with suppress(OSError, UnicodeDecodeError):
        lines = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        return bool(lines) and not all(len(words) > 1 and _is_number(words[-1]) for words in lines)
    return False


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def quantize_from_data(
    model: Model,
    request: DataRequest,
    choices: Mapping[str, Any],
    targets: tuple[Path, Path],
    adjusted: tuple[Path, Path] | None,
    *,
    quiet: bool,
    as_json: bool,
) -> Optimized:
    """Find the best int8 model and write it, and beside it a JSON file that says how it was made.

    Args:
        model: the float model.
        request: what the command line says of the data.
        choices: what `pyncnnq.optimize` takes beside them.
        targets: the int8 model's files.
        adjusted: where to write the float model that it is made from too, and beside that its table.
        quiet, as_json: what is printed.
    """
    found = request.find(model)
    how = targets[0].with_suffix(".json")
    table = adjusted[0].with_suffix(".table") if adjusted else None
    for target in (*targets, how, *((*adjusted, table) if adjusted and table else ())):
        check_writable(target, inputs=[path for sample in found.samples for path in sample])
    check_model(model)
    data = replace(found, samples=pick(found.samples, request.setting("samples")))
    with WorkerPool(request.setting("workers")) as pool:
        result = optimize_on(
            model,
            data,
            pool,
            strict=request.setting("strict", False),
            progress=lambda what: progress(what, quiet=quiet or as_json),
            **choices,
        )
    told = json.dumps(description(result), indent=2) + "\n"
    files = {targets[0]: encode(result.int8.param_text()), targets[1]: result.int8.bin_bytes(), how: told.encode()}
    if adjusted and table:
        files |= {adjusted[0]: encode(result.model.param_text()), adjusted[1]: result.model.bin_bytes()}
        files[table] = encode(result.calibration.table.text())
    write_files(files)
    return result


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
        drop = f", drop {step.candidate.drop:g}" if mixed.budget.max_drop is not None else ""
        told = f"{_ratios(step.candidate)}{drop}; {step.int8_macs:.1%} of MACs in int8"
        click.echo(f"{len(step.in_float)} in float, {layer}{rounded}: {told}")


def _ratios(candidate: Candidate) -> str:
    return ", ".join(f"{name} {ratio:.2f} dB" for name, ratio in candidate.sqnr.items())
