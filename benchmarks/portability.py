"""How far the outputs of one int8 model lie apart on different CPUs and with different options of stock ncnn.

    python -m benchmarks portability make ../shared build/portability
    python -m benchmarks portability run build/portability
    PYTHONPATH=. tools/aarch64.sh --run python -m benchmarks portability run build/portability
    python -m benchmarks portability compare build/portability

`make` writes int8 models by `pyncnnq.quantize`, photographs as inputs, and the float outputs.  `run` writes what stock
ncnn makes of them
on this CPU: with blobs packed and unpacked, by winograd, by its F(2,3) alone and without it.  `compare` prints the SQNR
between all that was written, in dB, of the worst output over all photographs; ways of running with the same numbers to
the bit have one column.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from benchmarks.accuracy import inference, models
from benchmarks.accuracy.judge import decibels, squared_distance
from pyncnnq import quantize
from pyncnnq.inputs.data import find_chosen
from pyncnnq.inputs.loading import load_sample

Blobs = Mapping[str, inference.Array]
"""Blobs of all photographs by name, each (photographs, ...)."""

MODELS = ("squeezenet_v1.1", "efficientnet_lite0.ncnn", "resnet18_cifar10.ncnn")

LAYOUTS: Mapping[str, Mapping[str, bool]] = {"packed": {}, "unpacked": {"use_packing_layout": False}}
PRODUCTS: Mapping[str, Mapping[str, bool]] = {
    "winograd": {},
    "winograd F(2,3)": {"use_winograd43_convolution": False},
    "no winograd": {"use_winograd_convolution": False},
}


def make(arguments: argparse.Namespace) -> None:
    for name in arguments.models:
        described = models.read(arguments.shared, name)
        folder = arguments.folder / name
        (folder / "outputs").mkdir(parents=True, exist_ok=True)
        for old in (folder / "outputs").iterdir():
            old.unlink()
        int8 = quantize(described.model, described.calib, options=described.options, samples=arguments.calibrate).int8
        int8.save(folder / "int8.param", folder / "int8.bin")
        described.model.save(folder / "float.param", folder / "float.bin")
        data = find_chosen(described.model, [described.eval], described.options, arguments.photographs)
        photographs = np.stack([np.array(load_sample(path, data.inputs[0])) for (path,) in data.samples])
        inputs = {described.model.inputs[0]: photographs}
        _save(folder / "inputs.npz", inputs)
        net = inference.load(folder / "float.param", folder / "float.bin")
        _save(folder / "outputs" / "float.npz", _outputs(net, inputs, described.outputs))


def run(arguments: argparse.Namespace) -> None:
    cpu = " ".join(filter(None, (platform.machine(), os.environ.get("QEMU_CPU"))))
    for folder in sorted(arguments.folder.iterdir()):
        inputs, blobs = _load(folder / "inputs.npz"), list(_load(folder / "outputs" / "float.npz"))
        for layout, product in ((layout, product) for layout in LAYOUTS for product in PRODUCTS):
            net = inference.load(folder / "int8.param", folder / "int8.bin", **LAYOUTS[layout], **PRODUCTS[product])
            _save(folder / "outputs" / f"{cpu}, {layout}, {product}.npz", _outputs(net, inputs, blobs))


def compare(arguments: argparse.Namespace) -> None:
    for folder in sorted(arguments.folder.iterdir()):
        found = {path.stem: _load(path) for path in sorted((folder / "outputs").iterdir())}
        expected = found.pop("float")
        different: list[Blobs] = []
        number = {}
        for name, blobs in found.items():
            place = next(
                (place for place, one in enumerate(different) if ratio(one, blobs) == math.inf), len(different)
            )
            different[place:] = different[place:] or [blobs]
            number[name] = place
        between = [[ratio(a, b) for b in different] for a in different]
        print(
            f"{folder.name}: {len(next(iter(expected.values())))} photographs, lowest SQNR "
            f"{min(map(min, between)):.2f} dB"
        )
        print(f"{'':50}{'to float':>10}" + "".join(f"{f'to {place + 1}':>8}" for place in range(len(different))))
        for name, place in number.items():
            ratios = "".join(f"{one:>8.2f}" for one in between[place])
            print(f"{place + 1:>4} {name:45}{ratio(expected, found[name]):>10.2f}{ratios}")
        print()


def ratio(expected: Blobs, found: Blobs) -> float:
    """The signal-to-noise ratio of the worst blob, in dB."""
    return min(
        decibels(float(np.square(blob, dtype=np.float64).sum()), squared_distance(blob, found[name]))
        for name, blob in expected.items()
    )


def _outputs(net: ncnn.Net, inputs: Blobs, blobs: list[str] | tuple[str, ...]) -> dict[str, inference.Array]:
    ((bottom, photographs),) = inputs.items()
    rows = [inference.run(net, bottom, ncnn.Mat(photograph).clone(), blobs) for photograph in photographs]
    return {blob: np.stack(column) for blob, column in zip(blobs, zip(*rows, strict=True), strict=True)}


def _save(path: Path, blobs: Mapping[str, Any]) -> None:
    np.savez(path, **blobs)


def _load(path: Path) -> dict[str, inference.Array]:
    with np.load(path) as arrays:
        return dict(arrays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for command in (make, run, compare):
        one = commands.add_parser(command.__name__)
        one.set_defaults(command=command)
        if command is make:
            one.add_argument("shared", type=Path, help="folder with models/ and data/")
            one.add_argument("--models", nargs="+", default=MODELS)
            one.add_argument("--calibrate", type=int, default=40, help="photographs to calibrate on")
            one.add_argument("--photographs", type=int, default=2, help="inputs")
        one.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
