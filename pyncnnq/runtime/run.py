"""Letting worker processes do a job on every sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Failed, Job, Misfit, Unreadable


@dataclass
class Answers:
    """What workers found: of each sample that could be read, in their order, and as their results.

    Attributes:
        numbers: which samples these are.
        samples: what was answered to them.
        results: the results of the workers.
        skipped: the samples that could not be read, each with the reason.
    """

    numbers: list[int]
    samples: list[Any]
    results: list[Any]
    skipped: list[str]


def run_job(
    job: Job,
    pool: WorkerPool,
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Let workers do a job on each sample.

    Raises:
        InputError: no sample could be read; with `strict`, any could not; or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples.
    """
    samples = job.samples
    found: dict[int, Any] = {}
    skipped: dict[int, str] = {}
    results: list[Any] = []
    misfits: dict[int, str] = {}
    done: set[int] = set()
    for index, answer in pool.run(job, len(samples)):
        if isinstance(answer, Failed):
            pool.end()  # only then is all known that ncnn printed
            raise PyncnnqError(answer.reason + "".join(f" (printed last: {line})" for line in list(pool.printed)[-1:]))
        if index is None:
            results.append(answer)
            continue
        done.add(index)
        if isinstance(answer, Unreadable):
            if strict:
                raise InputError(f"{answer.reason} (without --strict it would be skipped)")
            skipped[index] = answer.reason
        elif isinstance(answer, Misfit):
            misfits[index] = answer.reason
        else:
            found[index] = answer
        if misfits and done.issuperset(
            range(min(misfits))
        ):  # else an earlier one may still be found, and is the one to name
            raise InputError(misfits[min(misfits)])
        if progress is not None:
            progress(len(done), len(samples))
    if not found:
        raise InputError(f"none of the {len(samples)} samples could be read; the first one: {skipped[min(skipped)]}")
    numbers = sorted(found)
    return Answers(numbers, [found[index] for index in numbers], results, [skipped[index] for index in sorted(skipped)])
