"""How long `pyncnnq calibrate` and `pyncnnq quantize --recipe fast` take beside plain inference of the same images, and
how much memory.

    python -m benchmarks calibrate_speed ../shared [--repeat 5]

The floor is plain inference by the ncnn wheel with its default options: one process per core, one thread each, the
images decoded and preprocessed beforehand and in memory.  It is given twice: the inference alone, and the whole
processes (start, imports, loading the model and the preprocessed images, inference).  `calibrate` and `quantize` are
always the whole process, from its start to the files on the disk. The runs alternate; medians and their ratios are
printed.  The table is checked first: the same from one worker as from all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyncnnq.inputs import Preprocessing, parse_options, pick
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.inputs.loading import load_sample
from pyncnnq.model import Model, load_model
from pyncnnq.runtime.pool import available_cores

FLOOR_PROCESS = """
import sys, time
import ncnn, numpy as np
param, bin, blob, output, images = sys.argv[1:]
net = ncnn.Net()
net.opt.num_threads = 1
assert net.load_param(param) == 0 and net.load_model(bin) == 0
images = np.load(images)
start = time.perf_counter()
for image in images:
    extractor = net.create_extractor()
    extractor.input(blob, ncnn.Mat(image))
    extractor.extract(output, ncnn.Mat())
print(time.perf_counter() - start)
"""


@dataclass
class Case:
    """A model and how its images are made."""

    name: str
    param: Path
    bin: Path
    options: list[str]


def cases(shared: Path) -> list[Case]:
    described = json.loads((shared / "models" / "models.json").read_text())
    found = []
    for name in ("efficientnet_lite0.ncnn", "squeezenet_v1.1"):
        (spec,) = described[name]["inputs"].values()
        options = [f"--{key}={','.join(map(str, spec[key]))}" for key in ("mean", "norm", "size")]
        options += [f"--pixel={spec['pixel']}", "--resize=short-side:256"]
        models = shared / "models"
        found.append(Case(name, models / f"{name}.param", models / f"{name}.bin", options))
    return found


def calibrate_command(case: Case, photographs: Path, table: Path, *more: str) -> list[str]:
    files = [str(case.param), str(case.bin), str(photographs)]
    return [sys.executable, "-m", "pyncnnq", "calibrate", *files, *case.options, "-o", str(table), "--quiet", *more]


def quantize_command(case: Case, photographs: Path, result: Path) -> list[str]:
    files = [str(case.param), str(case.bin), str(photographs)]
    return [
        sys.executable,
        "-m",
        "pyncnnq",
        "quantize",
        *files,
        *case.options,
        "--recipe=fast",
        "-o",
        str(result),
        "--quiet",
    ]


def read_data(case: Case, model: Model, photographs: Path, samples: int | None = None) -> CalibrationData:
    pairs = (option.removeprefix("--").split("=", 1) for option in case.options)
    options = parse_options(**{key: [value] for key, value in pairs})
    found = find_data(model, [photographs], ("options", options))
    return replace(found, samples=pick(found.samples, samples))


def floor(case: Case, blob: str, output: str, parts: list[Path]) -> tuple[float, float]:
    """Seconds of the slowest process' inference, and of all processes from start to end."""
    start = time.perf_counter()
    command = [sys.executable, "-c", FLOOR_PROCESS, str(case.param), str(case.bin), blob, output]
    processes = [subprocess.Popen([*command, str(part)], stdout=subprocess.PIPE, text=True) for part in parts]
    inference = max(float(process.communicate()[0]) for process in processes)
    return inference, time.perf_counter() - start


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def peak_memory(command: list[str]) -> float:
    """Largest sum, in MB, of what a process and its children hold (shared pages counted once: Pss), sampled every 20
    ms."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            pids = [process.pid, *map(int, children.read_text().split())]
            peak = max(peak, sum(_pss(pid) for pid in pids))
        except OSError:
            pass  # it ended between two looks
        time.sleep(0.02)
    return peak / 1024


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure(case: Case, photographs: Path, folder: Path, repeat: int) -> None:
    model = load_model(case.param, case.bin)
    data = read_data(case, model, photographs)
    (spec,) = data.inputs
    assert isinstance(spec, Preprocessing)
    images = np.stack([np.array(load_sample(path, spec)) for (path,) in data.samples])
    cores = available_cores()
    parts = []
    for core in range(cores):
        parts.append(folder / f"{case.name}.{core}.npy")
        np.save(parts[-1], images[core::cores])

    tables = [folder / f"{case.name}.{workers}.table" for workers in (1, cores)]
    for workers, table in zip((1, cores), tables, strict=True):
        subprocess.run(
            calibrate_command(case, photographs, table, f"--workers={workers}"), check=True, stderr=subprocess.DEVNULL
        )
    if tables[0].read_bytes() != tables[1].read_bytes():
        raise SystemExit(f"{case.name}: tables from 1 and {cores} workers differ")

    times: dict[str, list[float]] = {"inference": [], "processes": [], "calibrate": [], "quantize": []}
    for _ in range(repeat):
        inference, processes = floor(case, model.inputs[0], model.outputs[-1], parts)
        times["inference"].append(inference)
        times["processes"].append(processes)
        times["calibrate"].append(timed(calibrate_command(case, photographs, tables[1])))
        times["quantize"].append(timed(quantize_command(case, photographs, folder / f"{case.name}-int8")))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"{case.name}: {len(images)} images on {cores} cores, medians of {repeat}")
    print(f"  floor: inference alone {medians['inference']:.2f} s, whole processes {medians['processes']:.2f} s")
    for name, what in (("calibrate", "calibrate"), ("quantize", "quantize --recipe fast")):
        ratios = medians[name] / medians["inference"], medians[name] / medians["processes"]
        print(f"  {what:<22} {medians[name]:.2f} s: {ratios[0]:.2f} and {ratios[1]:.2f} times that")
    print(
        f"  peak memory of calibrate     {peak_memory(calibrate_command(case, photographs, tables[1])):.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/imagenet/calib")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(arguments.shared):
            measure(case, arguments.shared / "data" / "imagenet" / "calib", Path(folder), arguments.repeat)


if __name__ == "__main__":
    main()
