"""Collected statistics on the terminal, and as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyncnnq.report.terminal import say
from pyncnnq.statistics.collected import Collected


def statistics_facts(result: Collected, target: Path) -> dict[str, Any]:
    """Return statistics as plain data.

    Args:
        result: the statistics.
        target: the file that they were written to.
    """
    return {
        "statistics": str(target),
        "samples": result.samples,
        "skipped": result.skipped,
        "blobs": {name: {"absmax": blob.absmax, "count": blob.count} for name, blob in result.blobs.items()},
        "inputs": list(result.origin.inputs),
        "ncnn": result.origin.ncnn,
        "warnings": list(result.origin.warnings),
        "ncnn_messages": dict(result.printed),
    }


def print_statistics(result: Collected, target: Path) -> None:
    """Print what a file of statistics holds."""
    unreadable = f", {len(result.skipped)} unreadable" if result.skipped else ""
    say(f"{target}: {len(result.blobs)} blobs, {result.samples} samples{unreadable}")
