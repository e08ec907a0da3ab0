"""Models with attention and Gemm layers in int8: ncnn's own way beside the recipes, by what users see.

    python -m benchmarks transformers ../shared [--recipes fast best] [--without smoothing] [--max-float-macs 0.1]

For each model of `more/models.json`: dB of the worst output against float, the figures of its task on other data than
it was calibrated on, the share of multiplications in int8, and the time that making it took. `ncnn` is what ncnn2table
and ncnn2int8 make of it: thresholds by `kl`, and the scale of a Gemm's weights by their first row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq import Budget, InputOptions, Model, QuantizedModel, calibrate, evaluate, load_model, quantize

WAYS = ("ncnn", "table", "fast", "best")


@dataclass(frozen=True)
class Described:
    """A float model, with folders of data to calibrate on and to judge by, and how that becomes its input."""

    model: Model
    data: Path
    options: InputOptions


def described(shared: Path, name: str, facts: dict[str, Any]) -> Described:
    (about,) = facts["inputs"].values()
    said = {key: about[key] for key in ("size", "mean", "norm", "pixel") if key in about}
    model = load_model(shared / f"more/{name}.param", shared / f"more/{name}.bin")
    return Described(model, shared / (about.get("npy") or about["images"]), InputOptions(**said))


def make(one: Described, way: str, without: Sequence[str], budget: Budget | None) -> QuantizedModel:
    calib = one.data / "calib"
    if way == "ncnn":
        return quantize(one.model, calibrate(one.model, calib, options=one.options, method="kl").table)
    return quantize(one.model, calib, options=one.options, recipe=way, without=without, budget=budget).int8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with more/ and data/")
    parser.add_argument("--models", nargs="+", help="default: all in more/models.json")
    parser.add_argument("--recipes", nargs="+", choices=WAYS, default=["ncnn", "fast", "best"])
    parser.add_argument("--without", nargs="+", default=[], metavar="TECHNIQUE", help="to leave out of recipes")
    parser.add_argument("--max-float-macs", type=float, help="share of the multiplications that may stay in float")
    arguments = parser.parse_args()
    budget = None if arguments.max_float_macs is None else Budget(max_float_macs=arguments.max_float_macs)
    facts = json.loads((arguments.shared / "more/models.json").read_text())
    for name in arguments.models or [name for name, about in facts.items() if isinstance(about, dict)]:
        one = described(arguments.shared, name, facts[name])
        for way in arguments.recipes:
            start = time.perf_counter()
            int8 = make(one, way, arguments.without, budget)
            seconds = time.perf_counter() - start
            with tempfile.TemporaryDirectory() as folder:
                files = Path(folder) / "int8.param", Path(folder) / "int8.bin"
                int8.save(*files)
                found = evaluate(one.model, load_model(*files), one.data / "eval", options=one.options)
            seen = ", ".join(f"{figure.name} {figure.values[1]:.4g}{figure.unit}" for figure in found.figures)
            share = f"{found.int8_macs / found.macs:.1%} in int8"
            print(f"{name:24} {way:6} {found.worst_sqnr:5.1f} dB  {seen}; {share}; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
