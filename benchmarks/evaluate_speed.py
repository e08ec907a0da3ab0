"""How long `pyncnnq evaluate` takes beside plain inference of both models.

    python -m benchmarks evaluate_speed ../shared [--repeat 5]

The floor is two runs of plain inference by the ncnn wheel, one of the float model and one of the int8 model: one
process per core, one thread each, which decode, preprocess and run each image, as a script would.  It is given also
with images that were decoded before: then what `evaluate` decodes counts against it.  `evaluate` is the pass over the
samples, without the start of the processes on either side. The runs alternate; medians are printed.  Then the whole
command, with its start and its measurement of speed.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.calibrate_speed import Case, cases, read_data
from pyncnnq import calibrate, collect, load_model, quantize
from pyncnnq.compare.comparison import ComparisonJob
from pyncnnq.compare.tasks import TASKS
from pyncnnq.inputs import InputSpec, parse_options
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool, available_cores
from pyncnnq.runtime.run import run_job

PLAIN_PROCESS = """
import pickle, sys, time
import cv2, ncnn
from pyncnnq.inputs.loading import load_sample
cv2.setNumThreads(1)
param, bin, blob, output, spec, paths, early = pickle.load(sys.stdin.buffer)
net = ncnn.Net()
net.opt.num_threads = 1
assert net.load_param(param) == 0 and net.load_model(bin) == 0
mats = [load_sample(path, spec) for path in paths] if early else (load_sample(path, spec) for path in paths)
print("ready", flush=True)
sys.stdin.buffer.read(1)
start = time.perf_counter()
for mat in mats:
    extractor = net.create_extractor()
    extractor.input(blob, mat)
    extractor.extract(output, ncnn.Mat())
print(time.perf_counter() - start)
"""


def plain(model: Model, spec: InputSpec, paths: list[Path], *, early: bool) -> float:
    """Seconds of the slowest of the processes, one for each core, without their start."""
    cores = available_cores()
    processes = []
    for core in range(cores):
        process = subprocess.Popen([sys.executable, "-c", PLAIN_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin
        job = (
            str(model.param_path),
            str(model.bin_path),
            model.inputs[0],
            model.outputs[0],
            spec,
            paths[core::cores],
            early,
        )
        pickle.dump(job, process.stdin)
        process.stdin.flush()
        processes.append(process)
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"!")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in processes)


def evaluated(model: Model, int8: Model, spec: InputSpec, paths: list[Path]) -> float:
    """Seconds from the first to the last answer of the workers, the first image of each left out of both ends."""
    times: list[float] = []
    job = ComparisonJob(
        inputs=[(model.inputs[0], spec)],
        samples=[(path,) for path in paths],
        models=[model.files, int8.files],
        outputs=model.outputs,
        tasks=list(TASKS.values()),
    )
    with WorkerPool() as pool:
        run_job(job, pool, progress=lambda _done, _total: times.append(time.perf_counter()))
    cores = available_cores()
    return (times[-1] - times[cores - 1]) * len(paths) / (len(paths) - cores)


def measure(case: Case, shared: Path, folder: Path, repeat: int, samples: int) -> None:
    model = load_model(case.param, case.bin)
    options = parse_options(
        **{key: [value] for key, value in (option.removeprefix("--").split("=", 1) for option in case.options)}
    )
    table = calibrate(model, collect(model, shared / "data" / "imagenet" / "calib", options=options, samples=20)).table
    files = folder / f"{case.name}.param", folder / f"{case.name}.bin"
    quantize(model, table).save(*files)
    int8 = load_model(*files)
    data = read_data(case, model, shared / "data" / "imagenet" / "eval", samples)
    (spec,), paths = data.inputs, [path for (path,) in data.samples]
    times: dict[str, list[float]] = {"both, decoding": [], "both, decoded before": [], "evaluate": []}
    for _ in range(repeat):
        times["both, decoding"].append(sum(plain(one, spec, paths, early=False) for one in (model, int8)))
        times["both, decoded before"].append(sum(plain(one, spec, paths, early=True) for one in (model, int8)))
        times["evaluate"].append(evaluated(model, int8, spec, paths))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"{case.name}: {len(paths)} images on {available_cores()} cores, medians of {repeat}")
    for name, seconds in medians.items():
        print(f"  {name:24} {seconds:.2f} s   ratio of evaluate {medians['evaluate'] / seconds:.2f}")
    command = [
        sys.executable,
        "-m",
        "pyncnnq",
        "evaluate",
        case.param,
        case.bin,
        *files,
        shared / "data" / "imagenet" / "eval",
        *case.options,
    ]
    start = time.perf_counter()
    subprocess.run([*map(str, command), f"--samples={samples}", "-q"], check=True)
    print(f"  the whole command        {time.perf_counter() - start:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/imagenet")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--samples", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(arguments.shared):
            measure(case, arguments.shared, Path(folder), arguments.repeat, arguments.samples)


if __name__ == "__main__":
    main()
