"""One worker process: decode, run ncnn, observe blobs, measure their channels or shapes, or compare outputs.

Started as a program of its own and not by multiprocessing: it needs nothing of the caller's `__main__`, it is safe beside
threads and OpenMP, and what ncnn prints to the C stderr, or a crash inside it, stays away from the user's terminal and process.

Messages are pickles over the standard streams.  In: a `Job`, `RangesJob`, `ShapesJob`, `Comparison` or `Task`, then sample indices, then
None.  Out: one message for each index, then the result: the statistics of a Job, mostly nothing of the others.  Or in: a `Walk`, then what
a `Walker` answers, then None; out: one answer to each.  Then the next job, until the stream ends.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import BlobStatistics
from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs.loading import load_sample
from pyncnnq.metric import MetricError, agreement, load_metric
from pyncnnq.statistics.messages import (
    Compared,
    Comparison,
    Failed,
    Job,
    Measured,
    Misfit,
    Observed,
    RangesJob,
    Shaped,
    ShapesJob,
    Task,
    Unreadable,
    Walk,
    Work,
)
from pyncnnq.statistics.network import FailureError, Network, free_pools, shape_of
from pyncnnq.statistics.observed import ObservedBlob
from pyncnnq.statistics.ranges import ChannelSums, channel_sums
from pyncnnq.statistics.walker import Walker

Floats = NDArray[np.float64]


def _check_readers(blob: ObservedBlob, mat: Any) -> None:
    dims, w, h, d, c, elempack = mat.dims, mat.w, mat.h, mat.d, mat.c, mat.elempack
    if dims == 0 or mat.elemsize != 4 * elempack:
        raise FailureError(f"blob {blob.name} is empty or not float32")
    for reader in blob.readers:
        # ncnn itself checks no shape: a reader would compute garbage from whatever lies behind its input.
        if dims == 1:
            found = w * elempack
        elif dims == 2:
            # InnerProduct takes each row of a matrix as a vector, unless only the matrix as a whole is as long as it needs.
            found = w if w == reader.channels else w * h * elempack
        else:
            found = c * elempack * (w * h * d if reader.flattened else 1)
        if found != reader.channels:
            what = f"{w}x{h}x{d}x{c * elempack}" if dims >= 3 else f"{w * h * elempack}"
            raise FailureError(
                f"{reader.layer} takes {reader.channels} input channels, but finds {found} in its input ({what}); check --size"
            )


def _infinite(blob: ObservedBlob) -> FailureError:
    return FailureError(f"blob {blob.name} holds an infinity or a NaN; do the weights, --mean and --norm fit this model?")


def _observe(blob: ObservedBlob, mat: Any, statistics: BlobStatistics) -> None:
    _check_readers(blob, mat)
    dims, w, h, d, c, cstep, elempack = mat.dims, mat.w, mat.h, mat.d, mat.c, mat.cstep, mat.elempack
    if elempack > 1:
        # The binding gives no buffer of a packed Mat.  This Mat is ours, though it shares its memory: let it say plain floats.
        mat.elemsize, mat.elempack, mat.w, mat.cstep = 4, 1, w * elempack, cstep * elempack
    if not statistics.observe(mat, dims, w, h, d, c, cstep, elempack):
        raise _infinite(blob)


def _measure(blob: ObservedBlob, mat: Any) -> ChannelSums:
    _check_readers(blob, mat)
    with np.errstate(invalid="ignore"):
        sums = channel_sums(np.array(mat, np.float64))
    if not (np.isfinite(sums.min).all() and np.isfinite(sums.max).all()):
        raise _infinite(blob)
    return sums


def _read(stream: BinaryIO) -> Any:
    return pickle.load(stream)


def _write(stream: BinaryIO, message: object) -> None:
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


class _Observation:
    """The statistics of a Job, sample by sample."""

    def __init__(self, job: Job) -> None:
        self._network = Network(job.param, job.bin)
        self._blobs = {blob.name: blob for blob in job.blobs}
        self._found = {name: BlobStatistics() for name in self._blobs}

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Observed:
        for name, mat in self._network.blobs(inputs, list(self._blobs), packed=True):
            _observe(self._blobs[name], mat, self._found[name])
        return Observed()

    def result(self) -> dict[str, BlobStatistics]:
        return self._found


class _Measurement:
    """The channels of the blobs of a RangesJob, sample by sample."""

    def __init__(self, job: RangesJob) -> None:
        self._network = Network(job.param, job.bin)
        self._blobs = {blob.name: blob for blob in job.blobs}

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Measured:
        blobs = self._network.blobs(inputs, list(self._blobs), packed=False)
        return Measured(tuple(_measure(self._blobs[name], mat) for name, mat in blobs))

    def result(self) -> None:
        return None


class _Shaping:
    """The shapes of the blobs of a ShapesJob, sample by sample."""

    def __init__(self, job: ShapesJob) -> None:
        self._network = Network(job.param, job.bin)
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Shaped:
        blobs = self._network.blobs(inputs, self._blobs, packed=True)
        return Shaped(tuple(shape_of(mat) for _, mat in blobs))

    def result(self) -> None:
        return None


class _OutputComparison:
    """The outputs of several models, sample by sample."""

    def __init__(self, job: Comparison) -> None:
        self._networks = [Network(param, bin_path) for param, bin_path in job.models]
        self._outputs = list(job.outputs)
        self._metric = load_metric(job.metric) if job.metric is not None else None

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> Compared:
        reference, *others = [
            [np.array(mat, np.float64) for _, mat in network.blobs(inputs, self._outputs, packed=False)] for network in self._networks
        ]
        signal = tuple(float(np.square(output).sum()) for output in reference)
        noise = tuple(tuple(_squared_distance(a, b) for a, b in zip(reference, other, strict=True)) for other in others)
        return Compared(signal, noise, tuple(self._score(outputs, reference, paths) for outputs in (reference, *others)))

    def _score(self, outputs: Sequence[Floats], reference: Sequence[Floats], paths: Sequence[Path]) -> float:
        if self._metric is None:
            return agreement(outputs, reference)
        return self._metric({name: output.astype(np.float32) for name, output in zip(self._outputs, outputs, strict=True)}, paths)

    def result(self) -> None:
        return None


def _squared_distance(a: Floats, b: Floats) -> float:
    """Infinite where the shapes differ or a value is not finite."""
    with np.errstate(all="ignore"):
        distance = float(np.square(a - b).sum()) if a.shape == b.shape else math.inf
    return distance if math.isfinite(distance) else math.inf


def _work(job: Job | ShapesJob | Comparison | Task) -> Work:
    if isinstance(job, Comparison):
        return _OutputComparison(job)
    if isinstance(job, ShapesJob):
        return _Shaping(job)
    if isinstance(job, Job):
        return _Measurement(job) if isinstance(job, RangesJob) else _Observation(job)
    return job.start()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    job: Job | ShapesJob | Comparison | Task | Walk = _read(requests)
    if isinstance(job, Walk):
        _walk(job, requests, answers)
        return
    work = _work(job)
    while (index := _read(requests)) is not None:
        paths = job.samples[index]
        try:
            loaded = [(name, load_sample(path, spec)) for (name, spec), path in zip(job.inputs, paths, strict=True)]
        except UnreadableError as error:
            _write(answers, Unreadable(str(error)))
            continue
        except InputError as error:
            _write(answers, Misfit(str(error)))
            continue
        try:
            answer = work.take(loaded, paths)
        except (FailureError, MetricError) as failure:
            raise FailureError(f"{paths[0]}: {failure}") from None
        _write(answers, answer)
    _write(answers, work.result())


def _walk(job: Walk, requests: BinaryIO, answers: BinaryIO) -> None:
    walker = Walker(job)
    while (request := _read(requests)) is not None:
        _write(answers, walker.answer(request))


def main() -> None:
    """Serve jobs on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends us
    cv2.setNumThreads(1)
    gc.disable()  # blobs are freed by their reference counts; looking for cycles takes time and finds none
    requests = sys.stdin.buffer
    # Whatever a library prints to stdout must not get between our messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while True:
            _serve(requests, answers)
            free_pools()
    except FailureError as failure:
        _write(answers, Failed(str(failure)))
        while requests.read(2**16):  # the parent may be sending: a broken pipe would hide our words from it; it ends us
            pass
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    os._exit(0)  # without Python's own end, which would destroy the pools


if __name__ == "__main__":
    main()
