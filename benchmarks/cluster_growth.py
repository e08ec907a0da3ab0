"""What spreading a calibration over many workers costs, measured on one network and reckoned up to a thousand.

    python -m benchmarks cluster_growth ../shared [--images 1000000]

Measured, in seconds of a core: one sample, and merging the statistics of two blocks; in bytes: those statistics, and
the model.  Reckoned from that, as pyncnnq/runtime/engines/dask.py works: blocks of 4 seconds, a tree of merges that
workers do among themselves, and what a queue of merges in the calling process would take.
"""

from __future__ import annotations

import argparse
import math
import pickle
import resource
import time
from pathlib import Path

from benchmarks.calibrate_speed import cases, read_data
from pyncnnq.model import load_model
from pyncnnq.runtime.engines.remote import merge_results
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observe import ObservationJob
from pyncnnq.statistics.observed import observed_blobs

NETWORK = "efficientnet_lite0"
BLOCK = 4.0
"""Seconds, as in pyncnnq/runtime/engines/remote_engine.py."""
TASKS = 4
"""Of Dask for each block: the block, its answers, its result, a merge."""
MESSAGES = 3
"""For each task: it comes from the caller, goes to a worker, and its end is told."""
WIRE = 1e9 / 8
"""Bytes in a second: gigabit Ethernet."""
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cluster_growth")
    parser.add_argument("shared", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000, help="how many are calibrated on")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 32, 100, 320, 1000])
    arguments = parser.parse_args()
    case = next(case for case in cases(arguments.shared) if NETWORK in case.param.name)
    model = load_model(case.param, case.bin)
    data = read_data(case, model, arguments.shared / "data" / "imagenet" / "calib", 64)
    job = ObservationJob.of(model, data.samples, data.inputs, observed_blobs(model))

    parts, used = [], []
    for first, last in ((0, 16), (16, 64)):
        before = _core_seconds()
        with WorkerPool(1) as pool:
            part = ObservationJob.of(model, data.samples[first:last], data.inputs, job.blobs)
            parts.append(pickle.dumps(run_job(part, pool).result))
        used.append(_core_seconds() - before)
    sample = (used[1] - used[0]) / 32  # the start of a process is in both
    merges = []
    for _ in range(REPEATS):
        start = time.process_time()
        merged = merge_results(ObservationJob.merged, *parts)
        merges.append(time.process_time() - start)
    merge, size, contents = min(merges), len(merged), sum(path.stat().st_size for path in (case.param, case.bin))
    print(f"{NETWORK}: {1000 * sample:.0f} ms a sample, {1000 * merge:.0f} ms a merge of two parts")
    print(
        f"{size / 1e6:.1f} MB the statistics of a block, {contents / 1e6:.1f} MB the model; {arguments.images} images"
    )

    length = max(1, int(BLOCK / sample))
    blocks = -(-arguments.images // length)
    print("workers  samples  merges of each  start and end  by a queue  messages a second  MB to each")
    for workers in arguments.workers:
        work = arguments.images * sample / workers
        each = (blocks - 1) / workers * merge
        hops = math.log2(min(workers, blocks)) * (merge + (size + contents) / WIRE)
        rate = blocks * TASKS * MESSAGES / (work + each + hops)
        moved = (contents + (blocks - 1) / workers * size * (workers > 1)) / 1e6
        print(
            f"{workers:7}  {work:5.0f} s  {each:12.1f} s  {hops:11.1f} s  {blocks * merge:8.0f} s  {rate:17.0f}  "
            f"{moved:10.0f}"
        )


def _core_seconds() -> float:
    """Return how long processes that have ended have had a core."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
