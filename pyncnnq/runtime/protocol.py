"""The messages between this process and its workers: jobs, samples and answers, whatever a job computes.

`pyncnnq/runtime/worker.py` states their order on the streams.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # not here, for the pool that starts before all else
    from pyncnnq.inputs.resolve import InputSpec


class FailureError(Exception):
    """A job cannot go on; the text says why."""


class Work(Protocol):
    """The work of one worker on the samples of a job."""

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> object:
        """Return the answer to one sample.

        Args:
            inputs: for each model input its blob and the ncnn.Mat of this sample.
            paths: the files that these were loaded from.

        Raises:
            InputError: the sample does not fit the model.
            FailureError: the job cannot go on.
        """

    def result(self) -> object:
        """Return the worker's answer to the whole job, after its last sample."""


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """Work on samples, shared out among workers, which unpickle the job and so must be able to import its subclass.

    Attributes:
        inputs: for each model input its blob and how a file becomes its ncnn.Mat.
        samples: for each sample one path for each model input.
    """

    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]

    @abstractmethod
    def start(self) -> Work:
        """Return the work, in a worker.  Only here may ncnn be imported, not at the top of the subclass's module.

        Raises:
            FailureError: ncnn cannot load a model.
        """

    @staticmethod
    def merged(first: Any, _second: Any) -> Any:
        """Return the result of two workers together: by default the first, for jobs that have none.

        The same for any order of workers; the first may be changed.
        """
        return first


class Listener(Protocol):
    """A worker's side of a conversation."""

    def answer(self, request: Any) -> object:
        """Return the answer to a request.

        Raises:
            InputError: a sample does not fit the model.
            FailureError: the conversation cannot go on.
        """


class Conversation(ABC):
    """Requests to workers that keep state from one request to the next; every worker answers every request."""

    @abstractmethod
    def start(self) -> Listener:
        """Return the listener, in a worker.

        Raises:
            FailureError: ncnn cannot load a model.
        """


@dataclass(frozen=True)
class Started:
    """A worker's first answer to a job: the work can take samples; if it ends now, that is the sample's doing."""


@dataclass(frozen=True)
class Unreadable:
    """The answer to a sample that cannot be read."""

    reason: str


@dataclass(frozen=True)
class Fatal:
    """The pool's answer to a sample over which workers ended.

    Attributes:
        end: how the last of them ended, in words.
        others: over how many other samples workers ended too, if these are so many that the job cannot go on; else 0,
            and it was tried twice.
    """

    end: str
    others: int = 0


@dataclass(frozen=True)
class Misfit:
    """The answer to a sample that does not fit the model: the job cannot go on."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The answer to anything when the job cannot go on."""

    reason: str
