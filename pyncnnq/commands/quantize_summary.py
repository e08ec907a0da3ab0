"""What `pyncnnq quantize` prints of the int8 model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import print_fused
from pyncnnq.quantization import Summary
from pyncnnq.report.tables import print_table


def print_summary(
    summary: Summary,
    targets: tuple[Path, Path],
    fused: Mapping[str, str],
    *,
    quiet: bool,
    as_json: bool,
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """What became of the layers, for people or as JSON.

    Args:
        summary: of the int8 model.
        targets: the files that were written.
        fused: what became of the layers that were fused, by name.
        quiet, as_json: what is printed.
        made_from: how the model was found, if data was given.
    """
    if as_json:
        result = {
            "param": str(targets[0]),
            "bin": str(targets[1]),
            "layers": [{**asdict(layer), "int8": layer.int8} for layer in summary.layers],
            "bytes_before": summary.bytes_before,
            "bytes_after": summary.bytes_after,
            "fused": fused,
            "warnings": summary.warnings,
            **({"made_from": made_from} if made_from else {}),
        }
        click.echo(json.dumps(result, indent=2))
        return
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    if quiet:
        return
    if summary.layers:
        print_table(
            ("layer", "type", "written as"), [(layer.name, layer.type, layer.outcome) for layer in summary.layers]
        )
    print_fused(fused)
    counts = [
        f"{len(summary.quantized)} layers int8",
        f"{len(summary.kept_in_float)} in float",
        f"{len(summary.chained)} chained",
    ]
    sizes = f"{summary.bytes_before:,} -> {summary.bytes_after:,} bytes"
    click.echo(f"{targets[0]}, {targets[1]}: {', '.join(counts)}; {sizes}")
