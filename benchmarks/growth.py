"""How the CPU time of each command grows with the layers of a network and with the number of images.

    python -m benchmarks growth [--layers 31 62 125 250 500 1000] [--images 16] [--commands calibrate fast best]
    python -m benchmarks growth --layers 31 --images 16 64 256 1024

Networks are residual blocks of two small convolutions on 8x8 images, made up, so that inference costs next to nothing.
CPU time is that of a command and all its processes, user and system, which hardly depends on what else runs.  The
exponent is the slope of a line through the logarithms of the times of the larger half, the time of an empty command
taken off: 1 is in proportion.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pyncnnq.model import Layer, Model, Params, Weight

COMMANDS = ("calibrate", "fast", "best", "evaluate", "analyze", "deploy")
CHANNELS, SIZE = 8, 8
OPTIONS = ("--mean", "127.5", "--norm", "0.015", "--pixel", "RGB", "--quiet")


def kernels(convolutions: int) -> list[np.ndarray]:
    """The weights of each convolution, shape (outputs, inputs, 3, 3); those that end a block are small."""
    rng = np.random.default_rng(convolutions)
    found = []
    for index in range(convolutions):
        inputs = 3 if index == 0 else CHANNELS
        size = (1 if index % 2 else 0.2 if index else 1) * (2 / (9 * inputs)) ** 0.5
        found.append(rng.normal(0, size, (CHANNELS, inputs, 3, 3)).astype(np.float32))
    return found


def network(convolutions: int) -> Model:
    """A stem, blocks of two convolutions around which the input is added, and the mean of each channel."""
    layers = [Layer("Input", "in0", [], ["in0"], Params(f" 0={SIZE} 1={SIZE} 2=3"))]
    blob = "in0"
    for index, weights in enumerate(kernels(convolutions)):
        name = f"conv{index}"
        if index % 2:  # the first of a block
            layers.append(Layer("Split", f"split{index}", [blob], [f"{blob}_0", f"{blob}_1"]))
            skipped, blob = f"{blob}_0", f"{blob}_1"
        activation = " 9=1" if index % 2 or not index else ""
        params = Params(f" 0={CHANNELS} 1=3 4=1 5=1 6={weights.size}{activation}")
        arrays = [Weight.tagged_float32("weight_data", weights), Weight.raw("bias_data", np.zeros(CHANNELS))]
        layers.append(Layer("Convolution", name, [blob], [name], params, {array.name: array for array in arrays}))
        blob = name
        if index % 2 == 0 and index:
            layers.append(Layer("BinaryOp", f"add{index}", [blob, skipped], [f"sum{index}"], Params(" 0=0")))
            blob = f"sum{index}"
    if convolutions % 2 == 0:  # the last block has one convolution
        layers.append(Layer("BinaryOp", "add", [blob, skipped], ["sum"], Params(" 0=0")))
        blob = "sum"
    layers.append(Layer("Pooling", "pool", [blob], ["out0"], Params(" 0=1 4=1")))
    return Model(layers)


def write_onnx(convolutions: int, path: Path) -> None:
    """Write the same network as ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, blob, skipped = [], "in0", "in0"
    all_weights = kernels(convolutions)
    for index, _ in enumerate(all_weights):
        skipped = blob if index % 2 else skipped
        nodes.append(helper.make_node("Conv", [blob, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        blob = f"c{index}"
        if index % 2 or not index:
            nodes.append(helper.make_node("Relu", [blob], [f"r{index}"]))
            blob = f"r{index}"
        if (index % 2 == 0 and index) or (index % 2 and index == convolutions - 1):
            nodes.append(helper.make_node("Add", [blob, skipped], [f"s{index}"]))
            blob = f"s{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [blob], ["out0"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("in0", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("out0", TensorProto.FLOAT, [1, CHANNELS, 1, 1])],
        [numpy_helper.from_array(weights, f"w{index}") for index, weights in enumerate(all_weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_images(count: int, folder: Path) -> None:
    """Write images of smooth random colours."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index:05}.png"), pixels)


def cpu_seconds(*words: str) -> float:
    """Return the CPU time of a command and its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "pyncnnq", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pyncnnq {' '.join(words)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(command: str, folder: Path, convolutions: int) -> float:
    """Return the CPU time of one command on the network and the images in a folder."""
    pair, images = [str(folder / "m.param"), str(folder / "m.bin")], str(folder / "images")
    int8 = [str(folder / "q.param"), str(folder / "q.bin")]
    if command == "calibrate":
        return cpu_seconds("calibrate", *pair, images, *OPTIONS, "-o", str(folder / "m.table"))
    if command in ("fast", "best"):
        return cpu_seconds("quantize", *pair, images, *OPTIONS, "--recipe", command, "-o", str(folder / "q"))
    if command == "deploy":
        write_onnx(convolutions, folder / "m.onnx")
        return cpu_seconds("deploy", str(folder / "m.onnx"), images, *OPTIONS, "--recipe", "fast", "-o", str(folder))
    if not Path(int8[0]).exists():
        cpu_seconds("quantize", *pair, images, *OPTIONS, "--recipe", "fast", "-o", str(folder / "q"))
    samples = ["--samples", str(sum(1 for _ in Path(images).iterdir()))]
    return cpu_seconds(command, *pair, *int8, images, *OPTIONS, *samples)


def exponent(counts: Sequence[int], seconds: Sequence[float], empty: float) -> float:
    """Return the slope of a line through the logarithms of the larger half, at least two points."""
    first = min(len(counts) // 2, len(counts) - 2)
    times = [max(time - empty, 1e-3) for time in seconds[first:]]
    return float(np.polyfit(np.log(counts[first:]), np.log(times), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", type=int, default=[31, 62, 125, 250, 500, 1000])
    parser.add_argument("--images", nargs="+", type=int, default=[16])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    arguments = parser.parse_args()
    if len(arguments.layers) > 1 and len(arguments.images) > 1:
        parser.error("several numbers of layers and of images; one of both grows")
    cases = [(layers, images) for layers in arguments.layers for images in arguments.images]
    grown = [images if len(arguments.images) > 1 else layers for layers, images in cases]
    empty = cpu_seconds("--version")
    print(f"{'CPU seconds':12}" + "".join(f"{count:>9}" for count in grown) + "  exponent", flush=True)
    for command in arguments.commands:
        seconds = []
        print(f"{command:12}", end="", flush=True)
        for layers, images in cases:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                network(layers).save(folder / "m.param", folder / "m.bin")
                write_images(images, folder / "images")
                seconds.append(measure(command, folder, layers))
            print(f"{seconds[-1]:9.2f}", end="", flush=True)
        print(f"{exponent(grown, seconds, empty):10.2f}" if len(grown) > 1 else "", flush=True)


if __name__ == "__main__":
    main()
