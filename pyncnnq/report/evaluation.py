"""An evaluation on the terminal."""

from __future__ import annotations

from pyncnnq.compare.figures import Figure, Interval
from pyncnnq.evaluation.evaluate import Evaluation
from pyncnnq.evaluation.profile import Speed
from pyncnnq.evaluation.tasks import TaskFigures
from pyncnnq.report.calibration import passed_over
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say

_LEAST_MS, _NAMED = 0.01, 4
"""Milliseconds that a layer type must take to be shown, and the layers that are named at most."""

_FIGURES = ("", "float", "int8", "int8 against float")


def print_evaluation(result: Evaluation) -> None:
    """Print outputs, figures of the task and the metric, speed and size."""
    columns = ("output", "SQNR", "cosine", "max error")
    rows = [
        (str(one), f"{one.sqnr:.2f} dB", "-" if one.cosine is None else f"{one.cosine:.6f}", f"{one.max_error:.4g}")
        for one in result.outputs
    ]
    print_table(columns, rows, numeric=columns[1:])
    if result.task:
        say(f"task: {result.task.name}")
    int8_share = 100 * result.int8_macs / result.macs if result.macs else 0.0
    scores = [_row(figure) for figure in result.figures]
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
    scores.append(_memory("weights", result.memory.weights))
    if result.memory.peak is not None:
        scores.append(_memory("peak memory", result.memory.peak))
    scores.append(("multiplications in int8", "", f"{int8_share:.1f} %", f"of {result.macs / 1e6:.1f} million"))
    print_table(_FIGURES, scores, numeric=_FIGURES[1:3])
    _print_time(speed)
    counts = f"{len(result.samples)} samples, {len(result.skipped)} unreadable{passed_over(result.ignored_files)}"
    say(f"{counts}; speed: median of {speed.runs} runs of each")


def _print_time(speed: Speed) -> None:
    """Print where the time goes."""
    columns = ("time by layer type", "float", "int8")
    shown = [kind for kind in speed.types if max(kind.float_ms, kind.int8_ms) >= _LEAST_MS]
    rows = [(kind.type, f"{kind.float_ms:.2f} ms", f"{kind.int8_ms:.2f} ms") for kind in shown]
    print_table(columns, rows, numeric=columns[1:])
    if speed.slower:
        loss = sum(layer.int8_ms - layer.float_ms for layer in speed.slower)
        names = ", ".join(layer.name for layer in speed.slower[:_NAMED])
        more = ", ..." * (len(speed.slower) > _NAMED)
        say(
            f"{len(speed.slower)} int8 layers are slower than in float, by {loss:.2f} ms together: {names}{more}; "
            "a model made for speed has those in float with which it is faster"
        )


def print_figures(task: TaskFigures) -> None:
    """Print the figures of a task."""
    say(f"task: {task.name}")
    print_table(_FIGURES, [_row(figure) for figure in task.figures], numeric=_FIGURES[1:3])


def _memory(name: str, sizes: tuple[int, int]) -> tuple[str, str, str, str]:
    share = f"{100 * sizes[1] / sizes[0]:.1f} %" if sizes[0] else ""
    return name, f"{sizes[0] / 1e6:.2f} MB", f"{sizes[1] / 1e6:.2f} MB", share


def _threads(count: int) -> str:
    return f"inference, {count} thread{'s' if count > 1 else ''}"


def _row(figure: Figure) -> tuple[str, str, str, str]:
    form, unit = (".2f", f" {figure.unit}") if figure.unit else (".6g", "")
    values = ["" if value is None else f"{value:{form}}{unit}" for value in figure.values]
    return figure.name, values[0], values[1], _sureness(figure)


def _sureness(figure: Figure) -> str:
    if figure.interval is not None:
        low, high = figure.interval
        return f"95 %: {low:.4g} to {high:.4g}{f' {figure.unit}' if figure.unit else ''}"
    return _change(figure.change, " points" if figure.unit == "%" else f" {figure.unit}" if figure.unit else "")


def _change(change: Interval | None, unit: str) -> str:
    if change is None:
        return ""
    return f"{change.estimate:+.4g}{unit} (95 %: {change.low:+.4g} to {change.high:+.4g})"
