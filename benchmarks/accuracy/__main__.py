"""Top-1, agreement with float and SQNR of int8 models that pyncnnq makes: calibrated on `calib`, judged on `eval`, run
by stock ncnn.

    python -m benchmarks accuracy ../shared [--recipes kl best] [--models resnet18_cifar10.ncnn] [--without "zero
    points"]

The worst SQNR is that of the model's outputs; blobs in brackets are what a Softmax or a Sigmoid reads to write them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy import models, recipes
from benchmarks.accuracy.judge import Figures, judge
from benchmarks.accuracy.models import DescribedModel
from pyncnnq import PyncnnqError


@dataclass(frozen=True)
class Row:
    """One recipe's figures, and the seconds in which it made the int8 model."""

    recipe: str
    figures: Figures
    seconds: float


def measure(described: DescribedModel, arguments: argparse.Namespace) -> tuple[float | None, list[Row]]:
    """The float model's top-1 (None without classes), and a row for each recipe."""
    made = list(
        recipes.make(described, arguments.recipes, arguments.without, arguments.weight_bits, arguments.calibrate)
    )
    float_top1, figures = judge(described, made, arguments.evaluate)
    return float_top1, [Row(one.recipe, found, one.seconds) for one, found in zip(made, figures, strict=True)]


def as_json(described: DescribedModel, float_top1: float | None, row: Row) -> str:
    figures = row.figures
    return json.dumps(
        {
            "model": described.name,
            "recipe": row.recipe,
            "float_top1": float_top1,
            "top1": figures.top1,
            "agreement": figures.agreement,
            "worst_sqnr": worst(described, figures),
            "sqnr": figures.sqnr,
            "seconds": row.seconds,
        }
    )


def as_table(described: DescribedModel, float_top1: float | None, rows: Sequence[Row]) -> str:
    blobs = [*described.outputs, *(f"({blob})" for blob in described.logits)]
    width = max(len(described.name), *(len(row.recipe) for row in rows))
    header = f"{'top-1':>10}{'agreement':>11}{'seconds':>10}{'worst':>10}" + "".join(f"{blob:>10}" for blob in blobs)
    lines = [f"{described.name:{width}}{header}"]
    if float_top1 is not None:
        lines.append(f"{'float':{width}}{_percent(float_top1, 10)}")
    for row in rows:
        percentages = _percent(row.figures.top1, 10) + _percent(row.figures.agreement, 11)
        ratios = [worst(described, row.figures), *row.figures.sqnr.values()]
        lines.append(
            f"{row.recipe:{width}}{percentages}{row.seconds:>8.1f} s" + "".join(f"{ratio:>7.2f} dB" for ratio in ratios)
        )
    return "\n".join(lines) + "\n"


def worst(described: DescribedModel, figures: Figures) -> float:
    return min(figures.sqnr[output] for output in described.outputs)


def _percent(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width - 2}.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/")
    parser.add_argument(
        "--recipes",
        nargs="+",
        default=["kl", "best"],
        help=f"of quantize: {', '.join(recipes.OPTIMIZED)}; methods of thresholds, without a recipe; "
        f"{recipes.BF16}, the float model "
        "with ncnn's bf16 storage (default: kl best)",
    )
    parser.add_argument("--models", nargs="+", help="default: all in models/models.json")
    parser.add_argument("--calibrate", type=int, help="photographs to calibrate on (default: all)")
    parser.add_argument("--evaluate", type=int, help="photographs to judge by (default: all)")
    parser.add_argument(
        "--weight-bits", default="ncnn", help="of the threshold methods (default: ncnn, as ncnn2table does)"
    )
    parser.add_argument(
        "--without", action="append", default=[], help="a technique that the recipes of quantize are tried without, too"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each model and recipe")
    arguments = parser.parse_args()
    known = models.names(arguments.shared)
    chosen = arguments.models or known
    if unknown := set(chosen) - set(known):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    try:
        recipes.check(arguments.recipes, arguments.weight_bits)
    except PyncnnqError as error:
        parser.error(str(error))
    failed = False
    for name in chosen:
        try:
            described = models.read(arguments.shared, name)
            top1, rows = measure(described, arguments)
        except (PyncnnqError, BrokenProcessPool, RuntimeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
            continue
        print(
            "\n".join(as_json(described, top1, row) for row in rows)
            if arguments.json
            else as_table(described, top1, rows),
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
