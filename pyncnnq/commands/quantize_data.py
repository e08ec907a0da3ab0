"""What `pyncnnq quantize` does with calibration data in place of a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
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
from pyncnnq.optimization.mixed_precision import MixedPrecision, Step
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.report.progress import progress


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
    result = optimize_on(
        model,
        data,
        request.setting("workers"),
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


def description(result: Optimized) -> dict[str, Any]:
    """How the model was made, for JSON: infinite ratios as None."""
    mixed = result.mixed
    return {
        "calibration_samples": result.statistics.samples,
        "held_out_samples": result.held_out,
        "skipped": result.statistics.skipped,
        "fused": result.fused,
        "chosen": _candidate(result.chosen),
        "zero_points": result.folded,
        "no_winograd": result.no_winograd,
        "tried": [_candidate(candidate) for candidate in result.candidates],
        "layers": [asdict(layer) for layer in result.calibration.layers],
        **({"mixed_precision": _mixed_precision(mixed)} if mixed else {}),
        "warnings": [*result.warnings, *result.int8.summary.warnings],
    }


def _mixed_precision(mixed: MixedPrecision) -> dict[str, Any]:
    return {
        "budget": asdict(mixed.budget),
        "in_float": list(mixed.in_float),
        "steps": list(map(_step, mixed.steps)),
        "rounded": list(map(_step, mixed.rounded)),
        "shares": [
            {
                "layer": share.layer,
                "macs": round(share.macs, 6),
                "error": round(share.error, 4),
                "sqnr_db": {name: _finite(ratio, 2) for name, ratio in share.sqnr.items()},
            }
            for share in mixed.shares
        ],
    }


def _step(step: Step) -> dict[str, Any]:
    return {"in_float": list(step.in_float), "int8_macs": round(step.int8_macs, 6), **_quality(step.candidate)}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"method": candidate.method, "techniques": list(candidate.techniques), **_quality(candidate)}


def _quality(candidate: Candidate) -> dict[str, Any]:
    sqnr = {name: _finite(ratio, 2) for name, ratio in candidate.sqnr.items()}
    return {"sqnr_db": sqnr, "drop": _finite(candidate.drop, 6)}


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


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
