"""Engines: what they take, and that they give what processes of this machine give."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from outside_package import install
from small_models import convolution, model_of
from toy_jobs import DyingJob, SumJob

import pyncnnq
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.runtime.engines import remote
from pyncnnq.runtime.engines.machine import Machine, this_machine
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.stats_file import encode_statistics

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let worker processes import the toy jobs; none of them outlives its test."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]]))
    yield
    remote.end_idle()


@pytest.fixture
def samples(tmp_path: Path) -> list[tuple[Path, ...]]:
    """Files of 30 samples, that hold 0, 1, 2, ..."""
    paths = [tmp_path / f"{number}.npy" for number in range(30)]
    for number, path in enumerate(paths):
        np.save(path, np.full(3, number, np.float32))
    return [(path,) for path in paths]


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model in `net.param` and `net.bin` and 21 samples in `data`, one of which cannot be read; it is
    the working directory."""
    monkeypatch.chdir(tmp_path)
    model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4, kernel=3)).save("net.param", "net.bin")
    Path("data").mkdir()
    stack = np.random.default_rng(2).uniform(-1, 1, (10, 3, 12, 12)).astype(np.float32)
    np.save("data/stack.npy", stack)
    for number in range(10):
        np.save(f"data/{number}.npy", stack[number] * 2)
    Path("data/bad.npy").write_bytes(b"no array")
    return tmp_path


@pytest.mark.usefixtures("place")
def test_an_executor_gives_the_bytes_of_the_pool(threads: Executor) -> None:
    """So do processes that are forked while this one has processes of its own; relative paths stay in messages."""
    model = pyncnnq.load_model("net.param", "net.bin")
    expected = pyncnnq.collect(model, "data", workers=1)
    found = pyncnnq.collect(model, "data", engine=threads)
    with ProcessPoolExecutor(1) as executor:
        forked = pyncnnq.calibrate(model, "data", engine=executor)
    assert encode_statistics(found) == encode_statistics(expected)
    assert found.samples == 20
    assert found.skipped == expected.skipped
    assert found.skipped[0].startswith("data/bad.npy: ")
    assert forked.table.text() == pyncnnq.calibrate(model, expected).table.text()


@pytest.mark.usefixtures("place")
def test_images_are_sent(threads: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """To workers that find nothing at the user's paths."""
    model = pyncnnq.load_model("net.param", "net.bin")
    expected = encode_statistics(pyncnnq.collect(model, "data", workers=1))
    monkeypatch.setattr(remote, "_sees", lambda _file: False)
    with pyncnnq.start_engine(threads, send_images=True) as engine:
        found = pyncnnq.collect(model, "data", engine=engine)
    assert encode_statistics(found) == expected
    assert found.skipped[0].startswith("data/bad.npy: ")


def test_contents_travel_once(tmp_path: Path) -> None:
    """And again when they are others, though the file has the same name."""
    sent: list[int] = []

    class Recorded(ThreadPoolExecutor):
        def submit(self, function, block, contents):  # type: ignore[no-untyped-def]
            sent.append(sum(map(len, contents.values())))
            return super().submit(function, block, contents)

    param, weights = tmp_path / "net.param", tmp_path / "net.bin"
    for seed in (1, 2):
        model_of(convolution(np.random.default_rng(seed), "conv", "in0", 3, 4, kernel=3)).save(param, weights)
        size = weights.stat().st_size
        data = np.random.default_rng(0).uniform(-1, 1, (3, 12, 12)).astype(np.float32)
        np.save(tmp_path / "data.npy", data)
        model = pyncnnq.load_model(param, weights)
        with Recorded(1) as executor:
            found = [
                encode_statistics(pyncnnq.collect(model, tmp_path / "data.npy", engine=executor)) for _ in range(2)
            ]
        assert found == [encode_statistics(pyncnnq.collect(model, tmp_path / "data.npy", workers=1))] * 2
        assert sum(total >= size for total in sent) == 1
        sent.clear()


def test_a_sample_that_ends_processes_is_skipped_by_name(
    threads: Executor, samples: list[tuple[Path, ...]], tmp_path: Path
) -> None:
    """As the pool does it: its worker goes on."""
    job = DyingJob(inputs=[("in0", ArraySpec())], samples=samples, deaths={11.0: (11, 11)}, notes=tmp_path)
    with pyncnnq.start_engine(threads) as engine:
        answers = run_job(job, engine)
    good = [float(number) for number in range(30) if number != 11]
    assert (answers.samples, sorted(answers.result)) == (good, good)
    assert str(samples[11][0]) in answers.skipped[0]
    assert answers.skipped[0].endswith("twice")


def test_errors_name_files_as_the_user_does(
    threads: Executor, samples: list[tuple[Path, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    job = SumJob(inputs=[("in0", ArraySpec())], samples=[(Path(path.name),) for (path,) in samples], most=10)
    with pyncnnq.start_engine(threads) as engine, pytest.raises(PyncnnqError, match=r"^\d+\.npy: in0 sums up to \d+"):
        run_job(job, engine)
    job = SumJob(inputs=[("in0", ArraySpec((3,)))], samples=job.samples)
    np.save("3.npy", np.zeros((5, 2, 3), np.float32))
    with pyncnnq.start_engine(threads) as engine, pytest.raises(InputError, match=r"^3\.npy"):
        run_job(job, engine)


@pytest.mark.parametrize(
    ("versions", "cpu", "message"),
    [
        ({"ncnn": "1.0.20990101"}, None, r"other versions: ncnn [\d.]+, not 1\.0\.20990101; install the same"),
        ({"Python": "9.9"}, None, r"other versions: Python 3\.\d+, not 9\.9"),
        ({}, "vax", r"another kind of CPU \(.+\) than this machine \(vax\).*`reproducible=True`"),
    ],
)
def test_other_machines_are_refused(
    threads: Executor,
    samples: list[tuple[Path, ...]],
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str],
    cpu: str | None,
    message: str,
) -> None:
    here = this_machine()
    other = Machine(here.host, cpu or here.cpu, tuple((dict(here.versions) | versions).items()))
    monkeypatch.setattr("pyncnnq.runtime.engines.remote_engine.this_machine", lambda: other)
    job = SumJob(inputs=[("in0", ArraySpec())], samples=samples)
    with (
        pyncnnq.start_engine(threads, reproducible=True) as engine,
        pytest.raises(PyncnnqError, match=f"worker on {here.host} has {message}"),
    ):
        run_job(job, engine)


@pytest.mark.parametrize("content", [None, b"of another file"])
def test_files_that_a_worker_does_not_see_are_an_error(samples: list[tuple[Path, ...]], content: bytes | None) -> None:
    """They are not skipped: other workers may see them.  A file of another size is another file."""

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, *arguments):  # type: ignore[no-untyped-def]
            samples[3][0].unlink(missing_ok=True)
            if content is not None:
                samples[3][0].write_bytes(content)
            return super().submit(*arguments)

    job = SumJob(inputs=[("in0", ArraySpec())], samples=samples)
    with (
        Elsewhere(1) as executor,
        pyncnnq.start_engine(executor) as engine,
        pytest.raises(PyncnnqError, match=r"3\.npy: worker .*cannot see.*`send_images=True`"),
    ):
        run_job(job, engine)


def test_what_is_no_engine_is_refused(threads: Executor) -> None:
    with pytest.raises(PyncnnqError, match="engine: unknown engine 'slurm'; there are: processes, dask, executor"):
        pyncnnq.start_engine("slurm://there")
    with pytest.raises(PyncnnqError, match="engine: list is no engine"):
        pyncnnq.start_engine([])
    with pytest.raises(PyncnnqError, match="send_images: is for workers of other machines"):
        pyncnnq.start_engine(send_images=True)
    threads.shutdown()
    job = SumJob(inputs=[], samples=[()])
    with pyncnnq.start_engine(threads) as engine, pytest.raises(PyncnnqError, match=r"takes no work: .*shutdown"):
        run_job(job, engine)


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "pyncnnq.runtime.engines.dask", raising=False)
    with pytest.raises(PyncnnqError, match=r"engine: Dask is not there .*pip install 'pyncnnq\[dask\]'"):
        pyncnnq.start_engine("dask")


ENGINE = """
from pyncnnq.runtime.engines.choice import EngineKind
from pyncnnq.runtime.pool import WorkerPool

def start(request):
    print("started for", request.given)
    return WorkerPool(1)

OUTSIDE = EngineKind(help="one process", start=start)
"""


def test_an_engine_of_another_package(cli: Cli, place: Path) -> None:
    environment = install(place / "site", "outside", ENGINE, {"pyncnnq.engines": {"lonely": "outside:OUTSIDE"}})
    done = cli("collect", "net.param", "net.bin", "data", "--engine", "lonely://there", cwd=place, **environment)
    assert done.returncode == 0, done.stderr
    assert "started for there\n" in done.stdout
    assert "lonely: one process\n" in cli("collect", "--help", **environment).stdout
