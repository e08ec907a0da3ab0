"""`pyncnnq import-qdq`: from an ONNX model that another tool has quantized to the float model, the table and the int8
model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import OUTPUT_PATH, PATH, OutputOptions, output_options, shape_option
from pyncnnq.commands.output import print_json, warn
from pyncnnq.commands.targets import check_targets
from pyncnnq.conversion.external import external_files
from pyncnnq.model.pair import MANIFEST
from pyncnnq.qdq.importing import ImportedQdq, files_of, import_qdq
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say


@click.command("import-qdq")
@click.argument("model", type=PATH)
@click.option(
    "--output",
    "-o",
    "name",
    type=OUTPUT_PATH,
    metavar="NAME",
    help="Write NAME.param, NAME.bin, NAME.table, NAME-int8.param and NAME-int8.bin.  [default: MODEL's name, "
    "beside it]",
)
@shape_option
@output_options
def import_qdq_command(model: Path, name: Path | None, shape: tuple[str, ...], output: OutputOptions) -> None:
    """Write the ncnn models of an ONNX model with QuantizeLinear and DequantizeLinear, with the scales that it has.

    MODEL comes from onnxruntime's quantize_static, PPQ, NNCF, or an export of quantization-aware training.
    """
    name = name or model.with_suffix("")
    targets = files_of(name)
    check_targets(targets, inputs=external_files(model), kinds={targets[-1]: MANIFEST})
    result = import_qdq(model, shape=shape)
    files = result.save(name)
    warnings = [*result.warnings, *result.int8.summary.warnings]
    if output.as_json:
        print_json({**_facts(result, files), "warnings": warnings})
        return
    warn(warnings)
    if not output.quiet:
        _print(result, files)


def _facts(result: ImportedQdq, files: Sequence[Path]) -> dict[str, Any]:
    summary = result.int8.summary
    return {
        **dict(zip(("param", "bin", "table", "int8_param", "int8_bin"), map(str, files), strict=False)),
        "inputs": result.inputs,
        "layers": list(map(asdict, result.layers)),
        "in_float": result.in_float,
        "zero_points": result.folded,
        "no_winograd": result.no_winograd,
        "bytes_before": summary.bytes_before,
        "bytes_after": summary.bytes_after,
    }


def _print(result: ImportedQdq, files: Sequence[Path]) -> None:
    summary = result.int8.summary
    columns = ("layer", "type", "was", "QDQ's step", "scale")
    rows = [
        (layer.name, layer.type, layer.source, f"{layer.step:.6g}", f"{layer.scale:.6g}") for layer in result.layers
    ]
    print_table(columns, rows, numeric=columns[3:])
    for name, reason in result.in_float.items():
        say(f"in float: {name}: {reason}")
    counts = (
        f"{len(result.layers)} layers int8, {len(result.in_float)} quantized ones in float, "
        f"{len(result.folded)} blobs with a zero point"
    )
    say(f"{', '.join(map(str, files[:5]))}: {counts}; {summary.bytes_before:,} -> {summary.bytes_after:,} bytes")
