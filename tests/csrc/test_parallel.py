"""The core runs on the cores that its process may use, and on no others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, REPOSITORY
from test_build import run, tool

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


FAILING = r"""
#include <cstdio>
#include <new>
#include <stdexcept>

#include "core/parallel.hpp"

int main() {
    for (size_t failing = 0; failing < 40; failing++) {
        std::atomic<size_t> ended{0};
        try {
            pyncnnq::for_each_part(40, [&](size_t part) {
                for (volatile int i = 0; i < 10000; i = i + 1) {}
                if (part >= failing) throw std::bad_alloc();
                ended++;
            });
            return 1;
        } catch (const std::bad_alloc&) {
            if (ended != failing) return 2;
        }
    }
    std::puts("thrown");
}
"""


def test_what_a_thread_throws_is_thrown_to_the_caller(tmp_path: Path) -> None:
    """When all threads have ended, whichever of them it was: one that let it through would end the process."""
    source, program = tmp_path / "failing.cpp", tmp_path / "failing"
    source.write_text(FAILING)
    core = REPOSITORY / "csrc"
    run(
        tool("c++", "g++", "clang++"),
        "-std=c++17",
        "-O1",
        "-pthread",
        f"-I{core}",
        source,
        core / "core/parallel.cpp",
        "-o",
        program,
    )
    assert run(program) == "thrown\n"
