"""A real Dask cluster on this machine: a scheduler, and workers that are processes and may end."""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE
from small_models import convolution, model_of

import pyncnnq
from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.engines.machine import Machine, this_machine
from pyncnnq.runtime.progress import Progress, Update
from pyncnnq.statistics.stats_file import encode_statistics

Cli = Callable[..., CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module", autouse=True)
def _dask() -> None:
    if importlib.util.find_spec("distributed") is None:
        message = "Dask is not installed: pip install distributed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def address(_dask: None) -> Iterator[str]:
    """HOST:PORT of a scheduler, which takes a worker for dead when it has not heard of it for five seconds, the least
    that it can."""
    import dask
    import distributed

    with dask.config.set({"distributed.scheduler.worker-ttl": "1s"}):
        cluster = distributed.LocalCluster(n_workers=0, host="127.0.0.1", protocol="tcp", dashboard_address=":0")
    yield cluster.scheduler_address.removeprefix("tcp://")
    cluster.close()


@pytest.fixture(scope="module")
def start(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a worker; environment variables are given by keyword."""
    started = []

    def start(**environment: str) -> subprocess.Popen[bytes]:
        folder = tmp_path_factory.mktemp("worker")
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads=1", "--no-nanny"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--no-dashboard", "--local-directory", str(folder)],
                stderr=log,
                cwd=folder,
                env=os.environ | environment,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def steady(start: Start) -> subprocess.Popen[bytes]:
    """A worker that stays."""
    return start()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A model, 60 samples for it, and the statistics that the pool collects of them."""
    folder = tmp_path_factory.mktemp("work")
    made = model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4, kernel=3))
    made.save(folder / "net.param", folder / "net.bin")
    np.save(folder / "data.npy", np.random.default_rng(2).uniform(-1, 1, (60, 3, 12, 12)).astype(np.float32))
    model = pyncnnq.load_model(folder / "net.param", folder / "net.bin")
    expected = encode_statistics(pyncnnq.collect(model, folder / "data.npy", workers=1))
    return SimpleNamespace(folder=folder, model=model, data=folder / "data.npy", expected=expected)


@contextmanager
def engine_with(address: str, workers: int, **options: Any) -> Iterator[Any]:
    """An engine that has so many workers."""
    with pyncnnq.start_engine(f"dask://{address}", **options) as engine:
        end = time.monotonic() + 30 * PATIENCE
        while engine.size != workers:
            assert time.monotonic() < end, engine.told
            time.sleep(0.1)
        yield engine


def when(done: int, act: Callable[[], object]) -> Progress:
    """A Progress that acts once, when so many samples are done."""
    acted: list[int] = []

    def update(count: int, _total: int) -> None:
        if count >= done and not acted:
            acted.append(count)
            act()

    @contextmanager
    def progress(_what: str) -> Iterator[Update]:
        yield update
        assert acted

    return progress


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_worker_had_goes_to_another(
    address: str, start: Start, steady: subprocess.Popen[bytes], work: SimpleNamespace, fault: signal.Signals
) -> None:
    """Blocks and results of one that ends, and of one that hangs; what is left is one worker."""
    assert steady.poll() is None
    victim = start()
    with engine_with(address, 2) as engine:
        progress = when(30, lambda: victim.send_signal(fault))
        found = pyncnnq.collect(work.model, work.data, engine=engine, progress=progress)
        assert encode_statistics(found) == work.expected
        again = pyncnnq.collect(work.model, work.data, engine=engine)
    assert encode_statistics(again) == work.expected
    victim.kill()
    victim.wait()


def test_images_are_sent_to_workers_that_run_elsewhere(
    address: str, steady: subprocess.Popen[bytes], work: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All work of the best recipe is the same, rounding too; the worker's working directory is another one."""
    monkeypatch.chdir(work.folder)
    assert steady.poll() is None
    with engine_with(address, 1, send_images=True, reproducible=True) as engine:
        found = pyncnnq.quantize(work.model, "data.npy", engine=engine, samples=24)
    expected = pyncnnq.quantize(work.model, "data.npy", workers=1, samples=24)
    names = ("a.param", "a.bin")
    assert found.int8.contents(*map(Path, names)) == expected.int8.contents(*map(Path, names))


@pytest.mark.usefixtures("steady")
def test_a_worker_of_another_version_is_told(
    address: str, work: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = this_machine()
    newer = Machine(here.host, here.cpu, tuple((dict(here.versions) | {"pyncnnq": "99.0"}).items()))
    monkeypatch.setattr("pyncnnq.runtime.engines.remote_engine.this_machine", lambda: newer)
    with engine_with(address, 1) as engine, pytest.raises(PyncnnqError, match=r"other versions: pyncnnq .*, not 99\.0"):
        pyncnnq.collect(work.model, work.data, engine=engine)


@pytest.mark.usefixtures("steady")
def test_reproducible_takes_one_kind_of_cpu(
    address: str, start: Start, work: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's; without it, a warning says which kinds there were."""
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags: avx vax avx2\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, pyncnnq.runtime.engines.machine as machine\n"
        f"machine._CPUINFO = pathlib.Path({str(tmp_path / 'cpuinfo')!r})\n"
    )
    other = start(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    machine = platform.machine()
    with engine_with(address, 2) as engine:
        pyncnnq.collect(work.model, work.data, engine=engine)
        assert f"samples on {machine} avx avx2; " in engine.warnings[0]
        assert "ncnn ran on 2 kinds of CPU" in engine.warnings[0]
    with pyncnnq.start_engine(f"dask://{address}", reproducible=True) as engine:
        pyncnnq.collect(work.model, work.data, engine=engine)
        assert engine.size == 1
        assert engine.warnings == []
    monkeypatch.setattr("pyncnnq.runtime.engines.machine._cpu", lambda: "vax")
    this_machine.cache_clear()
    monkeypatch.setattr("pyncnnq.runtime.engines.dask._NO_WORKERS", 0.2)
    with (
        pyncnnq.start_engine(f"dask://{address}", reproducible=True) as engine,
        pytest.raises(
            PyncnnqError, match=rf"none of 2 workers has .*kind \(vax\), found {machine} avx avx2, {machine} "
        ),
    ):
        pyncnnq.collect(work.model, work.data, engine=engine)
    this_machine.cache_clear()
    other.kill()
    other.wait()


def test_the_command_line_runs_a_cluster_of_its_own(cli: Cli, work: SimpleNamespace) -> None:
    files = (work.folder / "net.param", work.folder / "net.bin")
    target = work.folder / "own.stats"
    done = cli("collect", *files, work.data, "-o", target, "--engine", "dask", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == work.expected
    assert "2 workers of inproc://" in done.stderr
    assert "dashboard http://" in done.stderr
    assert "60/60, " in done.stderr
    assert " by 2 workers, 0 s left" in done.stderr


def test_a_scheduler_that_ends_is_an_error(work: SimpleNamespace) -> None:
    """And the run goes on elsewhere from what was kept."""
    import distributed

    kept = work.folder / "kept"
    cluster = distributed.LocalCluster(
        n_workers=1, processes=False, threads_per_worker=1, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
    )
    given = f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"
    with pytest.raises(PyncnnqError, match=r"the Dask scheduler at .* is gone; with `resume=`"):
        pyncnnq.collect(work.model, work.data, engine=given, resume=kept, progress=when(20, cluster.close))
    assert list(kept.iterdir())
    assert encode_statistics(pyncnnq.collect(work.model, work.data, workers=1, resume=kept)) == work.expected


def test_a_scheduler_that_does_not_answer_is_an_error(work: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyncnnq.runtime.engines.dask._CONNECT", 0.5)
    with pytest.raises(PyncnnqError, match=r"engine: no Dask scheduler answers at 127\.0\.0\.1:1: "):
        pyncnnq.collect(work.model, work.data, engine="dask://127.0.0.1:1")


def test_a_scheduler_without_workers_is_an_error(work: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr("pyncnnq.runtime.engines.dask._NO_WORKERS", 0.2)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(PyncnnqError, match="has no workers"),
    ):
        pyncnnq.collect(work.model, work.data, engine=client)
