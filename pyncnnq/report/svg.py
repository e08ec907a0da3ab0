"""Coordinates of the report's drawings; its template makes SVG of them.

Not by a plotting library: a report has a histogram for each layer, hundreds of them, which shall stay small, and follow
the page's colours, light, dark or printed; that is a path and a style sheet, and no drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CEILING = 60.0
"""In dB: what is better is drawn here."""
FLOOR = -10.0


@dataclass(frozen=True)
class Mark:
    """A point of a chart, and what it says when pointed at."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Tick:
    """A line across a chart at `at`, and what stands beside it."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart in a box of `width` and `height`, whose frame is at `left`, `right`, `top` and `bottom`.

    Attributes:
        series: the marks of each line.
        x_ticks, y_ticks: of the axes.
    """

    width: int
    height: int
    series: list[list[Mark]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    left: int = 44
    right: int = 12
    top: int = 10
    bottom: int = 34


def chart(series: Sequence[Sequence[tuple[float, float, str]]], width: int, height: int, *, whole_x: bool) -> Chart:
    """Lay out lines of (x, dB, label); `whole_x`: the x axis counts and has no ticks."""
    empty = Chart(width, height, [], [], [])
    ys = [_clamp(y) for line in series for _, y, _ in line]
    xs = [x for line in series for x, _, _ in line]
    step = 10 if max(ys) - min(ys) > 20 else 2
    low_y, high_y = step * math.floor(min(ys) / step), step * math.ceil(max(ys) / step)
    low_x, high_x = min(xs), max(xs)
    high_y, high_x = max(high_y, low_y + step), max(high_x, low_x + 1)

    def place_x(x: float) -> float:
        return round(empty.left + (x - low_x) / (high_x - low_x) * (width - empty.left - empty.right), 1)

    def place_y(y: float) -> float:
        return round(
            height - empty.bottom - (_clamp(y) - low_y) / (high_y - low_y) * (height - empty.top - empty.bottom), 1
        )

    marks = [[Mark(place_x(x), place_y(y), label) for x, y, label in line] for line in series]
    x_ticks = [] if whole_x else [Tick(place_x(x), f"{x:g}") for x in _round_steps(low_x, high_x)]
    return Chart(width, height, marks, x_ticks, [Tick(place_y(y), f"{y}") for y in range(low_y, high_y + 1, step)])


def _round_steps(low: float, high: float) -> list[float]:
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if (high - low) / step <= 8)
    return [
        round(step * number, 6) for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def _clamp(ratio: float) -> float:
    return min(max(ratio, FLOOR), CEILING)


def outline(counts: Sequence[float], width: int, height: int) -> str:
    """Return the path of a histogram's area; heights are logarithmic, for most values of a blob are small."""
    most = math.log1p(max(counts, default=0)) or 1.0
    heights = [round(height - height * math.log1p(count) / most) for count in counts]
    step = width / len(counts)
    path = [f"M0 {height}"]
    before = height
    for place, level in enumerate(heights):
        if level != before:
            path.append(f"H{place * step:.3g}V{level}")
            before = level
    return "".join([*path, f"H{width}V{height}Z"])
