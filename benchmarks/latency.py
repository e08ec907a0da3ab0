"""How fast models are in float, with all layers in int8, and as `quantize --for speed` makes them, in turns.

    python -m benchmarks latency ../shared [--models squeezenet_v1.1 ...] [--detector 320n.param] [--threads 1 2]

For each model and number of threads: the layers in float of the model for speed, and of how many; medians of inferences
that take turns, and how many times as fast as float that is; what the profile said that the model for speed would take,
as a share of what it took; and first, on data that no model was made of, dB of the worst output of both int8 models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accuracy import models
from benchmarks.transformers import Described, described
from pyncnnq import InputOptions, Model, Optimized, evaluate, load_model, profile, quantize
from pyncnnq.inputs import Resize
from pyncnnq.latency.timing import Effort, TimedModel, time_models

JUDGED = 8
"""Samples that show whether an int8 model computes what the float model does."""

HEADER = f"{'model':24}{'threads':>8}{'in float':>10}{'float':>10}{'int8':>18}{'for speed':>18}{'foretold':>10}  dB"


def networks(shared: Path, detector: Path | None) -> Iterator[tuple[str, Described]]:
    """Yield the models with their data, by name."""
    for name in models.names(shared):
        one = models.read(shared, name)
        yield name, Described(one.model, one.calib.parent, one.options)
    facts = json.loads((shared / "more/models.json").read_text())
    for name, about in facts.items():
        if isinstance(about, dict):
            yield name, described(shared, name, about)
    if detector is not None:
        options = InputOptions(mean=(0,), norm=(1 / 255,), pixel="RGB", resize=Resize("letterbox"))
        model = load_model(detector, detector.with_suffix(".bin"))
        yield detector.stem, Described(model, shared / "data/imagenet", options)


def stored(result: Optimized, folder: Path, name: str) -> Model:
    """Return an int8 model as read from files."""
    files = folder / f"{name}.param", folder / f"{name}.bin"
    result.save(*files)
    return load_model(*files)


def compare(name: str, one: Described, threads: int, arguments: argparse.Namespace, folder: Path) -> str:
    """Return a line of the table."""
    size = [one.options.size] if one.options.size else []
    device = profile(one.model, size=size, threads=threads)
    results = [
        quantize(
            one.model,
            one.data / "calib",
            options=one.options,
            samples=arguments.calibrate,
            recipe=arguments.recipe,
            goal=goal,
            device=device if goal == "speed" else None,
        )
        for goal in ("size", "speed")
    ]
    made = [stored(result, folder, f"{name}-{place}") for place, result in enumerate(results)]
    figures = [
        evaluate(one.model, int8, one.data / "eval", options=one.options, samples=JUDGED).worst_sqnr for int8 in made
    ]
    timed = [TimedModel.of(model) for model in (one.model, *made)]
    effort = Effort(least=arguments.rounds, most=arguments.rounds, seconds=0.0)
    times = time_models(timed, device.inputs, threads, effort, by_layer=False)
    before, *others = (1000 * statistics.median(seconds.whole) for seconds in times)
    ratios = "".join(f"{ms:>10.2f} {before / ms:>6.2f}x" for ms in others)
    speed = results[1].speed
    assert speed is not None
    foretold = device.chosen.predicted_ms / others[1] if device.chosen else float("nan")
    counts = f"{len(speed.in_float)}/{len(device.costs)}"
    decibels = ", ".join(f"{ratio:.1f}" for ratio in figures)
    return f"{name:24}{threads:>8}{counts:>10}{before:>10.2f}{ratios}{100 * foretold:>8.0f} %  {decibels}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/, more/ and data/")
    parser.add_argument("--models", nargs="+", help="default: all of them")
    parser.add_argument("--detector", type=Path, metavar="PARAM", help="one more, which takes RGB / 255")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--recipe", default="fast", help="default: fast; the recipe changes no time")
    parser.add_argument("--calibrate", type=int, default=24, metavar="N", help="samples; default: 24")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="inferences of each model; default: 15")
    arguments = parser.parse_args()
    print(HEADER)
    for name, one in networks(arguments.shared, arguments.detector):
        if arguments.models is None or name in arguments.models:
            for threads in arguments.threads:
                with tempfile.TemporaryDirectory() as folder:
                    print(compare(name, one, threads, arguments, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
