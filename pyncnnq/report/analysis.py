"""An analysis on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.evaluation.findings import Analysis, LayerDiagnosis
from pyncnnq.report.evaluation import print_figures
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say


def print_analysis(result: Analysis) -> None:
    """Print the layers, the costliest first, what the model would be with some in float, and advice."""
    columns = ("layer", "type", "share", "alone", "with all", "weights", "clipped", "range")
    print_table(columns, [_row(layer) for layer in result.layers], numeric=columns[2:])
    for step in result.curve:
        say(
            f"{_all_but(step.in_float)}: {step.quality:.2f} dB, {100 * step.int8_macs:.1f} % of multiplications in int8"
        )
    for layer in result.layers:
        for line in (*layer.faults, *layer.advice):
            say(f"{layer.name}: {line}")
    if result.task:
        print_figures(result.task)
    say(
        f"{result.samples[0]} samples, {result.samples[1]} of them to rank layers; share: of the outputs' error; "
        "ratios in dB"
    )


def _row(layer: LayerDiagnosis) -> Sequence[str]:
    share = "-" if layer.share is None else f"{100 * layer.share:.1f} %"
    weights = "-" if layer.weights_sqnr is None else f"{layer.weights_sqnr:.1f}"
    clipped = "-" if layer.saturation is None else f"{layer.saturation:.2f} %"
    ratios = f"{layer.local_sqnr:.1f}", f"{layer.sqnr:.1f}", weights
    return layer.name, layer.type, share, *ratios, clipped, f"{layer.range_ratio:.1f}x"


def _all_but(names: Sequence[str]) -> str:
    if not names:
        return "all layers in int8"
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"all but {shown}"
