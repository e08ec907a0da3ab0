"""Driving worker processes over the calibration data."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, cast

from pyncnnq._core import BlobStatistics
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.inputs import InputSpec
from pyncnnq.model import Model
from pyncnnq.quantizable import require_float
from pyncnnq.statistics.messages import Failed, Job, Unreadable
from pyncnnq.statistics.observed import observed_blobs


# Samples handed to a worker ahead of its answers, so that it never waits for the parent.
_AHEAD = 2


@dataclass
class Statistics:
    """What was learnt of a model's blobs.

    Attributes:
        blobs: for each observed blob, by name, its statistics; siblings behind a Split are found under the blob that the Split copies.
        samples: how many samples went through the network.
        skipped: the samples that could not be read, each with the reason, in the order of the data.
        printed: the lines that ncnn printed while running, and how often each.
    """

    blobs: dict[str, BlobStatistics] = field(default_factory=dict)
    samples: int = 0
    skipped: list[str] = field(default_factory=list)
    printed: Counter[str] = field(default_factory=Counter)


class _Worker:
    """One worker process, and a thread that feeds it samples and waits for its answers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "pyncnnq.statistics.worker"]
        # -m finds the package where this process found it, wherever the user is.
        paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # One process for each core, one thread in each: NumPy and OpenMP must not start more.
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self.printed: Counter[str] = Counter()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in cast(IO[bytes], self._process.stderr):
            if text := line.decode(errors="replace").strip():
                self.printed[text] += 1

    def run(self, job: object, next_sample: Callable[[], int | None], events: SimpleQueue[object]) -> None:
        """Feed the worker until no sample is left; every answer becomes an event (index, message), the last one the statistics."""
        try:
            self._send(job)
            waiting: list[int] = []
            exhausted = False
            while True:
                while not exhausted and len(waiting) < _AHEAD:
                    index = next_sample()
                    exhausted = index is None
                    self._send(index)
                    if index is not None:
                        waiting.append(index)
                answer = pickle.load(cast(IO[bytes], self._process.stdout))
                events.put((waiting.pop(0) if waiting else None, answer))
                if isinstance(answer, dict):
                    return
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):  # ValueError: `stop` has closed the streams
            self._process.wait()
            self._listener.join()
            events.put(_Died(self._process.returncode, list(self.printed)[-1:]))

    def _send(self, message: object) -> None:
        stream = cast(IO[bytes], self._process.stdin)
        pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
        stream.flush()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # a message half sent when the process ended
                cast(IO[bytes], stream).close()


@dataclass(frozen=True)
class _Died:
    """A worker ended without its statistics."""

    status: int
    last_words: list[str]


def observe_samples(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    *,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Run the model over all samples in stock ncnn, each sample read once, and observe the blobs that feed quantizable layers.

    The result is the same to the bit for any order of the samples and any number of workers.

    Args:
        model: the float model, as read from its files.
        samples: for each sample one file for each model input.
        inputs: for each model input how a file becomes its blob (see `pyncnnq.inputs.resolve`).
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        ModelError: the model is int8 already.
        InputError: no sample could be read; with `strict`, any could not.
        PyncnnqError: ncnn cannot run the model on these samples, or a blob holds an infinity or a NaN.
    """
    require_float(model)
    if model.param_path is None or model.bin_path is None:
        raise ModelError("ncnn runs models from files: save this one, then load it from there")
    count = max(1, min(workers or available_cores(), len(samples)))
    blobs = observed_blobs(model)
    job = Job(model.param_path, model.bin_path, list(zip(model.inputs, inputs, strict=True)), list(samples), blobs)
    numbers = iter(range(len(samples)))
    lock = threading.Lock()

    def next_sample() -> int | None:
        with lock:
            return next(numbers, None)

    statistics = Statistics()
    skipped: dict[int, str] = {}
    parts: list[dict[str, BlobStatistics]] = []
    events: SimpleQueue[Any] = SimpleQueue()
    processes: list[_Worker] = []
    try:
        processes = [_Worker() for _ in range(count)]
        for worker in processes:
            threading.Thread(target=worker.run, args=(job, next_sample, events), daemon=True).start()
        done = 0
        while len(parts) < count:
            event = events.get()
            if isinstance(event, _Died):
                words = f": {event.last_words[0]}" if event.last_words else ""
                raise PyncnnqError(f"{model.param_path}: a worker process {_end(event.status)} while running the model{words}")
            index, answer = event
            if isinstance(answer, Failed):
                raise PyncnnqError(answer.reason + _said(processes))
            if isinstance(answer, dict):
                parts.append(answer)
                continue
            done += 1
            if isinstance(answer, Unreadable):
                if strict:
                    raise InputError(f"{answer.reason} (without --strict it would be skipped)")
                skipped[index] = answer.reason
            if progress is not None:
                progress(done, len(samples))
    finally:
        for worker in processes:
            worker.stop()
            statistics.printed += worker.printed
    statistics.skipped = [skipped[index] for index in sorted(skipped)]
    statistics.samples = len(samples) - len(skipped)
    if statistics.samples == 0:
        raise InputError(f"none of the {len(samples)} samples could be read; the first one: {statistics.skipped[0]}")
    for blob in blobs:
        merged = statistics.blobs[blob.name] = parts[0][blob.name]
        for part in parts[1:]:
            merged.merge(part[blob.name])
    return statistics


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    hint = "; is memory short? try fewer --workers" if -status == signal.SIGKILL else ""
    return f"was ended by signal {-status} ({signal.strsignal(-status)}{hint})"


def _said(processes: Sequence[_Worker]) -> str:
    lines = [line for worker in processes for line in worker.printed]
    return f" (ncnn says: {lines[-1]})" if lines else ""


def available_cores() -> int:
    """The number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        return os.cpu_count() or 1
