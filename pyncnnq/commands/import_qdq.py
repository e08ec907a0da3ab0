"""`pyncnnq import-qdq`: from an ONNX model that another tool has quantized to the float model, the table and the int8
model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from pyncnnq.commands.options import OUTPUT_PATH, PATH, int8_targets, model_targets, output_options, shape_option
from pyncnnq.files import check_writable, write_files
from pyncnnq.model.text import encode
from pyncnnq.qdq.importing import ImportedQdq, import_qdq
from pyncnnq.report.tables import print_table


@click.command("import-qdq")
@click.argument("model", type=PATH)
@click.option(
    "--output",
    "-o",
    type=OUTPUT_PATH,
    metavar="NAME",
    help="Write NAME.param, NAME.bin, NAME.table, NAME-int8.param and NAME-int8.bin.  [default: MODEL's name, "
    "beside it]",
)
@shape_option
@output_options
def import_qdq_command(model: Path, output: Path | None, shape: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Write the ncnn models of an ONNX model with QuantizeLinear and DequantizeLinear, with the scales that it has.

    MODEL comes from onnxruntime's quantize_static, PPQ, NNCF, or an export of quantization-aware training.
    """
    floats = model_targets(output or model.with_suffix(""), inputs=[model])
    table = floats[0].with_suffix(".table")
    check_writable(table, inputs=[model])
    int8s = int8_targets(None, floats[0], inputs=[model])
    result = import_qdq(model, shape)
    write_files({**result.model.contents(*floats), table: encode(result.table.text()), **result.int8.contents(*int8s)})
    _report(result, [*floats, table, *int8s], quiet=quiet, as_json=as_json)


def _report(result: ImportedQdq, files: list[Path], *, quiet: bool, as_json: bool) -> None:
    summary = result.int8.summary
    warnings = [*result.warnings, *summary.warnings]
    if as_json:
        told = {
            **dict(zip(("param", "bin", "table", "int8_param", "int8_bin"), map(str, files), strict=True)),
            "layers": list(map(asdict, result.layers)),
            "in_float": result.in_float,
            "zero_points": result.folded,
            "no_winograd": result.no_winograd,
            "bytes_before": summary.bytes_before,
            "bytes_after": summary.bytes_after,
            "warnings": warnings,
        }
        click.echo(json.dumps(told, indent=2))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if quiet:
        return
    columns = ("layer", "type", "was", "QDQ's step", "scale")
    rows = [
        (layer.name, layer.type, layer.source, f"{layer.step:.6g}", f"{layer.scale:.6g}") for layer in result.layers
    ]
    print_table(columns, rows, numeric=columns[3:])
    for name, reason in result.in_float.items():
        click.echo(f"in float: {name}: {reason}")
    counts = (
        f"{len(result.layers)} layers int8, {len(result.in_float)} quantized ones in float, "
        f"{len(result.folded)} blobs with a zero point"
    )
    click.echo(f"{', '.join(map(str, files))}: {counts}; {summary.bytes_before:,} -> {summary.bytes_after:,} bytes")
