"""The core runs on the cores that its process may use, and on no others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import PATIENCE

PROGRAM = """
import os, sys, threading, time
import numpy as np
from pyncnnq._core import available_cores, gptq_round, quantize_rows

cores = int(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
assert available_cores() == cores, available_cores()

weights, scales = np.ones((8, 1 << 19), np.float32), np.ones(8, np.float32)
rounded, moments = np.ones((1, 512, 160)), np.eye(160)[None]
running, most, samples = True, 0, 0

def watch():
    global most, samples
    while running:
        most, samples = max(most, len(os.listdir("/proc/self/task"))), samples + 1
        time.sleep(0)

watcher = threading.Thread(target=watch)
watcher.start()
before = len(os.listdir("/proc/self/task"))  # with the threads that NumPy may have started
end = time.monotonic() + float(sys.argv[2])
while samples < 300 or (most == before and cores > 1 and time.monotonic() < end):
    quantize_rows(weights, scales)
    gptq_round(rounded, moments, np.ones((1, 512), np.float32))
running = False
watcher.join()
print(most - before)
"""


def threads_started(cores: int) -> int:
    """Return how many threads the core adds to a process that may use so many cores."""
    command = [sys.executable, "-c", PROGRAM, str(cores), str(20 * PATIENCE)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 * PATIENCE, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity of processes")
def test_a_process_of_one_core_runs_one_thread() -> None:
    assert threads_started(1) == 0


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="a second core is needed"
)
def test_a_process_of_two_cores_runs_another_thread() -> None:
    """The program above sees threads where there are any; a thread that has just ended may be among them."""
    assert threads_started(2) >= 1
