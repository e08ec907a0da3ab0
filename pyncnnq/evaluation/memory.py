"""How much memory models take: their weights in files, and the peak of a process that loads and runs one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyncnnq.model import ModelFiles
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job

_STATUS, _PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RUNS = 2
"""Inferences: the first may allocate what later ones keep."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that the float and the int8 model take.

    Attributes:
        weights: of the files of weights.
        peak: by which the resident memory of a process grows at most while it loads the model in ncnn and runs it
            twice, a process for each model: weights, what ncnn makes of them, blobs, and the code that is used for the
            first time; None where the system does not tell (Linux does).
    """

    weights: tuple[int, int]
    peak: tuple[int, int] | None


def memory_of(
    models: tuple[ModelFiles, ModelFiles],
    inputs: Sequence[tuple[str, Any]],
    sample: tuple[Path, ...],
    outputs: Sequence[str],
    threads: int,
) -> Memory:
    """Measure what two models take.

    Args:
        models: the files of the float and of the int8 model.
        inputs: for each model input its blob and how a file becomes its ncnn.Mat.
        sample: what they run on, a file for each input.
        outputs: the blobs that an inference computes.
        threads: of one inference.

    Raises:
        PyncnnqError: ncnn cannot run a model on this sample.
    """
    peaks = []
    for files in models:
        job = MemoryJob(inputs=inputs, samples=[sample], model=files, outputs=outputs, threads=threads)
        with WorkerPool(1) as pool:
            peaks.append(run_job(job, pool).samples[0])
    before, after = peaks
    weights = models[0].bin.stat().st_size, models[1].bin.stat().st_size
    return Memory(weights=weights, peak=None if before is None or after is None else (before, after))


@dataclass(frozen=True, kw_only=True)
class MemoryJob(Job):
    """Load and run a model; the answer to a sample is by how many bytes the process grew, None where nothing tells.

    Attributes:
        model, outputs, threads: see `memory_of`.
    """

    model: ModelFiles
    outputs: Sequence[str]
    threads: int

    def start(self) -> _Growing:
        return _Growing(self)


class _Growing:
    """The growth of this process."""

    def __init__(self, job: MemoryJob) -> None:
        self._job = job

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> int | None:
        from pyncnnq.runtime.network import DefaultNetwork  # which imports ncnn: in workers only

        before = _resident("VmRSS") if _forget_peak() else _resident("VmHWM")
        network = DefaultNetwork(*self._job.model, threads=self._job.threads)
        for _ in range(_RUNS):
            network.run(inputs, self._job.outputs)
        after = _resident("VmHWM")
        return None if before is None or after is None else max(after - before, 0)

    def result(self) -> None:
        return None


def _forget_peak() -> bool:
    """Set the peak of this process's memory to what it has now; return whether the system can."""
    try:
        _PEAK_RESET.write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """Return the bytes of a field of this process's status; None where there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)
