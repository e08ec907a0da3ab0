"""A worker process: it loads samples and does with each what a job says, or answers the requests of a conversation.

Started as a program of its own and not by multiprocessing: it needs nothing of the caller's `__main__`, it is safe
beside threads and OpenMP, and what ncnn prints to the C stderr, or a crash inside it, stays away from the user's
terminal and process.

The argument is the number of the parent process, with which this one ends.  The parent has blocked the signals that end
programs: it is the one to decide.

Messages are pickles over the standard streams.  In: a `Job`, then sample indices, then None; out: `Started`, one answer
for each index, then the result.  Or in: a `Conversation`, then requests, then None; out: one answer to each request.
Then the next of either, until the stream ends.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from typing import Any, BinaryIO

import cv2

from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs.loading import load_sample
from pyncnnq.runtime.network import free_pools
from pyncnnq.runtime.protocol import Conversation, Failed, FailureError, Job, Misfit, Started, Unreadable
from pyncnnq.runtime.starting import end_with_parent


def _read(stream: BinaryIO) -> Any:
    return pickle.load(stream)


def _write(stream: BinaryIO, message: object) -> None:
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _serve(job: Job | Conversation, requests: BinaryIO, answers: BinaryIO) -> None:
    if isinstance(job, Conversation):
        _converse(job, requests, answers)
    else:
        _work(job, requests, answers)


def _work(job: Job, requests: BinaryIO, answers: BinaryIO) -> None:
    work = job.start()
    _write(answers, Started())
    while (index := _read(requests)) is not None:
        paths = job.samples[index]
        try:
            inputs = [(name, load_sample(path, spec)) for (name, spec), path in zip(job.inputs, paths, strict=True)]
        except UnreadableError as error:
            _write(answers, Unreadable(str(error)))
            continue
        except InputError as error:
            _write(answers, Misfit(str(error)))
            continue
        try:
            answer = work.take(inputs, paths)
        except InputError as error:
            answer = Misfit(f"{paths[0]}: {error}")
        except FailureError as failure:
            raise FailureError(f"{paths[0]}: {failure}") from None
        _write(answers, answer)
    _write(answers, work.result())


def _converse(conversation: Conversation, requests: BinaryIO, answers: BinaryIO) -> None:
    listener = conversation.start()
    while (request := _read(requests)) is not None:
        _write(answers, listener.answer(request))


def main() -> None:
    """Serve jobs on the standard streams."""
    if sys.argv[1:]:
        end_with_parent(int(sys.argv[1]))
    cv2.setNumThreads(1)
    gc.disable()  # blobs are freed by their reference counts; looking for cycles takes time and finds none
    requests = sys.stdin.buffer
    # Whatever a library prints to stdout must not get between our messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while True:
            _serve(_read(requests), requests, answers)
            free_pools()
    except (FailureError, InputError) as failure:
        _write(answers, Failed(str(failure)))
        # The parent may be sending, and a broken pipe would hide the reason from it; it ends this process.
        while requests.read(2**16):
            pass
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    os._exit(0)  # without Python's own end, which would destroy the pools


if __name__ == "__main__":
    main()
