"""What users see of the float model as ncnn stores it in 16 bits (bf16): hardly any int8 model does better.

    python -m benchmarks half MODEL.param MODEL.bin IMAGES [--preset nanodet] [--size 320,320] [--samples 200]

Prints dB of each output against float in 32 bits, and the figures of the model's task. Without a preset, what stands
beside the model counts.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import numpy as np

from benchmarks.accuracy import inference
from benchmarks.accuracy.judge import decibels
from pyncnnq import InputOptions, load_model
from pyncnnq.compare.tasks import tasks_for
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.inputs.data import find_chosen
from pyncnnq.inputs.loading import load_sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("param", type=Path)
    parser.add_argument("bin", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--size", help="width,height")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--task")
    arguments = parser.parse_args()
    model = load_model(arguments.param, arguments.bin)
    width, height = map(int, arguments.size.split(",")) if arguments.size else (0, 0)
    options = InputOptions(preset=arguments.preset, size=(width, height) if arguments.size else None)
    data = find_chosen(model, [arguments.images], options, arguments.samples)
    nets = [inference.load(arguments.param, arguments.bin, use_bf16_storage=half) for half in (False, True)]
    (bottom,), (spec,) = model.inputs, data.inputs
    powers: dict[str, list[tuple[float, float]]] = {name: [] for name in model.outputs}
    tasks = {task.name: (task, []) for task in tasks_for(model, data.inputs, arguments.task)}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # some models make ncnn print a line for each inference
    for paths in data.samples:
        mat = load_sample(paths[0], spec)
        exact, half = (
            dict(zip(model.outputs, inference.run(net, bottom, mat, model.outputs), strict=True)) for net in nets
        )
        for name, values in exact.items():
            signal, noise = np.square(values, dtype=np.float64).sum(), np.square(values - half[name]).sum()
            powers[name].append((float(signal), float(noise)))
        sample = Sample(paths=[str(path) for path in paths], shapes=[np.array(mat).shape])
        for task, records in tasks.values():
            records.append(task.record(exact, half, sample))
    for name, each in powers.items():
        print(f"{name}: {decibels(*(math.fsum(column) for column in zip(*each, strict=True))):.1f} dB")
    for task, records in tasks.values():
        if None not in records:
            figures = task.figures(records, None, [])
            print(f"{task.name}: " + ", ".join(f"{one.name} {one.values[1]:.4g}{one.unit}" for one in figures))
            break


if __name__ == "__main__":
    main()
