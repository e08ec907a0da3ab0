"""Which models of a folder of .param files can be read, run, calibrated and quantized, with random weights.

    python -m benchmarks sweep FOLDER [--seconds S]

Weights are drawn (tests/random_weights.py), inputs too; every model has a process of its own, and S seconds. A model
passes a stage where stock ncnn runs what the stage wrote; the last column says why it did not.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pyncnnq.model import Model
from pyncnnq.model.ops import Input, Reshape
from tests.random_weights import with_random_weights

STAGES = ("read", "run", "calibrate", "quantize", "run int8")
_SIDES = (64, 224, 320, 640)
"""What width and height are tried where the model does not state them."""

_RUN = """
import sys, ncnn, numpy as np
param, bin_path, *rest = sys.argv[1:]
net = ncnn.Net()
if net.load_param(param) or net.load_model(bin_path):
    sys.exit("ncnn does not load it")
extractor, held = net.create_extractor(), []
names, files, outputs = (word.split(",") for word in rest)
for name, file in zip(names, files):
    held.append(np.load(file))
    extractor.input(name, ncnn.Mat(held[-1]).clone())
for output in outputs:
    if extractor.extract(output)[0]:
        sys.exit(f"ncnn does not compute {output}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300, help="for each model")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        for line in _stages(options.folder):
            print(line, flush=True)
        return
    print(f"{'model':34} {'layers':>6}  passed; reason")
    for param in sorted(options.folder.rglob("*.param")):
        command = [sys.executable, "-m", "benchmarks", "sweep", "--one", str(param)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=options.seconds)
            output, reason = done.stdout, f"ended with {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired as late:
            output = late.stdout.decode() if isinstance(late.stdout, bytes) else ""
            reason = f"more than {options.seconds:g} s"
        lines = output.splitlines()
        layers = next((line.split()[1] for line in lines if line.startswith("layers ")), "-")
        passed = ", ".join(line for line in lines if line in STAGES)
        reason = next((line.removeprefix("because ") for line in lines if line.startswith("because ")), reason)
        print(f"{param.name[:34]:34} {layers:>6}  {passed}{'; ' if reason else ''}{reason[:200]}", flush=True)


def _stages(param: Path) -> Iterator[str]:
    """Take a model through all stages; return a line for each that it passes, and the reason for ending early."""
    from pyncnnq import calibrate, quantize
    from pyncnnq.errors import PyncnnqError

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            model = with_random_weights(param, folder / "m.bin")
            yield f"layers {len(model.layers)}"
            yield "read"
            for side in _sides(model):
                data = _inputs(model, side, folder)
                reason = _run(model, param, folder / "m.bin", data)
                if not reason:
                    break
            if reason:
                yield f"because {reason}"
                return
            yield "run"
            table = calibrate(model, *data).table
            yield "calibrate"
            int8 = quantize(model, table)
            int8.save(folder / "q.param", folder / "q.bin")
            yield "quantize"
            reason = _run(model, folder / "q.param", folder / "q.bin", data)
            yield f"because int8: {reason}" if reason else "run int8"
        except PyncnnqError as error:
            yield f"because {' '.join(str(error).split())}"


def _sides(model: Model) -> tuple[int, ...]:
    """Return the sides to try: larger ones first where a Reshape asks for many elements."""
    sizes = [layer.op.w * max(layer.op.h, 1) for layer in model.layers if isinstance(layer.op, Reshape)]
    return _SIDES[::-1] if max(sizes, default=0) > _SIDES[0] ** 2 else _SIDES


def _inputs(model: Model, side: int, folder: Path) -> list[Path]:
    """Write a random array for each input; return the files."""
    rng = np.random.default_rng(0)
    files = []
    for index, layer in enumerate(model.input_layers):
        w, h, c, d = layer.as_op(Input).sizes
        stated = tuple(size for size in (c, d, h, w) if size)
        shape = stated if math.prod(stated or (0,)) and (c or not h) and w else (c or 3, side, side)
        files.append(folder / f"in{index}.npy")
        np.save(files[-1], rng.uniform(0, 1, shape).astype(np.float32))
    return files


def _run(model: Model, param: Path, bin_path: Path, data: list[Path]) -> str:
    """Run a model in stock ncnn; return what went wrong."""
    words = [",".join(model.inputs), ",".join(map(str, data)), ",".join(model.outputs)]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, param, bin_path, *words], capture_output=True, text=True, check=False
    )
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return "" if done.returncode == 0 else f"stock ncnn: signal or code {done.returncode}: {last}"


if __name__ == "__main__":
    main()
