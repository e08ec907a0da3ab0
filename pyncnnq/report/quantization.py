"""An int8 model on the terminal, and as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.front import Front
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.recipe import Optimized
from pyncnnq.optimization.speed import Speed
from pyncnnq.quantization import QuantizedModel
from pyncnnq.quantization.faults import WRONG_ON_X86
from pyncnnq.report.calibration import passed_over, print_fused
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say


def summary_facts(int8: QuantizedModel, targets: tuple[Path, Path]) -> dict[str, Any]:
    """Return what became of the layers as plain data.

    Args:
        int8: the int8 model.
        targets: the files that it was written to.
    """
    summary = int8.summary
    return {
        "param": str(targets[0]),
        "bin": str(targets[1]),
        "layers": [{**asdict(layer), "int8": layer.int8} for layer in summary.layers],
        "bytes_before": summary.bytes_before,
        "bytes_after": summary.bytes_after,
        "fused": int8.manifest.fused,
        "warnings": summary.warnings,
    }


def print_summary(int8: QuantizedModel, targets: tuple[Path, Path]) -> None:
    """Print what became of the layers; see `summary_facts`."""
    summary = int8.summary
    rows = [(layer.name, layer.type, layer.outcome) for layer in summary.layers]
    if rows:
        print_table(("layer", "type", "written as"), rows)
    print_fused(int8.manifest.fused)
    counts = [
        f"{len(summary.quantized)} layers int8",
        f"{len(summary.kept_in_float)} in float",
        f"{len(summary.chained)} chained",
    ]
    sizes = f"{summary.bytes_before:,} -> {summary.bytes_after:,} bytes"
    say(f"{targets[0]}, {targets[1]}: {', '.join(counts)}; {sizes}")


def print_search(result: Optimized) -> None:
    """Print a line for each candidate, the best first, and for each step of mixed precision."""
    for candidate in result.candidates:
        mark = "chosen: " if candidate is result.chosen else "        "
        say(f"{mark}{', '.join((candidate.method, *candidate.techniques))}: {_ratios(candidate)}{_drop(candidate)}")
    for output, parts in result.chosen.apart.items():
        say(f"{output} is judged at {', '.join(parts)}, of which it is made")
    if result.fitted:
        lost = ", ".join(f"{name} {ratio:.2f} dB" for name, ratio in result.fitted.sqnr.items())
        count = len(result.fitted.layers)
        say(f"fitted activations: {count} of {count + len(result.fitted.left)}{f'; in float {lost}' * bool(lost)}")
    if result.speed:
        _print_speed(result.speed)
    if result.front:
        _print_front(result.front)
    if result.mixed:
        _print_steps(result.mixed)
    wrong = [layer.name for layer in result.int8.summary.kept_in_float if layer.reason == WRONG_ON_X86]
    if wrong:
        say(f"left in float: {', '.join(wrong)}: {WRONG_ON_X86}")
    counts = f"{result.statistics.samples} samples calibrated, {result.held_out} held out to judge"
    say(f"{counts}{passed_over(result.ignored_files)}")


def _print_speed(speed: Speed) -> None:
    where = f"{speed.profile}" if speed.is_given else f"this machine, since no device was given ({speed.profile})"
    say(f"for speed on {where}: {len(speed.in_float)} layers in float, which int8 makes no faster")
    if speed.float_ms is not None and speed.int8_ms is not None:
        ratio = speed.float_ms / speed.int8_ms
        say(f"float {speed.float_ms:.2f} ms, int8 {speed.int8_ms:.2f} ms: {ratio:.2f}x as fast")


def _print_front(front: Front) -> None:
    columns = ("pick", "in float", "predicted ms", "measured ms", "bytes", "worst output", "")
    rows = [
        (
            str(number),
            str(len(point.in_float)),
            f"{point.predicted_ms:.2f}",
            "" if point.ms is None else f"{point.ms:.2f}",
            f"{point.bytes:,}",
            f"{min(point.candidate.sqnr.values()):.2f} dB{_drop(point.candidate)}",
            ", ".join(["default"] * (point is front.default) + ["written"] * (point is front.written)),
        )
        for number, point in enumerate(front.points, start=1)
    ]
    print_table(columns, rows, numeric=columns[:5])


def _print_steps(mixed: MixedPrecision) -> None:
    for step, rounded in [(step, "") for step in mixed.steps] + [(step, ", rounded") for step in mixed.rounded]:
        layer = f"and {step.in_float[-1]}" if len(step.in_float) > 1 else step.in_float[0] if step.in_float else "none"
        drop = f", drop {step.quality.drop:g}" if mixed.budget.max_drop is not None else ""
        told = f"{_ratios(step.quality)}{drop}; {step.int8_macs:.1%} of MACs in int8"
        say(f"{len(step.in_float)} in float, {layer}{rounded}: {told}")


def _drop(candidate: Candidate) -> str:
    """Return what users lose, where it is known."""
    known = candidate.task is not None and not math.isnan(candidate.drop)
    return f"; {candidate.task} {0 - candidate.drop:+.4g} %" if known else ""


def _ratios(candidate: Candidate) -> str:
    return ", ".join(f"{name} {ratio:.2f} dB" for name, ratio in candidate.sqnr.items())
