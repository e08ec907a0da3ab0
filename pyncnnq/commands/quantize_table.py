"""What `pyncnnq quantize` does with a calibration table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration.table import Table
from pyncnnq.commands.options import int8_targets
from pyncnnq.commands.quantize_summary import print_summary
from pyncnnq.model import load_model
from pyncnnq.quantization import quantize
from pyncnnq.rewrites.fusing.marks import fuse_as_table


def quantize_with_table(
    param: Path,
    bin: Path,
    table_path: Path,
    output: Path | None,
    choices: Mapping[str, Any],
    *,
    may_fuse: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the int8 model.

    Args:
        param, bin: the float model's files.
        table_path: its calibration table.
        output: the files to write; None for PARAM's name with -int8.
        choices: what `pyncnnq.quantize` takes beside the model and its table.
        may_fuse: whether the model is fused if it was for the table.
        quiet, as_json: what is printed.
    """
    targets = int8_targets(output, param, inputs=(param, bin, table_path))
    model = load_model(param, bin)
    table = Table.read(table_path)
    fused, warnings = fuse_as_table(model, table, may_fuse=may_fuse)
    int8 = quantize(fused.model, table, **choices)
    int8.manifest = replace(int8.manifest, fused=fused.changes)
    int8.save(*targets)
    summary = replace(int8.summary, warnings=(*warnings, *int8.summary.warnings))
    print_summary(summary, targets, fused.changes, quiet=quiet, as_json=as_json)
