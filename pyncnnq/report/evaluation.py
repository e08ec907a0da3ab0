"""An evaluation on the terminal."""

from __future__ import annotations

import click

from pyncnnq.compare.accuracy import Interval
from pyncnnq.evaluation.evaluate import Evaluation
from pyncnnq.report.tables import print_table


def print_evaluation(result: Evaluation) -> None:
    """Outputs, scores, speed and size."""
    columns = ("output", "SQNR", "cosine", "max error", "top-1 agreement", "top-5 agreement")
    rows = [
        (
            one.name,
            f"{one.sqnr:.2f} dB",
            _number(one.cosine, ".6f"),
            f"{one.max_error:.4g}",
            _percent(one.top1_agreement),
            _percent(one.top5_agreement),
        )
        for one in result.outputs
    ]
    print_table(columns, rows, numeric=columns[1:])
    int8_share = 100 * result.int8_macs / result.macs if result.macs else 0.0
    scores = []
    if found := result.accuracy:
        scores.append(("top-1", *map(_percent, found.top1), _change(found.top1_change, " points")))
        if found.top5:
            scores.append(("top-5", *map(_percent, found.top5), ""))
    if score := result.score:
        scores.append((score.metric, *(f"{mean:.6g}" for mean in score.mean), _change(score.change)))
    speed, sizes = result.speed, result.bytes
    scores.append(
        (
            _threads(speed.threads),
            f"{speed.float_ms:.2f} ms",
            f"{speed.int8_ms:.2f} ms",
            f"{speed.float_ms / speed.int8_ms:.2f}x as fast",
        )
    )
    scores.append(("size", f"{sizes[0]:,} bytes", f"{sizes[1]:,} bytes", f"{100 * sizes[1] / sizes[0]:.1f} %"))
    scores.append(("multiplications in int8", "", f"{int8_share:.1f} %", f"of {result.macs / 1e6:.1f} million"))
    print_table(("", "float", "int8", "int8 against float"), scores, numeric=("float", "int8"))
    click.echo(
        f"{len(result.samples)} samples, {len(result.skipped)} unreadable; speed: median of {speed.runs} runs of each"
    )


def _threads(count: int) -> str:
    return f"inference, {count} thread{'s' if count > 1 else ''}"


def _percent(value: float | None) -> str:
    return _number(value, ".2f", " %")


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _change(change: Interval, unit: str = "") -> str:
    return f"{change.estimate:+.4g}{unit} (95 %: {change.low:+.4g} to {change.high:+.4g})"
