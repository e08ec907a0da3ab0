"""Letting worker processes do a job on every sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.protocol import Failed, Fatal, Job, Misfit, Unreadable


class NoneReadError(InputError):
    """No sample could be read.

    Attributes:
        reasons: for each sample why.
    """

    def __init__(self, count: int, reasons: list[str]) -> None:
        super().__init__(f"none of the {count} samples could be read; the first one: {reasons[0]}")
        self.reasons = reasons


@dataclass(kw_only=True)
class Answers:
    """The answers of workers to the samples that could be read, in the order of the samples, and their result.

    Attributes:
        numbers: which samples these are.
        samples: the answer to each.
        result: of the workers, merged by the job; it holds what these samples gave, each once.  None where a job has
            none.
        skipped: the samples that could not be read, each with the reason.
    """

    numbers: list[int]
    samples: list[Any]
    result: Any
    skipped: list[str]


def run_job(job: Job, pool: Engine, *, strict: bool = False, progress: Update | None = None) -> Answers:
    """Let workers do a job on each sample.

    Args:
        job: the job.
        pool: the workers.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no sample could be read; with `strict`, any could not; or an array does not fit.
        PyncnnqError: ncnn cannot run a model on these samples.
    """
    received = _Received(len(job.samples), strict)
    for index, answer in pool.run(job, len(job.samples)):
        if isinstance(answer, Failed):
            pool.end()  # only then is all known that ncnn printed
            raise PyncnnqError(answer.reason + "".join(f" (printed last: {line})" for line in list(pool.printed)[-1:]))
        if index is None:
            received.add(answer, job)
            continue
        if isinstance(answer, Fatal):
            answer = _unreadable(job.samples[index][0], answer)
        received.take(index, answer)
        if progress is not None:
            progress(len(received.done), len(job.samples))
    return received.in_order()


def _unreadable(path: Path, fatal: Fatal) -> Unreadable:
    """Return the answer to a sample over which workers ended; InputError if they did over too many."""
    reason = f"{path}: {fatal.end} while decoding or running it"
    if fatal.others:
        raise InputError(
            f"{reason}, and so it went with {fatal.others} other samples: ncnn cannot run the model on them, or memory "
            "is short"
        )
    return Unreadable(f"{reason}, twice")


@dataclass
class _Received:
    """The answers so far, in the order in which workers happen to give them."""

    count: int
    strict: bool
    answers: dict[int, Any] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    misfits: dict[int, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    result: Any = None

    def add(self, result: Any, job: Job) -> None:
        """Take the result of a worker."""
        self.result = result if self.result is None else job.merged(self.result, result)

    def take(self, index: int, answer: Any) -> None:
        """Take the answer to one sample, the last where there are several; InputError where the job cannot go on."""
        self.done.add(index)
        self.answers.pop(index, None)
        if isinstance(answer, Unreadable):
            if self.strict:
                raise InputError(f"{answer.reason} (without `strict=True` it would be skipped)")
            self.skipped[index] = answer.reason
        elif isinstance(answer, Misfit):
            self.misfits[index] = answer.reason
        else:
            self.answers[index] = answer
        # An earlier sample may still turn out not to fit, and is the one to name then.
        if self.misfits and self.done.issuperset(range(min(self.misfits))):
            raise InputError(self.misfits[min(self.misfits)])

    def in_order(self) -> Answers:
        """Return all answers in the order of the samples; InputError if there are none."""
        if not self.answers:
            raise NoneReadError(self.count, [self.skipped[index] for index in sorted(self.skipped)])
        numbers = sorted(self.answers)
        return Answers(
            numbers=numbers,
            samples=[self.answers[index] for index in numbers],
            result=self.result,
            skipped=[self.skipped[index] for index in sorted(self.skipped)],
        )
