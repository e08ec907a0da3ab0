"""Recurrent networks in int8: ncnn's own way beside the recipes, and what the layers' own rounding alone leaves.

    python -m benchmarks recurrent ../shared [--resemblyzer FOLDER] [--recipes ncnn fast best] [--without smoothing]
        [--exclude lstm0] [--min-sqnr 30]

The networks are `golden/seq` and `golden/lstmproj` on noise, and with a folder that holds its wheel (`pip download
--no-deps Resemblyzer`) Resemblyzer's speaker encoder on speech by espeak-ng, which must be installed.  Each is
calibrated on some arrays and judged on others: dB of the worst output against float, the share of multiplications in
int8, and dB with the weights of the int8 model alone and with its activations alone.  `ncnn` is what ncnn2table and
ncnn2int8 make of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recurrent.encoder import speaker_encoder
from benchmarks.recurrent.speech import write_speech
from pyncnnq import Budget, Model, QuantizedModel, calibrate, dequantize, evaluate, load_model, quantize
from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import parts_of
from pyncnnq.inputs.data import find_chosen
from pyncnnq.runtime.pool import WorkerPool

GOLDENS, SHAPE, SAMPLES = ("seq", "lstmproj"), (20, 12), 32


@dataclass(frozen=True)
class Network:
    """A float model, and folders of arrays to calibrate on and to judge by."""

    name: str
    model: Model
    calib: Path
    judged: Path


def networks(shared: Path, resemblyzer: Path | None, folder: Path) -> Iterator[Network]:
    noise = folder / "noise"
    for place, part in enumerate(("calib", "eval")):
        (noise / part).mkdir(parents=True)
        rng = np.random.default_rng(place)
        for number in range(SAMPLES):
            np.save(noise / part / f"{number:02}.npy", rng.normal(0, 1.2, SHAPE).astype(np.float32))
    for name in GOLDENS:
        files = shared / "golden" / name
        yield Network(name, load_model(files / "model.param", files / "model.bin"), noise / "calib", noise / "eval")
    if resemblyzer is not None:
        (wheel,) = resemblyzer.glob("Resemblyzer-*.whl")
        speaker_encoder(wheel, folder).save(folder / "encoder.param", folder / "encoder.bin")
        model = load_model(folder / "encoder.param", folder / "encoder.bin")
        yield Network("speaker encoder", model, *write_speech(folder))


def make(network: Network, way: str, choices: dict[str, Any]) -> QuantizedModel:
    if way == "ncnn":
        return quantize(network.model, calibrate(network.model, network.calib, method="kl").table)
    return quantize(network.model, network.calib, recipe=way, **choices).int8


def worst_ratio(model: Model, other: Model, data: Path) -> float:
    """Return the dB of the worst output of another model than the first."""
    chosen = find_chosen(model, [data], (), None)
    with WorkerPool() as pool:
        parts = parts_of(model)
        inputs = list(zip(model.inputs, chosen.inputs, strict=True))
        files = [model.files, other.files]
        return min(compare_outputs(files, chosen.samples, inputs, parts, model.graph(), pool).ratios[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with golden/")
    parser.add_argument("--resemblyzer", type=Path, help="folder with the wheel of Resemblyzer")
    parser.add_argument("--models", nargs="+", help="default: all")
    parser.add_argument(
        "--recipes", nargs="+", choices=("ncnn", "table", "fast", "best"), default=["ncnn", "fast", "best"]
    )
    parser.add_argument("--without", nargs="+", default=[], metavar="TECHNIQUE", help="to leave out of recipes")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="LAYER", help="to leave in float")
    parser.add_argument("--min-sqnr", type=float, help="in dB: leave layers in float until it is reached")
    arguments = parser.parse_args()
    budget = None if arguments.min_sqnr is None else Budget(min_sqnr=arguments.min_sqnr)
    choices = {"without": arguments.without, "exclude": arguments.exclude, "budget": budget}
    with tempfile.TemporaryDirectory() as folder:
        for network in networks(arguments.shared, arguments.resemblyzer, Path(folder)):
            if arguments.models and network.name not in arguments.models:
                continue
            for way in arguments.recipes:
                files = Path(folder) / "int8.param", Path(folder) / "int8.bin"
                make(network, way, choices).save(*files)
                int8 = load_model(*files)
                floats = dequantize(int8).stored(Path(folder), "dequantized")
                found = evaluate(network.model, int8, network.judged)
                weights, activations = (
                    worst_ratio(*pair, network.judged) for pair in ((network.model, floats), (floats, int8))
                )
                share = f"{found.int8_macs / found.macs:.0%} in int8"
                alone = f"weights alone {weights:5.1f} dB, activations alone {activations:5.1f} dB"
                print(f"{network.name:16} {way:6} {found.worst_sqnr:5.1f} dB  {share}; {alone}", flush=True)


if __name__ == "__main__":
    main()
