"""The kernels' figures as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw bytes a second of each target, NumPy, ncnn and the limit, by kernel, size and kind of data."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    figure, all_axes = pyplot.subplots(
        len(kernels), 1, figsize=(10, 2.6 * len(kernels)), squeeze=False, constrained_layout=True
    )
    for axes, kernel in zip(all_axes[:, 0], kernels, strict=True):
        shown = [row for row in rows if row["kernel"] == kernel]
        everyone = list(dict.fromkeys(row["who"] for row in shown))
        groups = list(dict.fromkeys((row["size"], row["data"]) for row in shown))
        width = 1 / (len(everyone) + 1)
        for place, who in enumerate(everyone):
            speed = {(row["size"], row["data"]): row["gigabytes"] for row in shown if row["who"] == who}
            left = [group + (place + 0.5) * width for group in range(len(groups))]
            axes.bar(left, [speed.get(group, 0) for group in groups], width, label=who)
        axes.set_yscale("log")
        axes.set_xticks(
            [group + 0.5 - width / 2 for group in range(len(groups))],
            [f"{size}\n{data}" for size, data in groups],
            fontsize=8,
        )
        axes.set_ylabel("GB/s")
        axes.set_title(kernel, fontsize=10)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=80)
