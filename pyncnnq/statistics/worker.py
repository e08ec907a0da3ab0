"""One worker process of a collection: decode, run ncnn, observe blobs.

Started by `collect` as a program of its own and not by multiprocessing: it needs nothing of the caller's `__main__`, it is safe beside
threads and OpenMP, and what ncnn prints to the C stderr, or a crash inside it, stays away from the user's terminal and process.

Messages are pickles over the standard streams.  In: a `Job`, then sample indices, then None.  Out: one message for each index, then the
statistics.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import cv2
import ncnn

from pyncnnq._core import BlobStatistics
from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs.loading import load_sample
from pyncnnq.model.text import encode
from pyncnnq.statistics.messages import Failed, Job, Misfit, Observed, Unreadable
from pyncnnq.statistics.observed import ObservedBlob

# Pools spare a page fault for each page of each blob of each image.  They crash the process if a Mat or the network outlives them,
# and Python destroys objects in an order of its own: so they are never destroyed (see the end of `main`).
_POOLS = (ncnn.UnlockedPoolAllocator(), ncnn.UnlockedPoolAllocator())


class _FailureError(Exception):
    """The collection cannot go on; the text says why."""


class _Network:
    """The model in stock ncnn, on one thread: two processes of one thread each are faster than one of two."""

    def __init__(self, job: Job) -> None:
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = 1
        # On ARM half precision would be in what is measured.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        options.blob_allocator, options.workspace_allocator = _POOLS
        # As bytes, for a name need not be UTF-8; the same for blobs.
        if self._net.load_param(os.fsencode(job.param)) != 0:
            raise _FailureError(f"{job.param}: ncnn cannot load this model")
        if self._net.load_model(os.fsencode(job.bin)) != 0:
            raise _FailureError(f"{job.bin}: ncnn cannot load the weights of {job.param}")
        self._wanted = job.blobs

    def blobs(self, inputs: Sequence[tuple[str, Any]]) -> Iterator[tuple[ObservedBlob, Any]]:
        """Run the network on one sample and yield the wanted blobs as they are computed, packed as ncnn holds them."""
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            if extractor.input(encode(name), mat) != 0:
                raise _FailureError(f"ncnn does not take this input as blob {name}")
        for blob in self._wanted:
            mat = ncnn.Mat()
            if extractor.extract(encode(blob.name), mat, 1) != 0:  # 1: as it is, neither copied nor unpacked
                raise _FailureError(f"ncnn cannot compute blob {blob.name}; is the input of the shape that the model expects?")
            yield blob, mat
            del mat  # while we hold it, a layer that works in place would have to copy it


def _observe(blob: ObservedBlob, mat: Any, statistics: BlobStatistics) -> None:
    dims, w, h, d, c, cstep, elempack = mat.dims, mat.w, mat.h, mat.d, mat.c, mat.cstep, mat.elempack
    if dims == 0 or mat.elemsize != 4 * elempack:
        raise _FailureError(f"blob {blob.name} is empty or not float32")
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
            raise _FailureError(
                f"{reader.layer} takes {reader.channels} input channels, but finds {found} in its input ({what}); check --size"
            )
    if elempack > 1:
        # The binding gives no buffer of a packed Mat.  This Mat is ours, though it shares its memory: let it say plain floats.
        mat.elemsize, mat.elempack, mat.w, mat.cstep = 4, 1, w * elempack, cstep * elempack
    if not statistics.observe(mat, dims, w, h, d, c, cstep, elempack):
        raise _FailureError(f"blob {blob.name} holds an infinity or a NaN; do the weights, --mean and --norm fit this model?")


def _read(stream: BinaryIO) -> Any:
    return pickle.load(stream)


def _write(stream: BinaryIO, message: object) -> None:
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    job: Job = _read(requests)
    network = _Network(job)
    statistics = {blob.name: BlobStatistics() for blob in job.blobs}
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
            for blob, mat in network.blobs(loaded):
                _observe(blob, mat, statistics[blob.name])
        except _FailureError as failure:
            raise _FailureError(f"{paths[0]}: {failure}") from None
        _write(answers, Observed())
    _write(answers, statistics)


def main() -> None:
    """Serve one collection on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends us
    cv2.setNumThreads(1)
    gc.disable()  # blobs are freed by their reference counts; looking for cycles takes time and finds none
    requests = sys.stdin.buffer
    # Whatever a library prints to stdout must not get between our messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _serve(requests, answers)
    except _FailureError as failure:
        _write(answers, Failed(str(failure)))
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    os._exit(0)  # without Python's own end, which would destroy the pools


if __name__ == "__main__":
    main()
