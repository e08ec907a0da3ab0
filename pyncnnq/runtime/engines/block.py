"""A block of samples: what travels to a worker, and what comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.inputs.synthetic import SyntheticImages
from pyncnnq.runtime.engines.machine import Machine
from pyncnnq.runtime.protocol import Job


@dataclass(frozen=True)
class SampleFile:
    """A file of a sample, or what stands for one.

    Attributes:
        path: as the user names it, which messages do too.
        absolute: the same wherever a worker runs.
        size: of the file in bytes; None for a synthetic image, and for a file that is not there.
    """

    path: Path
    absolute: Path
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Samples of a job.

    Attributes:
        job: the digest of the job.
        needs: the digests of what the worker must have.
        samples: for each sample its files.
        sent: the contents of files, by their path; None where workers read them themselves.
        client: the machine that asks.
        same_cpu: whether only a worker with a CPU of that kind may answer.
    """

    job: str
    needs: Sequence[str]
    samples: Sequence[Sequence[SampleFile]]
    sent: Mapping[Path, bytes] | None
    client: Machine
    same_cpu: bool


@dataclass(frozen=True, kw_only=True)
class Done:
    """A block that was worked on.

    Answers and result are pickled by us: what an engine makes of arrays on the way may be read-only, or not aligned.

    Attributes:
        answers: pickled, a list of the number in the block, and the answer; of several the last counts.
        result: pickled, of the job on the block; None if there is none, or it has stayed with the worker.
        has_result: whether there is one.
        printed: what ncnn printed since the block before.
        seconds: how long it took.
        worker: the machine.
    """

    answers: bytes
    result: bytes | None
    has_result: bool
    printed: Counter[str]
    seconds: float
    worker: Machine


@dataclass(frozen=True)
class Refused:
    """A block that cannot be worked on; the reason says what to do."""

    reason: str


@dataclass(frozen=True)
class Lacking:
    """A block whose worker has not got all contents that it needs."""


Outcome = Done | Refused | Lacking


def sample_files(job: Job, number: int) -> list[SampleFile]:
    """Return the files of a sample of a job."""
    files = []
    for (_, spec), path in zip(job.inputs, job.samples[number], strict=True):
        if isinstance(spec, SyntheticImages):
            files.append(SampleFile(path, path, None))
            continue
        file = ArrayPath.parse(path).file
        files.append(SampleFile(path, path.absolute(), file.stat().st_size if file.is_file() else None))
    return files
