"""Jobs on samples and conversations, in worker processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from blobs import fingerprint
from toy_jobs import Counting, Flooding, SumJob

from pyncnnq import load_model
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.inputs.data import find_data
from pyncnnq.optimization.collect import collect
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Failed
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observe import observe_samples
from pyncnnq.statistics.shapes import ShapesJob, blob_shapes

SUMS = [3.0, 6.0, 9.0, 12.0, 15.0]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes import the toy jobs."""
    paths = [str(Path(__file__).parent), os.environ["PYTHONPATH"]]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def job(tmp_path: Path) -> SumJob:
    paths = [tmp_path / f"{number}.npy" for number in range(len(SUMS))]
    for path, total in zip(paths, SUMS, strict=True):
        np.save(path, np.full((1, 1, 3), total / 3, np.float32))
    return SumJob(inputs=[("in0", ArraySpec((1, 1, 3)))], samples=[(path,) for path in paths])


def broken(job: SumJob, *numbers: int, array: bool = False) -> SumJob:
    """The job, with samples that cannot be read or, as arrays of another shape, do not fit."""
    for number in numbers:
        (path,) = job.samples[number]
        if array:
            np.save(path, np.zeros((number + 5, 2, 3), np.float32))
        else:
            path.write_bytes(b"no array")
    return job


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_the_order_of_the_samples(job: SumJob, workers: int) -> None:
    calls: list[tuple[int, int]] = []
    with WorkerPool(workers) as pool:
        answers = run_job(job, pool, progress=lambda done, total: calls.append((done, total)))
    assert answers.samples == SUMS
    assert answers.numbers == list(range(5))
    assert answers.result == 5
    assert answers.skipped == []
    assert calls == [(done, 5) for done in range(1, 6)]
    assert pool.printed == {"printed by the work": 5}


def test_samples_that_cannot_be_read_are_skipped(job: SumJob) -> None:
    with WorkerPool(2) as pool:
        answers = run_job(broken(job, 1, 3), pool)
    assert answers.numbers == [0, 2, 4]
    assert answers.samples == [SUMS[number] for number in answers.numbers]
    assert ["1.npy" in answers.skipped[0], "3.npy" in answers.skipped[1]] == [True, True]


def test_with_strict_they_are_errors(job: SumJob) -> None:
    with WorkerPool(1) as pool, pytest.raises(InputError, match=r"1\.npy.*strict"):
        run_job(broken(job, 1, 3), pool, strict=True)


def test_no_sample_that_can_be_read_is_an_error(job: SumJob) -> None:
    with WorkerPool(2) as pool, pytest.raises(InputError, match=r"none of the 5 samples.*0\.npy"):
        run_job(broken(job, *range(5)), pool)


def test_of_samples_that_do_not_fit_the_first_is_named(job: SumJob) -> None:
    with WorkerPool(3) as pool, pytest.raises(InputError, match=r"2\.npy"):
        run_job(broken(job, 2, 3, 4, array=True), pool)


def test_a_failure_names_the_sample(job: SumJob) -> None:
    job = SumJob(inputs=job.inputs, samples=job.samples, most=10)
    with WorkerPool(1) as pool, pytest.raises(PyncnnqError, match=r"3\.npy: in0 sums up to 12.0 \(printed last"):
        run_job(job, pool)


def test_workers_remember_what_a_conversation_tells_them() -> None:
    with WorkerPool(2) as pool:
        pool.tell([Counting(10), Counting(20)])
        assert pool.ask(1) == [11, 21]
        assert pool.ask(5) == [16, 26]


def test_a_worker_that_ends_is_told() -> None:
    with WorkerPool(1) as pool:
        pool.tell([Counting(0)])
        with pytest.raises(PyncnnqError, match="ended with status 3"):
            pool.ask(-1)


def test_fewer_workers_than_one_are_refused() -> None:
    with pytest.raises(PyncnnqError, match="expected at least 1, not 0"):
        WorkerPool(0)


def test_workers_do_one_job_after_the_other(shared: Path) -> None:
    """What a job leaves in a worker must not change the next one."""
    split_model = load_model(shared / "golden/split/model.param", shared / "golden/split/model.bin")
    data = find_data(split_model, [shared / "golden/split/inputs"])
    expected = collect(split_model, shared / "golden/split/inputs").blobs
    with WorkerPool(2) as pool:
        for _ in range(2):
            found = observe_samples(split_model, data.samples, data.inputs, pool)
            shapes = blob_shapes(split_model, data.samples, data.inputs, ["in0"], pool)
            assert {name: fingerprint(blob) for name, blob in found.blobs.items()} == {
                name: fingerprint(blob) for name, blob in expected.items()
            }
            assert shapes == [{"in0": np.load(path).shape} for (path,) in data.samples]


def test_a_worker_that_failed_can_still_be_written_to(tmp_path: Path) -> None:
    """Else its words are lost whenever the next message to it is on its way: that one finds a broken pipe."""
    param, bin_path = tmp_path / "model.param", tmp_path / "model.bin"
    param.write_text("7767517\n2 2\nInput in0 0 1 in0\nMyLayer mine 1 1 in0 out0\n")
    bin_path.touch()
    with WorkerPool(1) as pool:
        pool.tell([ShapesJob(inputs=[], samples=[], model=(param, bin_path), blobs=["out0"])])
        time.sleep(2)  # by then it has failed
        [answer] = pool.ask(0)
    assert isinstance(answer, Failed)
    assert "ncnn cannot load" in answer.reason


def test_an_answer_that_cannot_be_read_ends_the_worker() -> None:
    """It would wait for ever for someone to take the rest."""
    with WorkerPool(1) as pool:
        pool.tell([Flooding()])
        with pytest.raises(PyncnnqError, match="sent what cannot be read"):
            pool.ask(0)
