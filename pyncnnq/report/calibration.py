"""A calibration on the terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyncnnq.calibration.calibrate import CalibratedLayer, Calibration
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say


def calibration_facts(result: Calibration, table: Path) -> dict[str, Any]:
    """Return a calibration as plain data.

    Args:
        result: the calibration.
        table: the file that its table was written to.
    """
    return {
        "table": str(table),
        "samples": result.statistics.samples,
        "skipped": result.statistics.skipped,
        "ignored_files": result.ignored,
        "layers": [asdict(layer) for layer in result.layers],
        "inputs": result.inputs,
        "fused": result.fused,
        "warnings": result.warnings,
        "ncnn_messages": dict(result.statistics.printed),
    }


def print_calibration(result: Calibration, table: Path) -> None:
    """Print the layers of a calibration, and what ncnn printed; see `calibration_facts`."""
    statistics = result.statistics
    for line, count in statistics.printed.items():
        say(f"printed while running{f', {count} times' if count > 1 else ''}: {line}", err=True)
    columns = ("layer", "type", "max", "threshold", "scale", "weight bits")
    if result.layers:
        print_table(columns, [_row(layer) for layer in result.layers], numeric=columns[2:])
    print_fused(result.fused)
    counts = [
        f"{statistics.samples} samples" if statistics.samples else "weight rows only, no data needed",
        *[f"{len(statistics.skipped)} unreadable"] * bool(statistics.skipped),
        *[f"{result.ignored} other files ignored"] * bool(result.ignored),
    ]
    say(f"{table}: {sum(1 for _ in result.table.rows())} rows, {', '.join(counts)}")


def print_fused(changes: Mapping[str, str]) -> None:
    """Print how many layers were fused, if any were."""
    if changes:
        say(f"{len(changes)} layer{'s' * (len(changes) != 1)} fused into others or removed")


def _row(layer: CalibratedLayer) -> tuple[str, ...]:
    numbers = (f"{number:.6g}" for number in (layer.absmax, layer.threshold, layer.scale))
    bounded = f", {layer.bounded_outputs} outputs less" if layer.bounded_outputs else ""
    return layer.name, layer.type, *numbers, f"{layer.weight_bits}{bounded}"
