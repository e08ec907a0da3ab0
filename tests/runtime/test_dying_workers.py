"""Samples over which worker processes end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from toy_jobs import DyingJob

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.run import run_job

SEGV, KILL = signal.SIGSEGV, signal.SIGKILL
TWICE = (SEGV, SEGV)

MakeJob = Callable[..., DyingJob]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes import the toy jobs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]]))


@pytest.fixture
def make(tmp_path: Path) -> MakeJob:
    """Makes a job on samples that hold 0, 1, 2, ..."""

    def make(count: int, deaths: Mapping[float, Sequence[int]], dies_at: str = "") -> DyingJob:
        samples = []
        for number in range(count):
            path = tmp_path / f"{number}.npy"
            np.save(path, np.full(3, number, np.float32))
            samples.append((path,))
        return DyingJob(inputs=[("in0", ArraySpec())], samples=samples, deaths=deaths, notes=tmp_path, dies_at=dies_at)

    return make


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("bad", [(11,), (0, 3, 4)])
def test_a_sample_that_ends_two_workers_is_skipped_by_name(make: MakeJob, workers: int, bad: tuple[int, ...]) -> None:
    """The result of the workers holds each other sample once: as if the bad ones were not there."""
    good = [number for number in range(12) if number not in bad]
    calls: list[int] = []
    with WorkerPool(workers) as pool:
        answers = run_job(make(12, dict.fromkeys(bad, TWICE)), pool, progress=lambda done, _: calls.append(done))
        assert pool.size == workers
        again = run_job(make(3, {}), pool)
    assert (answers.numbers, answers.samples, sorted(answers.result)) == (good, good, good)
    for number, line in zip(bad, answers.skipped, strict=True):
        assert f"{number}.npy: a worker process was ended by signal 11 (Segmentation fault" in line
        assert line.endswith("while decoding or running it, twice")
    assert calls == sorted(calls)
    assert calls[-1] == 12
    assert (again.samples, sorted(again.result)) == ([0, 1, 2], [0, 1, 2])


def test_a_sample_that_ends_one_worker_counts(make: MakeJob) -> None:
    with WorkerPool(2) as pool:
        answers = run_job(make(6, {1: (KILL,), 4: (SEGV,)}), pool)
    assert (answers.samples, sorted(answers.result), answers.skipped) == ([*range(6)], [*range(6)], [])


def test_a_worker_that_is_killed_again_may_be_short_of_memory(make: MakeJob) -> None:
    with WorkerPool(1) as pool:
        answers = run_job(make(3, {1: (KILL, KILL)}), pool)
    assert "1.npy: a worker process was ended by signal 9" in answers.skipped[0]
    assert "memory" in answers.skipped[0]


def test_with_strict_it_is_an_error(make: MakeJob) -> None:
    with WorkerPool(2) as pool, pytest.raises(InputError, match=r"1\.npy: .*signal 11.*twice \(without `strict"):
        run_job(make(3, {1: TWICE}), pool, strict=True)


def test_a_lone_sample_is_tried_twice(make: MakeJob) -> None:
    with WorkerPool(2) as pool, pytest.raises(InputError, match=r"none of the 1 samples .*0\.npy: .*twice"):
        run_job(make(1, {0: TWICE}), pool)


@pytest.mark.parametrize("count", [2, 30])
def test_where_every_sample_ends_a_worker_few_are_tried(make: MakeJob, tmp_path: Path, count: int) -> None:
    job = make(count, dict.fromkeys(range(count), TWICE))
    with WorkerPool(2) as pool, pytest.raises(InputError, match=r"\.npy: a worker .*signal 11.*other samples"):
        run_job(job, pool)
    assert len(list(tmp_path.glob("process-*"))) <= min(count, 10) + 1


@pytest.mark.parametrize("dies_at", ["start", "result"])
def test_a_worker_that_ends_over_no_sample_is_an_error(make: MakeJob, dies_at: str) -> None:
    with WorkerPool(2) as pool, pytest.raises(PyncnnqError, match=r"^a worker process was ended") as caught:
        run_job(make(5, {}, dies_at), pool)
    assert "signal 11" in str(caught.value)
    assert ".npy" not in str(caught.value)
